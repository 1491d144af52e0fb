"""How a decoded picture is to be shown: turned, mirrored, and with square pixels."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_EXIF = 31  # AV_FRAME_DATA_EXIF
_ANY_TICK = Fraction(1, 1000)
Matrix = tuple[float, float, float, float]
_NEARLY_SQUARE = 0.01  # 720x404 for a film of 16:9 says 359:360, which is rounding and no shape
_MOST_STRETCHED = 4.0  # anamorphic films have 2:1 at most; more is a fault of the header


class PixelShape:
    """Width over height of a track's pixels, as it is now: recordings of television change it on the way."""

    def __init__(self, track: VideoStream) -> None:
        self._codec = track.codec_context
        container, coded = track.sample_aspect_ratio, self._codec.sample_aspect_ratio
        # The container's word comes before the decoder's, as in ffmpeg; without one, PyAV gives the decoder's first.
        self._fixed = container if container and container != coded else None

    @property
    def ratio(self) -> float:
        """1.0 for square pixels, and for a ratio that no film has."""
        return _sane(self._fixed or self._codec.sample_aspect_ratio)


def _sane(ratio: Fraction | None) -> float:
    if ratio is None or ratio.numerator in (0, ratio.denominator):  # of nearly every film
        return 1.0
    value = float(ratio)
    if abs(value - 1) < _NEARLY_SQUARE or not 1 / _MOST_STRETCHED <= value <= _MOST_STRETCHED:
        return 1.0
    return value


def square(width: int, height: int, ratio: float) -> tuple[int, int]:
    """The size with square pixels; the shorter side of a pixel is stretched, so that nothing is lost."""
    return (round(width * ratio), height) if ratio >= 1 else (width, round(height / ratio))


def display_matrix(raw: av.VideoFrame) -> Matrix:
    """a, b, c, d of the frame's display matrix (ISO 14496-12, 8.3.2), the identity if it has none that is usable.

    A pixel x, y is shown at a x + c y, b x + d y.
    """
    for item in _side_data(raw):
        if item.type == Type.DISPLAYMATRIX and len(data := bytes(item)) >= 36:
            a, b, _, c, d, *_ = np.frombuffer(data, np.int32, 9).astype(float).tolist()
            if not math.isclose(a * d, b * c):
                return a, b, c, d
    return 1.0, 0.0, 0.0, 1.0


def _side_data(raw: av.VideoFrame) -> Any:  # its stubs have keys where there are values
    """The frame's data; PyAV reads none if one is of a kind that it has no name for, such as EXIF.

    `raw.side_data` would make the frame and its data hold each other: each picture would stay in memory until Python
    looks for such circles, which it seldom does for so few objects, however large.
    """
    try:
        return SideDataContainer(raw)  # type: ignore[call-arg,abstract]
    except ValueError:
        pass
    graph = av.filter.Graph()
    source = graph.add_buffer(width=raw.width, height=raw.height, format=raw.format, time_base=_ANY_TICK)
    sink = graph.add("buffersink")
    graph.link_nodes(source, graph.add("sidedata", f"mode=delete:type={_EXIF}"), sink).configure()
    source.push(raw)
    try:
        return SideDataContainer(sink.pull())  # type: ignore[call-arg,abstract]
    except ValueError:  # another one, which says nothing of the picture's turn
        return ()


def is_turned(matrix: Matrix) -> bool:
    """Whether width and height change places."""
    a, b, c, d = map(abs, matrix)
    return b + c > a + d


def upright_as_is(matrix: Matrix) -> bool:
    """Whether a picture is neither turned nor mirrored."""
    return not is_turned(matrix) and matrix[0] > 0 and matrix[3] > 0


def upright(image: np.ndarray, matrix: Matrix) -> np.ndarray:
    """A view of (height, width, ...) turned and mirrored as the matrix says, to the nearest quarter turn."""
    a, b, c, d = matrix
    across, down = (c, b) if is_turned(matrix) else (a, d)
    if is_turned(matrix):
        image = image.swapaxes(0, 1)
    if across < 0:
        image = image[:, ::-1]
    return image[::-1] if down < 0 else image
