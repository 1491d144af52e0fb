"""How the voice sounds, in words."""

from __future__ import annotations

from merrflow.core.measurements import Probe
from merrflow.core.texts import Tone
from merrflow.stages.stage import Missing, Reply, Stage, Work
from merrflow.stages.validation import text_problem
from merrflow_serving.media.audio import encode_wav

SERVICE = "qwen-audio"


async def _describe(work: Work, probe: Probe) -> Reply[Tone]:
    audio = (await work.use("decoded")).audio
    return await work.run.services.tone(work.clip.name, await work.run.in_thread(encode_wav, audio))


def _no_sound(work: Work, probe: Probe) -> Missing | None:
    if probe.audio_seconds:
        return None
    if probe.audio_seconds is None:
        return Missing("the file has no sound track")
    return Missing(probe.sound or "the file has an empty sound track")


STAGE = Stage(
    name="tone",
    purpose="how the voice sounds",
    compute=_describe,
    needs=("probe",),
    after=("rules_label",),
    uses=("decoded",),
    reads_clip=False,  # only what the stage that it uses has read
    service=SERVICE,
    result=Tone,
    version="3",
    key=lambda work, probe: [work.run.identities[SERVICE], probe.sound],
    check=text_problem,
    optional=True,
    without=_no_sound,
)
