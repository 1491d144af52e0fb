"""What a person must do to get weights: exact commands, for errors and for `merrflow models list`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from merrflow_serving import commands
from merrflow_serving.errors import NotReady
from merrflow_serving.weights.entries import Entry, Repository
from merrflow_serving.weights.files import Check
from merrflow_serving.weights.names import listed
from merrflow_serving.weights.places import HUBS, Hub, WeightSettings

PAGES = {"huggingface": "https://huggingface.co/{id}", "modelscope": "https://modelscope.cn/models/{id}"}
TOKENS = {
    "huggingface": "make a token with read access at https://huggingface.co/settings/tokens and set HF_TOKEN to it",
    "modelscope": "take a token from https://modelscope.cn/my/myaccesstoken and set MODELSCOPE_API_TOKEN to it",
}
TOKEN_VARIABLES = {"huggingface": "HF_TOKEN", "modelscope": "MODELSCOPE_API_TOKEN"}
HUB_OPTIONS = {"huggingface": "", "modelscope": " --hub modelscope"}  # beside the default
LISTED = 6


def steps_to_get(entry: Entry, folder: Path, hub: Hub) -> list[str]:
    """The steps, one a line of text."""
    if entry.steps:
        return _steps_by_hand(entry, folder)
    if entry.asks:
        return [
            f"read the licence, {entry.licence_url}",
            f"if you accept it, run: {commands.models('pull', entry.name, '--accept-licence')}",
        ]
    repository = entry.repositories.get(hub)
    if repository is not None:
        return _steps_to_pull(entry, repository, hub, gated=repository.gated)
    others = [one for one in HUBS if one in entry.repositories]
    other = f"{hub} has no {entry.name}: set MERRFLOW_HUB to one of: {', '.join(others)}"
    return [other, *steps_to_get(entry, folder, others[0])]


def _steps_by_hand(entry: Entry, folder: Path) -> list[str]:
    """A container's folder cannot be reached from outside: there, files are fetched into this folder and handed in."""
    place = "." if commands.in_container() else shlex.quote(str(folder))
    fetch = [step.format(folder=place).removeprefix("mkdir -p . && ") for step in entry.steps]
    return [*fetch, *commands.add(*(file.name for file in entry.files)), commands.models("verify", entry.name)]


def _steps_to_pull(entry: Entry, repository: Repository, hub: Hub, *, gated: bool) -> list[str]:
    page = PAGES[hub].format(id=repository.id)
    steps = [f"log in at {page} and accept the licence there", TOKENS[hub]] if gated else []
    return [*steps, f"run: {commands.models('pull', _typed(entry))}{HUB_OPTIONS[hub]}"]


def _typed(entry: Entry) -> str:
    """What the entry is called on the command line."""
    return entry.name if entry.service else next(iter(entry.repositories.values())).id


def _numbered(steps: list[str]) -> str:
    return "; ".join(f"({number}) {step}" for number, step in enumerate(steps, 1)) if len(steps) > 1 else steps[0]


def absent(entry: Entry, folder: Path, settings: WeightSettings, result: Check) -> NotReady:
    """Weights that are not there and may not, or cannot, be pulled."""
    why = " and the settings say offline" if settings.offline and entry.repositories else ""
    return NotReady(
        f"the weights {entry.name} are not in {folder}{why} (missing: {listed(result.missing, LISTED)}). To get them: "
        f"{_numbered(steps_to_get(entry, folder, settings.hub))}. Files that are elsewhere already: name their folder "
        "in the service's setting WEIGHTS",
        reason=result.reason,
    )


def own_folder(entry: Entry, folder: Path, result: Check) -> NotReady:
    """A folder of the user's own that is not whole; nothing is pulled into it."""
    if result.unreadable:
        return unreadable(entry, folder, result)
    if result.broken:
        text = f"{folder}, which the setting WEIGHTS names, cannot be used: {'; '.join(result.broken)}"
    else:
        text = (
            f"{folder}, which the setting WEIGHTS names, lacks {listed(result.missing, LISTED)} of {entry.name}; put "
            f"them there or in {folder / entry.name}, or leave WEIGHTS empty to have them pulled"
        )
    return NotReady(text, reason=result.reason)


def damaged(entry: Entry, folder: Path, hub: Hub, result: Check) -> NotReady:
    """Files below models_dir that are not what they were."""
    anew = commands.models("pull", _typed(entry))
    if not entry.repositories:
        anew = _numbered(steps_to_get(entry, folder, hub))
    faults = "; ".join((*result.damaged, *result.unreadable))
    return NotReady(
        f"the weights {entry.name} in {folder} are damaged: {faults}. To get these files anew, run: "
        f"{anew}. Then start the service again",
        reason=result.reason,
    )


def unreadable(entry: Entry, folder: Path, result: Check) -> NotReady:
    """Files, or a folder, that may not be read or that the disk does not give."""
    return NotReady(
        f"the weights {entry.name} in {folder} cannot be read: {'; '.join(result.unreadable)}. If this user (user "
        f"{os.geteuid()}) lacks the right, {commands.readable(folder)}",
        reason=result.reason,
    )


def on_another_hub(entry: Entry, folder: Path, hub: Hub) -> NotReady:
    """A pull of weights that the chosen hub does not have."""
    return NotReady(
        f"{entry.name} is not on {hub}. To get it: {_numbered(steps_to_get(entry, folder, hub))}",
        reason="MODEL_MISSING",
    )


def refused(entry: Entry, repository: Repository, hub: Hub, code: int, has_token: bool) -> NotReady:
    """A hub that does not let this user in: no token, a wrong one, or its licence is not accepted."""
    variable = TOKEN_VARIABLES[hub]
    steps = _steps_to_pull(entry, repository, hub, gated=True)
    if not has_token:
        why = f"no token is set in {variable}"
    elif code == 401:
        why, steps = f"the token in {variable} is wrong, or has expired", steps[1:]  # the licence may be accepted
    else:
        why = f"the token in {variable} may not read it, or its user has not accepted the licence"
    return NotReady(
        f"{hub} refuses the weights {entry.name} ({repository.id}, HTTP {code}): {why}. {_numbered(steps)}, or start "
        "the service again with the token",
        reason="MODEL_GATED",
    )


def unreachable(where: str, error: BaseException) -> NotReady:
    """A hub, or the way to it, that does not work."""
    text = str(error).strip().splitlines()
    return NotReady(
        f"{where} could not be reached ({text[0] if text else type(error).__name__}); files that came whole are kept. "
        "Check the network and its proxy (HTTPS_PROXY), or name a mirror (HF_ENDPOINT, MODELSCOPE_ENDPOINT), and try "
        "again",
        reason="HUB_UNREACHABLE",
    )
