"""Sound of any format and rate becomes packed float32 of one rate."""

from __future__ import annotations

from typing import Any

import av
import av.error
import av.filter
import numpy as np

_AT_ONCE = 1 << 15  # values, all channels together, that wait for the filters; a third of a second of stereo
_PIECE = 4096  # samples in one frame from the filters
_NO_MORE = (av.error.BlockingIOError, av.error.EOFError)


class Resampler:
    """ffmpeg's filters for frames like one; the samples are those of `av.AudioResampler`.

    That one asks its filters for sound after each frame, in small pieces, and each time PyAV makes an error of their
    answer that there is no more. So frames wait here, until there is enough to ask for.
    """

    def __init__(self, first: av.AudioFrame, layout: str, rate: int) -> None:
        """layout: the frame's. rate: Hz, of what comes out."""
        graph = av.filter.Graph()
        clock = {} if first.time_base is None else {"time_base": str(first.time_base)}
        self._source = graph.add(
            "abuffer",
            sample_rate=str(first.sample_rate),
            sample_fmt=first.format.name,
            channel_layout=layout,
            **clock,
        )
        # Packed, because PyAV reads beyond the planes of eight channels and more.
        packed = graph.add("aformat", sample_rates=str(rate), sample_fmts="flt", channel_layouts=layout)
        self._sink = graph.add("abuffersink")
        graph.link_nodes(self._source, packed, self._sink).configure()
        graph.set_audio_frame_size(_PIECE)
        self._graph = graph  # which the nodes do not keep
        self._channels = first.layout.nb_channels
        self._waiting = 0  # values

    def add(self, frame: av.AudioFrame) -> list[np.ndarray]:
        """What is ready, (samples, channels) float32 each; often nothing."""
        self._source.push(frame)
        self._waiting += frame.samples * self._channels
        return self._ready() if self._waiting >= _AT_ONCE else []

    def finish(self) -> list[np.ndarray]:
        """All that is left, after the last frame."""
        self._source.push(None)
        return self._ready()

    def _ready(self) -> list[np.ndarray]:
        self._waiting = 0
        pieces: list[np.ndarray] = []
        while True:
            try:
                piece: Any = self._sink.pull()
            except _NO_MORE:
                return pieces
            values = np.frombuffer(piece.planes[0], np.float32, piece.samples * self._channels)
            pieces.append(values.reshape(-1, self._channels))
