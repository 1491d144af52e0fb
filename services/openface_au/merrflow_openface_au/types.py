"""What an engine of this service takes (`Source`) and returns (`VideoResult`, one entry for each decoded frame)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Base64Bytes

Source = Path | bytes  # where the video file is, or its content
Box = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True)
class Pose:
    """Head rotation in degrees; all 0 looks straight into the camera."""

    pitch: float  # positive: chin up
    yaw: float  # positive: turned to the right side of the picture
    roll: float  # positive: tilted clockwise as the viewer sees it


@dataclass(frozen=True)
class ActionUnitValue:
    """One Action Unit of one face."""

    intensity: float | None  # 0 to 5 (FACS A to E); None if only presence is known
    present: bool


@dataclass(frozen=True)
class FaceResult:
    """One face in one frame."""

    box: Box  # pixels of the frame
    confidence: float  # 0 to 1
    pose: Pose
    action_units: Mapping[str, ActionUnitValue]  # "AU06" -> value, ascending
    mouth_opening: float | None  # inner-lip gap over mouth width
    second_pass: bool  # found only in an enlarged or brightened part of the frame
    expression: tuple[float, ...] = ()  # one share for each of VideoResult.expression_classes, 1 in all; or not judged
    embedding: Base64Bytes = b""  # 128 float16, low byte first; tells persons apart within a clip; or not computed


@dataclass(frozen=True)
class FrameResult:
    """One frame and its faces, largest first."""

    index: int  # from 0, in display order
    timestamp: float  # seconds from the first frame
    faces: tuple[FaceResult, ...]


@dataclass(frozen=True)
class VideoResult:
    """A whole video."""

    width: int  # pixels
    height: int  # pixels
    fps: float  # mean frames per second; 0 for a single image
    action_units: tuple[str, ...]  # those that the engine can measure, ascending
    frames: tuple[FrameResult, ...]
    expression_classes: tuple[str, ...] = ()  # of FaceResult.expression
