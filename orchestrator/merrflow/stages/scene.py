"""What the picture shows, which is the peak frame or one near it, in words."""

from __future__ import annotations

from typing import Any

from merrflow.core.measurements import Peak
from merrflow.core.texts import Scene
from merrflow.stages.peak_frame import PeakFrame
from merrflow.stages.shown import Choice
from merrflow.stages.stage import Reply, Stage, Work
from merrflow.stages.validation import text_problem

SERVICE = "minigpt-v2"


async def _describe(work: Work, peak: Peak, choice: Choice) -> Reply[Scene]:
    frame: PeakFrame = await work.use("peak_frame")
    return await work.run.services.scene(work.clip.name, frame.image, frame.context)


def _key(work: Work, peak: Peak, choice: Choice) -> list[Any]:
    """The peak frame, or what the frame is chosen by; the clip's pixels, which decide too, are part of every key."""
    return [peak.index, *([choice] if choice.candidates else []), work.run.identities[SERVICE]]


STAGE = Stage(
    name="scene",
    purpose="what the picture shows",
    compute=_describe,
    needs=("peak", "candidates"),
    after=("rules_label",),
    uses=("peak_frame",),
    reads_clip=False,  # only what the stage that it uses has read
    service=SERVICE,
    result=Scene,
    version="2",
    key=_key,
    check=text_problem,
    optional=True,
)
