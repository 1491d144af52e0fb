"""How many clips are in work at the same time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from statistics import fmean
from typing import TYPE_CHECKING

from merrflow.core.measurements import Clip
from merrflow.stages.held import Held
from merrflow.stages.text_samples import TextSample
from merrflow_serving.machine import host_memory

if TYPE_CHECKING:
    from merrflow_serving.media.video import VideoFrame

FEWEST, MOST = 4, 512
# Of a clip that is in work, beside its file: its sound, measures and pictures for the services. One of 3.4 s and
# 640x360 takes 0.8 MiB (measured); this is for a minute of 1920x1080.
CLIP_BYTES = 16 << 20
HELD_BYTES = 32 << 20  # of pictures that wait for OCR in all clips; a clip whose pictures do not fit is read again
FRAME_BYTES = 64 << 20  # of decoded frames that wait for the peak in all clips; five of 1920x1080 take 16 MB


def held_samples() -> Held[TextSample]:
    """For a run: up to `HELD_BYTES`, less on a small machine."""
    return Held(_room(HELD_BYTES))


def held_frames() -> Held[VideoFrame]:
    """For a run: up to `FRAME_BYTES`, less on a small machine."""
    return Held(_room(FRAME_BYTES))


def _room(most: int) -> int:
    return min(most, host_memory().free_bytes // 16)


def decoder_threads(clips: int, cores: int) -> int:
    """Of each clip's decoder: with as many clips as cores one thread each is quicker, and each holds frames."""
    return max(1, cores // max(1, clips))


def clips_at_once(rooms: Iterable[int], free_bytes: int, file_bytes: float) -> int:
    """Enough to keep every service busy, but no more than half of the free memory holds.

    rooms: how many calls each service takes at once: one batch in work and one waiting. A clip visits one service after
    the other, so the slowest stays busy only if the others can be full too. Four more clips are decoded meanwhile.
    file_bytes: of a clip's file, in the mean: a service that cannot read it gets its bytes, of which gRPC has a copy.
    """
    held = round(CLIP_BYTES + 2 * file_bytes)
    return max(FEWEST, min(FEWEST + sum(rooms), free_bytes // 2 // held, MOST))


def mean_size(clips: Collection[Clip]) -> float:
    """Bytes of a clip's file; 0 if none can be read."""
    sizes = [clip.file.size for clip in clips if clip.file]
    return fmean(sizes) if sizes else 0.0
