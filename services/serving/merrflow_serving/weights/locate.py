"""Where an entry's files are, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from merrflow_serving.errors import PASSING, InvalidInput, NotReady
from merrflow_serving.weights import messages, pull
from merrflow_serving.weights.entries import Entry, entry
from merrflow_serving.weights.files import Check, check, missing_files, wanted_files
from merrflow_serving.weights.manifest import read_manifest, sample
from merrflow_serving.weights.names import listed
from merrflow_serving.weights.places import WeightSettings
from merrflow_serving.weights.validation import validate

log = structlog.get_logger()


def folder_of(name: str, settings: WeightSettings) -> Path:
    """The folder that holds the entry, or would.

    A folder from the settings may hold one entry's files, or a folder for each entry, named as the entry.
    """
    found = entry(name)
    if not settings.weights:
        return settings.models_dir / found.name
    folder = Path(settings.weights).expanduser()
    return folder / found.name if (folder / found.name).is_dir() else folder


def locate(name: str, settings: WeightSettings) -> Path:
    """The folder with the entry's files, all there, of the right size and sha256 if these are known.

    In a folder that the settings name, other weights of the same model are taken too, with a warning.

    name: an entry of weights.yaml, or "organisation/name[@revision]" for another model on the hub.
    Files that are missing below `models_dir` are pulled unless the settings say `offline`; a folder of the user's own
    is never written to. Before gigabytes are read or pulled, it is validated that their engine can run here.
    Raises `NotReady` with the steps to take.
    """
    return locate_all({name: settings})[name]


def locate_all(wanted: Mapping[str, WeightSettings]) -> dict[str, Path]:
    """`locate` for several entries, each with its settings.

    All are looked at, and the hub is asked for those to be pulled, before the first byte comes. Raises `NotReady`
    that names everything that is in the way, not only the first.
    """
    folders: dict[str, Path] = {}
    to_pull: dict[str, tuple[Entry, WeightSettings]] = {}
    problems: list[NotReady] = []
    for name, settings in wanted.items():
        try:
            found = _found(name)
            validate(found, settings)
            folders[name] = folder_of(name, settings)
            if not _is_whole(found, folders[name], settings):
                to_pull[name] = (found, settings)
        except NotReady as error:
            problems.append(error)
    if len(wanted) > 1 and to_pull:
        problems += pull.preflight(list(to_pull.values()))
    if problems:
        raise together(problems)
    return folders | {name: pull.pull(*one) for name, one in to_pull.items()}


def together(problems: list[NotReady]) -> NotReady:
    """One error that says all of them. It passes only if each of them may."""
    lasting = [one.reason for one in problems if one.reason not in PASSING]
    return NotReady("\n".join(map(str, problems)), reason=(lasting or [problems[0].reason])[0])


def _found(name: str) -> Entry:
    try:
        return entry(name)
    except InvalidInput as error:
        raise NotReady(str(error), reason="MODEL_MISSING") from error


def _is_whole(found: Entry, folder: Path, settings: WeightSettings) -> bool:
    """False if it is to be pulled. Raises `NotReady` if it may not, or cannot, be."""
    result = check(found, folder, settings.models_dir)
    if result.whole:
        return True
    if settings.weights:
        _accept_the_users_own(found, folder, settings, result)
        return True
    if result.damaged:
        raise messages.damaged(found, folder, settings.hub, result)
    if result.unreadable:
        raise messages.unreadable(found, folder, result)
    if settings.offline or found.asks or not found.source(settings.hub):
        raise messages.absent(found, folder, settings, result)
    return False


def _accept_the_users_own(entry: Entry, folder: Path, settings: WeightSettings, known: Check) -> None:
    """A folder that the settings name may hold other weights of the same model, and gets a warning then.

    known: how it differs from what is published. Raises `NotReady` if files are missing or broken.
    """
    found = check(entry.in_any_form(), folder, settings.models_dir)
    if found.missing or found.broken or found.unreadable:
        raise messages.own_folder(entry, folder, replace(found, broken=known.damaged if found.broken else ()))
    log.warning(
        "these are not the weights that are published, and are used because the setting WEIGHTS names them",
        weights=entry.name,
        folder=str(folder),
        differences=listed([*known.different, *(f"no {name}" for name in known.missing)], messages.LISTED),
    )


def revision(name: str, settings: WeightSettings) -> str:
    """What identifies the weights, without loading or hashing them whole; "" if they are absent or cannot be read.

    The hub's commit if they were pulled and are as they were; else "sampled:" and 16 hexadecimal digits for the files'
    names, sizes and 64 pieces of each, evenly spread: other weights differ in them everywhere, and the same files give
    the same digits on every machine.
    """
    try:
        found = entry(name)
        folder = folder_of(name, settings)
        if settings.weights and missing_files(found, folder):
            found = found.in_any_form()
        if missing_files(found, folder):
            return ""
        manifest = read_manifest(folder)
        sampled = sample(folder, wanted_files(found, folder))
    except (InvalidInput, OSError):  # `locate` says what cannot be read
        return ""
    if manifest.revision and manifest.sampled == sampled:
        return manifest.revision
    return f"sampled:{sampled}"
