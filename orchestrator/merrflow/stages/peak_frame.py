"""The peak frame as a picture, with a few frames around it which show movement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from merrflow.core.atomic_files import whole_bytes
from merrflow.core.errors import writing_outputs
from merrflow.core.records import Peak, Probe, Shot
from merrflow.stages.stage import Stage, Work
from merrflow_serving.errors import UnreadableMedia
from merrflow_serving.media.bounds import MOST_PIXELS
from merrflow_serving.media.images import encode_jpeg
from merrflow_serving.media.video import read_frames

CONTEXT_SECONDS = (-0.4, -0.2, 0.2, 0.4)  # around the peak; near enough to be one movement
CONTEXT_SIZE = 480  # pixels on the longer side


@dataclass(frozen=True)
class PeakFrame:
    """JPEG files: the peak frame at full size, and small neighbours with their seconds after it."""

    image: bytes
    context: tuple[tuple[float, bytes], ...]


def read_peak_frame(path: Path, probe: Probe, peak: Peak, *, max_pixels: int = MOST_PIXELS) -> PeakFrame:
    """Reads the frame again at full size; neighbours only from its own shot. Blocking.

    Raises `UnreadableMedia` if the frame cannot be decoded any more, `TooLarge` above `max_pixels`.
    """
    shot = next((shot for shot in probe.shots if shot.start <= peak.index < shot.end), Shot(0, probe.frame_count))
    near = sorted(
        {
            index
            for offset in CONTEXT_SECONDS
            if shot.start <= (index := peak.index + round(offset * probe.fps)) < shot.end
        }
        - {peak.index}
    )
    frames = read_frames(path, {peak.index, *near}, max_pixels=max_pixels)
    if peak.index not in frames:
        raise UnreadableMedia(f"frame {peak.index} cannot be decoded")
    at = frames[peak.index].timestamp
    return PeakFrame(
        encode_jpeg(frames[peak.index].image),
        tuple(
            (round(frames[index].timestamp - at, 3), encode_jpeg(frames[index].scaled(CONTEXT_SIZE)))
            for index in near
            if index in frames
        ),
    )


async def _peak_frame(work: Work, probe: Probe, peak: Peak) -> PeakFrame:
    """Reads the frame and writes it beside the records."""
    run, clip = work.run, work.clip
    read = partial(read_peak_frame, max_pixels=run.settings.max_pixels)
    frame = await run.in_thread(read, clip.path, probe, peak)
    with writing_outputs(run.out):
        await run.in_thread(whole_bytes, run.out / "peaks" / f"{clip.name}.jpg", frame.image)
    return frame


STAGE: Stage[PeakFrame] = Stage(
    name="peak_frame",
    purpose="the peak frame as a picture, with frames around it",
    compute=_peak_frame,
    needs=("probe", "peak"),
    lazy=True,
)
