"""The faces of a clip, as the ledger keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from merrflow.core.measurements import ActionUnitSeries

STAGE = "action_units"  # whose result they are


@dataclass(frozen=True)
class _Kept:
    value: ActionUnitSeries


_KEPT = TypeAdapter(_Kept)


def series_in(result: bytes) -> ActionUnitSeries:
    """What a result of the stage says. Raises `ValidationError`."""
    return _KEPT.validate_json(result).value
