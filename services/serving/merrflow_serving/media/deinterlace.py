"""Fields of interlaced recordings, such as of television, become whole pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import av.error
import av.filter

from merrflow_serving.media.decoding import Decoded

# One picture for each frame, so that frames keep their numbers; only of frames that are flagged as interlaced.
_FILTER = "bwdif", "mode=send_frame:deint=interlaced"
_ANY_TICK = Fraction(1, 1000)  # for a file without times
_WAITING = (av.error.BlockingIOError, av.error.EOFError)


def deinterlaced(pictures: Iterable[Decoded]) -> Iterator[Decoded]:
    """The pictures in their order, interlaced ones (`Decoded.interlaced`) without combing; others as they are.

    The filter looks at the pictures before and after, so that from the first interlaced one on each waits for the next.
    """
    fields: _Fields | None = None
    for decoded in pictures:
        if fields is not None and not fields.takes(decoded):  # recordings of television change their size on the way
            yield from fields.finish()
            fields = None
        if fields is None and decoded.interlaced:
            fields = _Fields(decoded)
        if fields is None:
            yield decoded
        else:
            yield from fields.add(decoded)
    if fields is not None:
        yield from fields.finish()


class _Fields:
    """ffmpeg's filter for pictures like one."""

    def __init__(self, first: Decoded) -> None:
        self._like = _kind(first)
        graph = av.filter.Graph()
        graph.threads = 1
        raw = first.raw
        self._source = graph.add_buffer(
            width=raw.width, height=raw.height, format=raw.format, time_base=raw.time_base or _ANY_TICK
        )
        self._sink = graph.add("buffersink")
        graph.link_nodes(self._source, graph.add(*_FILTER), self._sink).configure()
        self._graph = graph  # which the nodes do not keep
        self._inside: deque[Decoded] = deque()

    def takes(self, decoded: Decoded) -> bool:
        return _kind(decoded) == self._like

    def add(self, decoded: Decoded) -> Iterator[Decoded]:
        self._inside.append(decoded)
        self._source.push(decoded.raw)
        return self._done()

    def finish(self) -> Iterator[Decoded]:
        self._source.push(None)
        return self._done()

    def _done(self) -> Iterator[Decoded]:
        while True:
            try:
                raw = self._sink.pull()
            except _WAITING:
                return
            assert isinstance(raw, av.VideoFrame)
            yield self._inside.popleft()._replace(raw=raw)


def _kind(decoded: Decoded) -> tuple[object, ...]:
    raw = decoded.raw
    return raw.width, raw.height, raw.format.name, raw.time_base
