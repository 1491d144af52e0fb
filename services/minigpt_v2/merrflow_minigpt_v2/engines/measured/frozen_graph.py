"""The convolutional part of a frozen SSD graph of TensorFlow's Object Detection API, as OpenCV can run it.

OpenCV cannot read the rest: loops that resize pictures, and sort and filter boxes. The nodes before and after are cut
off here. The file is read as what it is, a protobuf message (https://protobuf.dev/programming-guides/encoding), so that
TensorFlow is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator

INPUT = "Preprocessor/sub"  # float pixels, -1 to 1
KEPT_ROOMS = ("FeatureExtractor/", "BoxPredictor_")
KEPT_OPERATIONS = frozenset(
    ("Add", "BiasAdd", "Const", "Conv2D", "DepthwiseConv2dNative", "FusedBatchNorm", "Identity", "Relu6")
)
_SHAPES = ("/Reshape", "/strided_slice")  # constants of nodes that are cut off


def convolutions(graph: bytes) -> bytes:
    """A GraphDef with the network from `INPUT` to the last convolutions. Raises `ValueError` if it is no GraphDef."""
    source = _field(1, _field(1, INPUT.encode()) + _field(2, b"Placeholder"))
    return source + b"".join(_field(1, node) for number, node in _fields(graph) if number == 1 and _is_kept(node))


def _is_kept(node: bytes) -> bool:
    text = {number: value.decode() for number, value in _fields(node) if number in (1, 2)}  # name, operation
    name, operation = text.get(1, ""), text.get(2, "")
    if not name.startswith(KEPT_ROOMS) or operation not in KEPT_OPERATIONS:
        return False
    return not (operation == "Const" and any(part in name for part in _SHAPES))


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The number and value of each field that has a length; numbers are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("the graph is cut short")
            yield key >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError(f"the graph has a field of the unknown kind {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("the graph is cut short")


def _field(number: int, value: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(value)) + value


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
