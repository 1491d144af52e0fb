"""Reading of text in pictures with the PP-OCR models that come with the `rapidocr` wheel.

Models: PP-OCRv6 small, Apache-2.0: detection (DB, Liao et al. 2020), and recognition of Chinese, Japanese and
Latin script. Both are loaded by path from the installed package, so nothing is ever downloaded and nothing is
written next to it. Each reader is to be used by one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merrflow_serving.errors import NotReady
from merrflow_serving.packaged import PackagedFile

if TYPE_CHECKING:
    from rapidocr import RapidOCR

DETECTION = PackagedFile(
    "rapidocr",
    "3.10.0",
    "rapidocr/models/PP-OCRv6_det_small.onnx",
    "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    alone=False,
)
RECOGNITION = PackagedFile(
    "rapidocr",
    "3.10.0",
    "rapidocr/models/PP-OCRv6_rec_small.onnx",
    "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    alone=False,
)
REVISION = "sha256:da2d61aa80aff563"  # of both files' bytes, one after the other; it is part of records' keys
MODEL = "PP-OCRv6-small"
LICENCE = "Apache-2.0"
SIDE = 960  # pixels: larger pictures are shrunk to this for detection only; recognition has the full resolution
MIN_SIDE = 8  # pixels: below this text cannot be distinguished from noise
MIN_CONFIDENCE = 0.5  # the models' authors' default; callers set their own above it

Box = tuple[float, float, float, float]  # x, y, width, height in pixels


@dataclass(frozen=True)
class TextLine:
    """One line of text in a picture."""

    text: str
    confidence: float  # 0 to 1, mean over the characters
    box: Box


def model_file(file: PackagedFile) -> Path:
    """A model's path inside the installed wheel, after checking its bytes. Raises `NotReady`, saying what to do."""
    try:
        return file.path()
    except NotReady as error:
        raise NotReady(f"text cannot be read: {error}", reason=error.reason) from error


def revision() -> str:
    """Of the two models, once their bytes are checked (30 MB, read once a process). Raises `NotReady`."""
    for file in (DETECTION, RECOGNITION):
        model_file(file)
    return REVISION


class TextReader:
    """Finds and reads lines of text. The models are loaded by the first call (about 0.5 s)."""

    def __init__(self) -> None:
        self._ocr: RapidOCR | None = None

    def _models(self) -> RapidOCR:
        if self._ocr is None:
            files = {"Det": model_file(DETECTION), "Rec": model_file(RECOGNITION)}
            try:
                from rapidocr import RapidOCR
            except ImportError as error:
                raise NotReady(f"text cannot be read: {error}") from error
            self._ocr = RapidOCR(
                params={
                    "Global.log_level": "critical",
                    "Global.use_cls": False,  # subtitles are not upside down
                    "Global.text_score": MIN_CONFIDENCE,
                    "Det.limit_type": "max",
                    "Det.limit_side_len": SIDE,
                    "Rec.rec_batch_num": 1,  # a batch is padded to its widest line: slower on one thread
                    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                    **{f"{part}.model_path": str(path) for part, path in files.items()},
                }
            )
        return self._ocr

    def detect(self, image: np.ndarray) -> tuple[Box, ...]:
        """Boxes around lines of text in a (height, width, 3) uint8 RGB picture, in no particular order.

        Takes about a fifth of the time of `read`.
        """
        if min(image.shape[:2]) < MIN_SIDE:
            return ()
        found = self._models()(_bgr(image), use_det=True, use_cls=False, use_rec=False)
        height, width = image.shape[:2]
        return tuple(_upright(quad, width, height) for quad in _items(getattr(found, "boxes", None)))

    def recognise(self, image: np.ndarray) -> TextLine | None:
        """Reads a picture that shows one line of text and little else; None if nothing can be read."""
        if min(image.shape[:2]) < MIN_SIDE:
            return None
        found = self._models()(_bgr(image), use_det=False, use_cls=False, use_rec=True)
        texts, scores = _items(getattr(found, "txts", None)), _items(getattr(found, "scores", None))
        if not texts or not texts[0].strip():
            return None
        height, width = image.shape[:2]
        return TextLine(texts[0].strip(), float(scores[0]), (0.0, 0.0, float(width), float(height)))

    def read(self, image: np.ndarray) -> tuple[TextLine, ...]:
        """All lines in a (height, width, 3) uint8 RGB picture, from top to bottom and left to right."""
        if min(image.shape[:2]) < MIN_SIDE:
            return ()
        found = self._models()(_bgr(image), use_det=True, use_cls=False, use_rec=True)
        height, width = image.shape[:2]
        lines = [
            TextLine(text.strip(), float(score), _upright(quad, width, height))
            for text, score, quad in zip(
                _items(getattr(found, "txts", None)),
                _items(getattr(found, "scores", None)),
                _items(getattr(found, "boxes", None)),
                strict=True,
            )
            if text.strip()
        ]
        return reading_order(lines)


def reading_order(lines: Sequence[TextLine]) -> tuple[TextLine, ...]:
    """Top to bottom; lines whose middles are within half a line of each other count as one row."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.box[1] + line.box[3] / 2):
        middle = line.box[1] + line.box[3] / 2
        first = rows[-1][0].box if rows else None
        if first and middle - (first[1] + first[3] / 2) < 0.5 * min(first[3], line.box[3]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return tuple(line for row in rows for line in sorted(row, key=lambda line: line.box[0]))


def _items(value: Any) -> list[Any]:
    return [] if value is None else list(value)


def _bgr(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


def _upright(quad: np.ndarray, width: int, height: int) -> Box:
    """The upright box around four corners, cut at the picture's edges."""
    points = np.asarray(quad, float)
    left, top = np.clip(points.min(axis=0), 0, (width, height))
    right, bottom = np.clip(points.max(axis=0), 0, (width, height))
    return (float(left), float(top), float(right - left), float(bottom - top))
