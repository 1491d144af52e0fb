"""Signals: something reports what happened to whoever listens, without knowing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, ParamSpec

Arguments = ParamSpec("Arguments")


class Signal(Generic[Arguments]):
    """Called with what happened; passes it on to its listeners, in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: list[Callable[Arguments, object]] = []

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        for listener in tuple(self._listeners):
            listener(*args, **kwargs)

    def connect(self, listener: Callable[Arguments, object]) -> None:
        """From now on the listener is called, too."""
        self._listeners.append(listener)

    @contextmanager
    def connected(self, listener: Callable[Arguments, object]) -> Iterator[None]:
        """The listener is called for as long as the block lasts."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)
