"""The features that Emotion-LLaMA's loader reads: one vector per clip from each of three encoders, as NumPy files.

`mae_340_UTT/NAME.npy` (face: MAE over crops of the subject's face), `maeV_399_UTT/NAME.npy` (film: VideoMAE over the
same crops in order), `HL-UTT/NAME.npy` (sound: HuBERT); each is (width,) float32, the mean over tokens and frames.
Source: Emotion-LLaMA (Cheng et al. 2024, NeurIPS), and its first_face.py, which joins the three to (3, width).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from merrflow.core.atomic_files import whole_text
from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.records import Record
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.encoders import AUDIO, FACE, VIDEO, Encoders
from merrflow.datasets.export.format import FormatOptions
from merrflow.datasets.export.media import clip_of
from merrflow.datasets.export.writer import NO_CLIP, Writer
from merrflow_serving.errors import MerrflowError, MissingStream

FOLDERS = {FACE: "mae_340_UTT", VIDEO: "maeV_399_UTT", AUDIO: "HL-UTT"}
UNDECODED = "a clip that cannot be decoded"
_MARGIN = 1.3  # side of a crop over the longer side of the face's box
Series = Callable[[], Iterator[tuple[str, ActionUnitSeries | None]]]  # `Target.faces`
Box = tuple[float, float, float, float]


class MerrOptions(FormatOptions):
    """Whether the features are computed, and by which models."""

    features: bool = Field(False, description="true: compute the features that Emotion-LLaMA trains on")
    face_model: str = Field("facebook/vit-mae-large", description="transformers' name of the model, or its folder")
    video_model: str = Field("MCG-NJU/videomae-large", description="the same")
    audio_model: str = Field("TencentGameMate/chinese-hubert-large", description="the same")
    device: str = Field("auto", description="auto, cuda, cuda:1, ... or cpu")
    batch: int = Field(16, description="clips that go through an encoder together", ge=1, le=1024)


@dataclass(frozen=True)
class Material:
    """What the encoders are given of a clip."""

    name: str
    crops: np.ndarray  # (frames, side, side, 3) uint8, RGB
    sound: np.ndarray  # (samples,) float32 at 16 kHz; empty without a sound track


class FeatureFiles(Writer):
    """Writes the three folders and `features.json`, which names the models, into `folder`."""

    def __init__(self, folder: Path, options: MerrOptions, series: Series) -> None:
        """Loads the models. Raises `InputError` if one cannot be had, or their widths differ."""
        super().__init__()
        self._folder = folder
        self._encoders = Encoders.load(
            {FACE: options.face_model, VIDEO: options.video_model, AUDIO: options.audio_model}, options.device
        )
        self._batch = options.batch
        self._waiting: list[Material] = []
        self._series = series()
        self._silent = 0
        for name in FOLDERS.values():
            (folder / name).mkdir()

    def add(self, entry: Entry) -> str:
        record = entry.record
        clip = clip_of(record)
        if clip is None:
            return NO_CLIP
        try:
            crops = face_crops(clip, record, self._boxes(record), self._encoders.frames, self._encoders.side)
        except (MerrflowError, OSError):
            return UNDECODED
        if not len(crops):
            return UNDECODED
        sound = _sound(clip)
        self._silent += not sound.size
        self._waiting.append(Material(record.name, crops, sound))
        if len(self._waiting) >= self._batch:
            self._flush()
        return ""

    def finish(self) -> tuple[str, ...]:
        self._flush()
        with whole_text(self._folder / "features.json") as file:
            json.dump({FOLDERS[kind]: origin for kind, origin in self._encoders.origins.items()}, file, indent=1)
        models = ", ".join(origin["model"] for origin in self._encoders.origins.values())
        silent = [f"clips without sound, whose HL-UTT is zero: {self._silent}"] if self._silent else []
        return (f"features of {models}, on {self._encoders.device}", *silent)

    def _flush(self) -> None:
        if self._waiting:
            for kind, vectors in self._encoders.encode([(one.crops, one.sound) for one in self._waiting]).items():
                for one, vector in zip(self._waiting, vectors, strict=True):
                    np.save(self._folder / FOLDERS[kind] / f"{one.name}.npy", vector)
        self._waiting = []

    def _boxes(self, record: Record) -> dict[int, Box]:
        """The subject's face by frame; at the peak alone if the frames' faces are not kept."""
        found = next((faces for name, faces in self._series if name == record.name), None)
        frames = {frame.index: frame.faces for frame in found.frames} if found else {}
        boxes = {
            index: frames[index][face].box
            for index, face in record.subject.faces
            if index in frames and face < len(frames[index])
        }
        peak = record.peak
        return boxes or {peak.index: peak.box or (0.0, 0.0, float(record.probe.width), float(record.probe.height))}


def face_crops(clip: Path, record: Record, boxes: dict[int, Box], frames: int, side: int) -> np.ndarray:
    """Squares around the face, (frames, side, side, 3) uint8 RGB, from frames of `boxes` spaced evenly; a frame occurs
    more than once if there are fewer. Blocking. Raises `UnreadableMedia` and `OSError`."""
    import cv2

    from merrflow_serving.media.video import read_frames

    seen = sorted(boxes)
    chosen = [seen[round(place)] for place in np.linspace(0, len(seen) - 1, frames)]
    read = read_frames(clip, set(chosen))
    images = {index: frame.image for index, frame in read.items()}
    crops = [
        cv2.resize(_square(images[index], boxes[index]), (side, side), interpolation=cv2.INTER_AREA)
        for index in chosen
        if index in images
    ]
    crops += crops[-1:] * (frames - len(crops))
    return np.array(crops, np.uint8)


def _square(image: np.ndarray, box: Box) -> np.ndarray:
    """A square of the picture around a box, repeated beyond the picture's edge."""
    import cv2

    x, y, width, height = box
    half = max(2.0, max(width, height) * _MARGIN / 2)
    left, top, size = round(x + width / 2 - half), round(y + height / 2 - half), round(2 * half)
    pad = max(0, -left, -top, left + size - image.shape[1], top + size - image.shape[0])
    padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE) if pad else image
    return padded[top + pad : top + pad + size, left + pad : left + pad + size]


def _sound(clip: Path) -> np.ndarray:
    from merrflow_serving.media.audio import decode_audio

    try:
        return decode_audio(clip)
    except (MissingStream, MerrflowError, OSError):
        return np.zeros(0, np.float32)
