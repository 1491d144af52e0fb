"""The model services: the one place for their names, ports and gRPC names.

The command line and the clients read it; Compose, Kubernetes and Prometheus have it from `make generated`.
"""

from __future__ import annotations

from dataclasses import dataclass

METRICS_PORT = 9464  # of a service's metrics page, in containers that open it; Prometheus' usual one for exporters


@dataclass(frozen=True)
class ServiceEntry:
    """One model service."""

    name: str  # the container's name, and what `merrflow serve` calls it
    port: int  # gRPC, inside its container and, by default, on loopback
    proto: str  # full gRPC name of its main service
    module: str  # import package of its distribution
    purpose: str
    optional: bool = False  # a run works without it
    takes: str = "parts of clips"  # what of a clip its requests hold, for people

    @property
    def env_prefix(self) -> str:
        """What the environment variables of its settings start with, such as `MERRFLOW_QWEN_AUDIO_`."""
        return f"MERRFLOW_{self.name.upper().replace('-', '_')}_"


SERVICES = {
    entry.name: entry
    for entry in (
        ServiceEntry(
            "openface-au",
            50051,
            "merrflow.openface_au.v1.ActionUnits",
            "merrflow_openface_au",
            "faces and their Action Units in every frame of a video",
            takes="whole clips",
        ),
        ServiceEntry(
            "minigpt-v2",
            50052,
            "merrflow.minigpt_v2.v1.SceneDescriber",
            "merrflow_minigpt_v2",
            "one or two sentences on what a picture shows",
            takes="pictures of peak frames and those around them",
        ),
        ServiceEntry(
            "qwen-audio",
            50053,
            "merrflow.qwen_audio.v1.ToneDescriber",
            "merrflow_qwen_audio",
            "one sentence on how a voice sounds",
            takes="sound tracks",
        ),
        ServiceEntry(
            "llama3",
            50054,
            "merrflow.llama3.v1.EmotionReasoner",
            "merrflow_llama3",
            "why a person feels what the clues say",
            takes="texts: subtitles and descriptions of scene, face and voice",
        ),
        ServiceEntry(
            "whisper",
            50055,
            "merrflow.whisper.v1.Transcriber",
            "merrflow_whisper",
            "what is said in a recording",
            takes="sound tracks",
            optional=True,
        ),
    )
}
NEEDED = tuple(name for name, entry in SERVICES.items() if not entry.optional)  # by every run
