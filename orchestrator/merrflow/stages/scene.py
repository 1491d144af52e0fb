"""What the peak frame shows, in words."""

from __future__ import annotations

from merrflow.core.records import Peak, Scene
from merrflow.stages.peak_frame import PeakFrame
from merrflow.stages.stage import Reply, Stage, Work
from merrflow.stages.validation import text_problem

SERVICE = "minigpt-v2"


async def _describe(work: Work, peak: Peak) -> Reply[Scene]:
    frame: PeakFrame = await work.use("peak_frame")
    return await work.run.services.scene(work.clip.name, frame.image, frame.context)


STAGE = Stage(
    name="scene",
    purpose="what the peak frame shows",
    compute=_describe,
    needs=("peak",),
    after=("rules_label",),
    uses=("peak_frame",),
    service=SERVICE,
    result=Scene,
    key=lambda work, peak: [peak.index, work.run.identities[SERVICE]],
    check=text_problem,
    optional=True,
)
