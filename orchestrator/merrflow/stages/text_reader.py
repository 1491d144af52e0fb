"""OCR for many threads: a few readers shared by all, each used by one thread at a time."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TypeVar

from merrflow.stages.arrays import Picture
from merrflow_serving.errors import NotReady
from merrflow_serving.media.ocr import Box, TextLine, TextReader, revision
from merrflow_serving.packaged import MISMATCH

Value = TypeVar("Value")


class SharedReader:
    """Lends out up to `count` `TextReader`s. Models are loaded by the first use."""

    def __init__(self, count: int) -> None:
        """Raises `NotReady` if the installed models are not those that this version was measured with."""
        self._free: queue.LifoQueue[TextReader] = queue.LifoQueue()
        for _ in range(count):
            self._free.put(TextReader())
        try:
            self.identity = revision()
        except NotReady as error:
            if error.reason == MISMATCH:
                raise
            self.identity = ""  # it is not installed: pictures are then not read, and every record says so

    def detect(self, image: Picture) -> tuple[Box, ...]:
        """As `TextReader.detect`."""
        return self._lend(lambda reader: reader.detect(image))

    def recognise(self, image: Picture) -> TextLine | None:
        """As `TextReader.recognise`."""
        return self._lend(lambda reader: reader.recognise(image))

    def _lend(self, use: Callable[[TextReader], Value]) -> Value:
        reader = self._free.get()
        try:
            return use(reader)
        finally:
            self._free.put(reader)
