"""Which engine a replica runs, and whether it may work beside the others: records must not mix engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from merrflow.common.v1 import common_pb2
from merrflow_serving.engine import EngineInfo, Limits

Identity = dict[str, str]


def identity(engine: common_pb2.EngineInfo | EngineInfo) -> Identity:
    """What of an engine decides its answers: part of every fingerprint."""
    found = {key: getattr(engine, key) for key in ("engine", "model", "revision", "dtype", "prompt_version")}
    for key in ("scoring_prompt_version", "translation_prompt_version"):
        if version := getattr(engine, key):
            found[key] = version
    return found


def limits_of(limits: common_pb2.Limits | Limits) -> Identity:
    """What an engine refuses as too large, as text."""
    return {key: str(getattr(limits, key)) for key in ("max_pixels", "max_frames", "max_seconds", "max_tokens")}


@dataclass(frozen=True)
class Statement:
    """What a replica said of itself, at one time."""

    address: str
    info: common_pb2.InfoResponse


def refusal(service: str, new: Statement, reference: Statement | None, ready: Sequence[Statement]) -> str:
    """Why a replica may not work beside the others; empty if it may.

    reference: what every replica of the service must be. ready: of the other replicas that work.
    """
    if new.info.service != service:
        return f"at {new.address} is the service {new.info.service!r}, not {service}"
    unlike = difference(new, reference) if reference else ""
    if not unlike and new.info.ready and ready:
        unlike = difference_in_limits(new, ready[0])
    if not unlike:
        return ""
    return (
        f"the replicas of {service} differ: {unlike}; records must not mix engines, so give all of them "
        "the same engine, model and settings"
    )


def difference(one: Statement, other: Statement) -> str:
    """How the engine of `one` differs from that of `other`, in words; empty if they are the same.

    A value that is not known before the model is loaded counts only if both are loaded.
    """
    return _unlike(one, other, identity(one.info.engine), identity(other.info.engine))


def difference_in_limits(one: Statement, other: Statement) -> str:
    """The same for what they refuse as too large. Loading may lower it, so it is for loaded ones."""
    return _unlike(one, other, *(_all_limits(side.info.limits) for side in (one, other)))


def _all_limits(limits: common_pb2.Limits) -> Identity:
    return limits_of(limits) | {key: str(getattr(limits, key)) for key in ("max_message_bytes", "max_media_bytes")}


def _unlike(one: Statement, other: Statement, mine: Identity, theirs: Identity) -> str:
    both_loaded = one.info.ready and other.info.ready
    where = f"{other.address} before" if one.address == other.address else other.address
    parts = []
    for key in dict.fromkeys((*mine, *theirs)):
        here, there = mine.get(key, ""), theirs.get(key, "")
        if here != there and (both_loaded or (here and there)):
            parts.append(f"{key} is {here or 'empty'} at {one.address} and {there or 'empty'} at {where}")
    return ", ".join(parts)
