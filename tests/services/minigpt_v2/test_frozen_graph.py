"""The frozen graph: what is cut off, and what is refused."""

from __future__ import annotations

import pytest

from merrflow_minigpt_v2.engines.measured.frozen_graph import convolutions
from merrflow_minigpt_v2.engines.measured.persons import PERSON_DETECTOR


def field(number: int, value: bytes) -> bytes:
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def node(name: str, operation: str) -> bytes:
    return field(1, field(1, name.encode()) + field(2, operation.encode()))


def test_only_convolutions_and_their_constants_stay():
    kept = [
        node("FeatureExtractor/a/Conv2D", "Conv2D"),
        node("FeatureExtractor/a/weights", "Const"),
        node("BoxPredictor_0/BoxEncodingPredictor/BiasAdd", "BiasAdd"),
    ]
    cut = [
        node("Preprocessor/map/while", "Enter"),
        node("BoxPredictor_0/Reshape/shape/1", "Const"),
        node("BoxPredictor_0/Shape", "Shape"),
        node("Postprocessor/Exp", "Exp"),
        field(4, b"versions"),
    ]
    source = node("Preprocessor/sub", "Placeholder")
    assert convolutions(b"".join([cut[0], kept[0], *cut[1:], *kept[1:], b"\x28\x96\x01"])) == source + b"".join(kept)


@pytest.mark.parametrize("end", [1, 3, 1000, 12_000_001])
def test_a_graph_that_is_cut_short_is_refused(end):
    with pytest.raises(ValueError, match="cut short"):
        convolutions(PERSON_DETECTOR.path().read_bytes()[:end])
