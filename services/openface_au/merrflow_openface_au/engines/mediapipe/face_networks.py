"""Two small networks of npm's @vladmandic/face-api: what a face expresses, and by what persons are told apart.

They see every few samples of a face, one face at a time, so that no result depends on what else is measured. Weights
and notices: data/face_api, written by convert_face_api.py.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow_openface_au.engines.mediapipe.images import Image, crop_around, shrink
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.packaged import file_sha256

CLASSES = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
EXPRESSION_SIDE, CHIP_SIDE = 112, 150  # pixels that the networks see
DLIB_MESH = (263, 362, 33, 133, (2, 94))  # dlib's five points on the mesh: eye corners, and below the nose
DLIB_POINTS = np.array([(0.8596, 0.2135), (0.6461, 0.2290), (0.1206, 0.2137), (0.3341, 0.2291), (0.4901, 0.6278)])
EYES, MOUTH = ((33, 133), (263, 362)), (61, 291, 13, 14)
EYES_TO_MOUTH = 0.45  # of the expression crop's side
LOWERED = 0.07  # the crop's centre below the middle of eyes and mouth, of its side

Floats = npt.NDArray[np.float64]
Session = Callable[[Image], npt.NDArray[np.float32]]
log = logging.getLogger(__name__)
Mesh = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Network:
    """One file of data/face_api."""

    name: str
    sha256: str

    @property
    def path(self) -> Path:
        return Path(str(resources.files("merrflow_openface_au") / "data" / "face_api" / f"{self.name}.onnx"))

    def problem(self) -> str:
        """Why the network cannot be used, in one sentence; "" if it can."""
        if find_spec("onnxruntime") is None:
            return f"no {self.name} network: onnxruntime is missing; run: pip install onnxruntime"
        try:
            found = file_sha256(self.path)
        except OSError as error:
            return f"no {self.name} network: {self.path} cannot be read ({error.strerror}); install merrflow again"
        return (
            "" if found == self.sha256 else f"no {self.name} network: {self.path} was changed; install merrflow again"
        )


EXPRESSION = Network("expression", "09bc5073a329929f89ceedf9424f61117edd084e891803c631fd8dc8105d9a74")
RECOGNITION = Network("recognition", "d473ad21d9fcc962b49247bf0591edd1d61bf31874f8cd5545ab55b288801a85")


@dataclass(frozen=True)
class Looks:
    """What the networks say of one face in one frame; see `FaceResult`."""

    expression: tuple[float, ...] = ()
    embedding: bytes = b""


NOT_LOOKED = Looks()


@dataclass(frozen=True)
class Wanted:
    """Which networks run, and how often; 0: never."""

    expression_every: int
    embedding_every: int
    problems: tuple[str, ...]

    @property
    def stamp(self) -> str:
        """For `EngineInfo.prompt_version`: all that decides what the networks add to a result."""
        parts = []
        if self.expression_every:
            parts.append(f"expression={EXPRESSION.sha256[:8]}/{self.expression_every}")
        if self.embedding_every:
            parts.append(f"embedding={RECOGNITION.sha256[:8]}/{self.embedding_every}")
        return " ".join(parts) or "no-networks"


def wanted_networks(settings: OpenFaceAuSettings) -> Wanted:
    """The networks that are switched on and whole. Needs no model library."""
    asked = ((EXPRESSION, settings.expression_every), (RECOGNITION, settings.embedding_every))
    problems = [network.problem() if every else "" for network, every in asked]
    every = [0 if problem else every for (_, every), problem in zip(asked, problems, strict=True)]
    return Wanted(every[0], every[1], tuple(filter(None, problems)))


class FaceNetworks:
    """The networks, loaded. One that cannot be loaded or run is done without. Not thread-safe."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._failed: set[str] = set()  # names of networks that have failed, which is said once
        self._expression = self._load(EXPRESSION) if wanted.expression_every else None
        self._recognition = self._load(RECOGNITION) if wanted.embedding_every else None

    @property
    def classes(self) -> tuple[str, ...]:
        """As `VideoResult.expression_classes`."""
        return CLASSES if self._expression else ()

    def look(self, image: Image, points: Mesh, number: int) -> Looks:
        """image: (height, width, 3) RGB. points: (478, 3) in its pixels. number: of the face's sample, from 0."""
        expression: tuple[float, ...] = ()
        embedding = b""
        if self._expression and number % self._wanted.expression_every == 0:
            shares = self._run(EXPRESSION, self._expression, expression_crop(image, points))
            expression = () if shares is None else tuple(float(share) for share in shares)
        if self._recognition and number % self._wanted.embedding_every == 0:
            vector = self._run(RECOGNITION, self._recognition, recognition_chip(image, points))
            embedding = b"" if vector is None else vector.astype("<f2").tobytes()
        return Looks(expression, embedding)

    def _load(self, network: Network) -> Session | None:
        try:
            return _session(network)
        except Exception as error:  # onnxruntime has many of its own
            self._fails(network, "loaded", error)
            return None

    def _run(self, network: Network, session: Session, picture: Image) -> npt.NDArray[np.float32] | None:
        try:
            found = session(picture)
        except Exception as error:
            self._fails(network, "run", error)
            return None
        if not np.isfinite(found).all():
            self._fails(network, "run", ValueError("its numbers are not finite"))
            return None
        return found

    def _fails(self, network: Network, doing: str, error: Exception) -> None:
        if network.name not in self._failed:
            self._failed.add(network.name)
            text = " ".join(str(error).split()) or type(error).__name__
            log.warning("the %s network cannot be %s and is left out: %s", network.name, doing, text)


def _session(network: Network) -> Session:
    """From one picture to the network's numbers, on one thread. Raises `ValueError` for a file that was changed."""
    import onnxruntime

    data = network.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != network.sha256:  # since it was checked
        raise ValueError(f"{network.path} was changed; install merrflow again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return partial(_run, session)


def _run(session: Any, picture: Image) -> npt.NDArray[np.float32]:
    result: npt.NDArray[np.float32] = session.run(None, {"faces": picture[None].astype(np.float32)})[0][0]
    return result


def expression_crop(image: Image, points: Mesh) -> Image:
    """(112, 112, 3): eyes level, eyes to mouth 45 % of the side. The crop that fits this network best (measured)."""
    eyes = np.array([points[list(eye), :2].mean(axis=0) for eye in EYES], np.float64)
    middle, mouth = eyes.mean(axis=0), np.asarray(points[list(MOUTH), :2].mean(axis=0), np.float64)
    side = max(float(np.linalg.norm(mouth - middle)) / EYES_TO_MOUTH, 1.0)
    across = eyes[1] - eyes[0]
    angle = np.arctan2(across[1], across[0])
    right = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-right[1], right[0]])
    corner = (middle + mouth) / 2 + LOWERED * side * down - side / 2 * (right + down)
    scale = EXPRESSION_SIDE / side
    turn = scale * np.array([right, down])
    return _warp(image, np.column_stack([turn, -turn @ corner]), EXPRESSION_SIDE)


def recognition_chip(image: Image, points: Mesh) -> Image:
    """(150, 150, 3): the similarity that brings five points to where dlib's chips have them, by least squares."""
    seen = np.array([np.mean(points[np.atleast_1d(place), :2], axis=0) for place in DLIB_MESH], np.float64)
    target = (DLIB_POINTS + 0.25) / 1.5 * CHIP_SIDE
    a, b = (one - one.mean(axis=0) for one in (seen, target))
    power = max(float((a**2).sum()), 1e-6)
    same = float((a * b).sum()) / power
    turned = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / power
    turn = np.array([[same, -turned], [turned, same]])
    return _warp(image, np.column_stack([turn, target.mean(axis=0) - turn @ seen.mean(axis=0)]), CHIP_SIDE)


def _warp(image: Image, matrix: Floats, side: int) -> Image:
    """(side, side, 3) of `image` by a similarity (2, 3); a large face is shrunk first, so that no detail is skipped."""
    import cv2

    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        centre = np.linalg.inv(matrix[:, :2]) @ (side / 2 - matrix[:, 2])
        crop, left, top = crop_around(image, (float(centre[0]), float(centre[1])), 1.5 * side / max(scale, 1e-6))
        matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ (left, top)])
        image, factor = shrink(crop, max(round(max(crop.shape[:2]) * 2 * scale), 8))
        matrix = np.column_stack([matrix[:, :2] / factor, matrix[:, 2]])
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)
