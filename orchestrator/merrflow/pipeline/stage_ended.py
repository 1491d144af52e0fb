"""What became of a clip at one stage that asks a service, for whoever shows how far the services are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """How the stage ended for the clip."""

    ANSWERED = "answered"  # by the service, now
    KEPT = "kept"  # from the stage cache
    NOT_NEEDED = "not needed"  # such as the tone of a clip without sound
    REFUSED = "refused"  # the service rejects the input, or the model declines to answer
    FAILED = "failed"


@dataclass(frozen=True)
class StageEnded:
    """One clip at one stage."""

    clip: str
    stage: str
    service: str  # its name in the catalog
    ending: Ending
    reason: str = ""  # why it was refused or failed
