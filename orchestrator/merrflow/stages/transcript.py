"""What is said, recognised from the sound: asked only if no subtitle was found."""

from __future__ import annotations

from merrflow.core.measurements import Probe
from merrflow.core.spoken import Subtitle, Transcript
from merrflow.stages.stage import Missing, Reply, Stage, Work
from merrflow_serving.media.audio import encode_wav

SERVICE = "whisper"


async def _transcribe(work: Work, probe: Probe, found: Subtitle) -> Reply[Transcript]:
    audio = (await work.use("decoded")).audio
    return await work.run.services.transcribe(work.clip.name, await work.run.in_thread(encode_wav, audio))


def _no_need(work: Work, probe: Probe, found: Subtitle) -> Missing | None:
    return None if found.text is None and probe.audio_seconds else Missing("")


STAGE = Stage(
    name="transcript",
    purpose="what is said, recognised from the sound if no subtitle was found",
    compute=_transcribe,
    needs=("probe", "subtitle"),
    uses=("decoded",),
    service=SERVICE,
    result=Transcript,
    version="3",
    key=lambda work, probe, found: [work.run.identities[SERVICE], probe.sound],
    optional=True,
    without=_no_need,
)
