"""Folders: OUT, and the disks of OUT and of the weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from merrflow.cli.doctor.engines import Chosen
from merrflow.cli.doctor.finding import Finding, Situation, unless
from merrflow.core.writable import existing, why_not_writable
from merrflow_serving.weights.entries import entry
from merrflow_serving.weights.places import WeightSettings
from merrflow_serving.weights.state import states
from merrflow_serving.weights.storage import SPARE_BYTES, giga

_OUT_BYTES = 1 << 30  # a record with its picture takes some hundred KB


def out(situation: Situation) -> Iterator[Finding]:
    """Whether OUT, or the folder in which it will be made, can be written to, and has room."""
    if situation.out is None:
        yield Finding("OUT", "note", "not looked at", "merrflow doctor --out OUT")
        return
    there = existing(situation.out)
    problem = why_not_writable(there)
    owner = there.stat().st_uid
    todo = f"run as root: chown -R {os.geteuid()} {there}, or choose another folder"
    if situation.inside:
        todo = f"start the containers with OUT_USER={owner}:{there.stat().st_gid}, or: {todo}"
    words = f"{situation.out} can be written to" if not problem else f"{there}: {problem} (this is user {os.geteuid()})"
    yield unless(not problem, "OUT", words, todo)
    free = shutil.disk_usage(there).free
    yield unless(free >= _OUT_BYTES, "disk of OUT", f"{giga(free)} GB free", "make room: 1 GB at least")


def bytes_to_come(one: Chosen, place: WeightSettings) -> int:
    """Of the weights of an engine, what is not in `place` yet."""
    found = states(one.weights, place) if one.weights else []
    return sum(max(0, entry(state.entry.name).bytes - state.bytes_here) for state in found if not state.found.whole)


def weights_disk(situation: Situation) -> Iterator[Finding]:
    """Room, on the disk of each folder for weights, for those that are not there yet."""
    lacking: dict[Path, int] = {}
    for one in situation.engines:
        if one.is_here and one.weights and not one.place.weights and not situation.containers:
            lacking[one.place.models_dir] = lacking.get(one.place.models_dir, 0) + bytes_to_come(one, one.place)
    for folder, size in lacking.items():
        there = existing(folder)
        problem = why_not_writable(there) if size else ""
        if problem:
            todo = "make it writable, or set MERRFLOW_MODELS_DIR"
            yield Finding("folder of weights", "missing", f"{there}: {problem}", todo)
        free = shutil.disk_usage(there).free
        yield room_for(size, folder, free, "MERRFLOW_MODELS_DIR")


def room_for(size: int, folder: Path, free: int, variable: str) -> Finding:
    """Whether weights of `size` bytes fit into what is `free` on the disk of `folder`, which the variable names."""
    words = f"{folder}: {giga(free)} GB free, {giga(size)} GB to come"
    todo = f"make room, or set {variable} to a larger disk"
    return unless(not size or free >= size + SPARE_BYTES, "disk of weights", words, todo)
