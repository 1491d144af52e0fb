"""What a stage returns when a clip ends there: filtered by a rule, which is not a failure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Skip:
    """The clip stops at this stage. `reason` is a sentence for people, without a closing stop."""

    reason: str
