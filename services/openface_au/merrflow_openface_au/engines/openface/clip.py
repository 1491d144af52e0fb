"""A clip before OpenFace reads it: decoded once for its facts, and rewritten if OpenFace's decoder would misread it.

OpenFace reads through OpenCV's decoder, which takes a picture's name for the pattern of a sequence, ignores mirrors,
the shape of pixels, HDR and, before OpenCV 4.5, rotation, and loses other frames of damaged files. Such clips are
rewritten without loss, with the frames that merrflow counts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from merrflow_openface_au.types import Source
from merrflow_serving.errors import UnreadableMedia
from merrflow_serving.media.video import iter_frames, open_media

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")


@dataclass(frozen=True)
class VideoFacts:
    """What decoding a clip shows."""

    width: int  # pixels, as the film is shown
    height: int
    timestamps: tuple[float, ...]  # of each frame, seconds from the first
    plain: bool  # every decoder sees the same pictures, and as many

    @property
    def fps(self) -> float:
        """Mean frames per second; 0 for a single picture."""
        seconds = self.timestamps[-1] - self.timestamps[0]
        return (len(self.timestamps) - 1) / seconds if seconds > 0 else 0.0

    @property
    def needs_rewrite(self) -> bool:
        """Whether OpenFace would misread the file as it is."""
        return not self.plain or len(self.timestamps) == 1


def inspect_clip(source: Source, *, max_pixels: int, max_frames: int) -> VideoFacts:
    """Decodes the whole clip without converting a picture. Raises as `iter_frames`, and for a file without frames."""
    timestamps: list[float] = []
    width = height = 0
    with open_media(source, max_pixels=max_pixels) as container:
        plain = len(container.streams.video) == 1

    def damaged() -> None:
        nonlocal plain
        plain = False

    for frame in iter_frames(source, max_pixels=max_pixels, max_frames=max_frames, on_damage=damaged):
        if not timestamps:
            width, height = frame.size
        plain = plain and frame.is_as_decoded and not frame.is_damaged
        timestamps.append(frame.timestamp)
    if not timestamps:
        raise UnreadableMedia("the file holds no picture")
    return VideoFacts(width, height, tuple(timestamps), plain)


def link_clip(source: Source, folder: Path, name: str) -> Path:
    """Puts the clip as it is into `folder`, as a link or as a file, under a name that is no option and no pattern."""
    if isinstance(source, bytes):
        target = folder / f"{name}.mp4"  # decoders look at the content; the suffix must only not be a picture's
        target.write_bytes(source)
        return target
    suffix = source.suffix if _SUFFIX.fullmatch(source.suffix) else ".mp4"
    target = folder / f"{name}{suffix}"
    os.symlink(source.absolute(), target)
    return target


def rewrite_lossless(source: Source, facts: VideoFacts, folder: Path, name: str) -> Path:
    """Writes the clip's frames upright as FFV1 (lossless) in Matroska, which any ffmpeg reads. Returns the file."""
    import av

    target = folder / f"{name}.mkv"
    with av.open(str(target), "w") as container:
        rate = Fraction(facts.fps or 25.0).limit_denominator(1001)
        stream = container.add_stream("ffv1", rate=max(rate, Fraction(1)))
        stream.width, stream.height, stream.pix_fmt = facts.width, facts.height, "bgr0"
        for frame in iter_frames(source):
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture = picture.reformat(width=facts.width, height=facts.height, format="bgr0")
            picture.pts, picture.time_base = frame.index, 1 / stream.codec_context.rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return target
