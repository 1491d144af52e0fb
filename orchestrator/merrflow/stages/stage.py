"""What a stage is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from merrflow.core.records import Origin, Outcome


@dataclass(frozen=True)
class Reply:
    """A service's answer: the value, who gave it, and whether it is whole."""

    value: Any
    origin: Origin
    outcome: Outcome = Outcome.DONE
    reason: str = ""  # why the outcome is not DONE
