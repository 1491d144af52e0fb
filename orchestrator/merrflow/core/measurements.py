"""A clip and what is measured of it: frozen dataclasses, with units in the field comments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merrflow.core.faces import FaceFrames
from merrflow.core.stored_faces import StoredFrames


@dataclass(frozen=True)
class FileState:
    """What changes if a file is replaced or written to."""

    size: int  # bytes
    mtime_ns: int
    inode: int | None = None  # None: not known, as of files that another process registered
    ctime_ns: int | None = None  # the same; it changes with each renaming

    def is_like(self, other: FileState) -> bool:
        """Whether size and time are the same, which is all that the ledger keeps."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


@dataclass(frozen=True)
class Clip:
    """One input file. `name` is unique in a run and safe as a file name and in MERR's files."""

    name: str
    path: Path
    sha256: str  # of the file's bytes; "" if it could not be read when it was registered
    sentence: str | None = None  # subtitle given in a table
    label: str | None = None  # label given in a table
    file: FileState | None = None  # when it was registered; None if it could not be read then


@dataclass(frozen=True)
class Shot:
    """Frames between two cuts: `start` inclusive, `end` exclusive."""

    start: int
    end: int


@dataclass(frozen=True)
class PerceptualHashes:
    """Hashes that differ in few bits if what is seen or heard is alike; curation finds duplicates by them."""

    frames: tuple[str, ...]  # perceptual hashes in hex, of frames spaced evenly through the clip
    sound: tuple[str, ...]  # hashes in hex, of pieces of the sound in order; empty without a sound track


@dataclass(frozen=True)
class Probe:
    """What decoding alone says about a clip."""

    width: int  # pixels
    height: int  # pixels
    fps: float
    frame_count: int
    seconds: float  # of video
    shots: tuple[Shot, ...]
    audio_seconds: float | None  # None: the file has no sound track
    voice_energy: tuple[float, ...] = ()  # dBFS in the band of speech, one for each 40 ms; see stages/voice.py
    likeness: PerceptualHashes | None = None
    damaged_packets: int = 0  # that could not be decoded; the frames in them are missing
    damaged_frames: int = 0  # kept, though the decoder had to make up a part of the picture
    adjusted: bool = False  # a track was chosen, pictures turned, stretched or tone-mapped, times mended, or damage met
    sound: str = ""  # what was unusual about the sound: which of several tracks, its mix, its clock; empty for nothing


@dataclass(frozen=True)
class ActionUnitSeries:
    """The Action Units of a whole clip."""

    width: int  # pixels
    height: int  # pixels
    fps: float
    measurable: tuple[str, ...]  # AUs the engine can measure
    frames: StoredFrames

    def __post_init__(self) -> None:
        """Takes a tuple of `FaceFrame`, too."""
        if not isinstance(self.frames, FaceFrames):
            object.__setattr__(self, "frames", FaceFrames.of(self.frames))


@dataclass(frozen=True)
class Subject:
    """The one person a record is about, followed through the clip."""

    faces: tuple[tuple[int, int], ...]  # (frame index, index into that frame's faces), ascending
    persons: int  # how many persons were followed
    margin: float  # score of the chosen over the next, 0 to 1; 1 if there is only one
    reason: str  # "largest face, in view for 38 of 52 frames"


@dataclass(frozen=True)
class Peak:
    """The peak frame: where the most frequent Action Units sum to the most."""

    index: int  # frame number from 0
    timestamp: float  # seconds
    action_units: tuple[str, ...]  # all AUs present at the peak, ascending
    intensity: Mapping[str, float]  # of the AUs present at the peak
    frequent: tuple[str, ...]  # the clip's most frequent AUs, whose sum was maximised
    total: float  # that sum at the peak
    reason: str
    confidence: float | None = None  # of the subject's face at the peak, 0 to 1
    box: tuple[float, float, float, float] | None = None  # of that face: x, y, width, height in pixels


@dataclass(frozen=True)
class ShownFrame:
    """The frame that the picture shows, if it is not the peak frame."""

    index: int  # frame number from 0
    timestamp: float  # seconds
    box: tuple[float, float, float, float]  # of the subject's face in it: x, y, width, height in pixels
    reason: str  # why it is shown instead


@dataclass(frozen=True)
class Curves:
    """The subject's Action Units over time, for pictures."""

    timestamps: tuple[float, ...]  # seconds, one for each frame in which the subject is seen
    frames: tuple[int, ...]  # the same frames' numbers
    intensity: Mapping[str, tuple[float, ...]]  # "AU06" -> 0 to 5, one for each frame
