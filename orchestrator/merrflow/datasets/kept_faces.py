"""The faces of a clip, as the ledger keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from merrflow.core.measurements import ActionUnitSeries

STAGE = "action_units"  # whose result they are


@dataclass(frozen=True)
class KeptFaces:
    """A result of the stage."""

    value: ActionUnitSeries
    origin: Any = None

    @property
    def engine(self) -> str:
        """That measured them; empty if the result does not say it."""
        engine: str = (self.origin or {}).get("engine", "")
        return engine


_KEPT = TypeAdapter(KeptFaces)


def kept_in(result: bytes) -> KeptFaces:
    """What the ledger's bytes say. Raises `ValidationError`."""
    return _KEPT.validate_json(result)
