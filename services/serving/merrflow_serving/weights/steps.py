"""What a person must do to get weights: exact commands, for errors and for `merrflow models list`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from merrflow_serving.weights.entries import Entry, Repository
from merrflow_serving.weights.places import WeightSettings

if TYPE_CHECKING:
    from merrflow_serving.weights.whole import Check

PAGES = {"huggingface": "https://huggingface.co/{id}", "modelscope": "https://modelscope.cn/models/{id}"}
TOKENS = {
    "huggingface": "make a token with read access at https://huggingface.co/settings/tokens and set HF_TOKEN to it",
    "modelscope": "take a token from https://modelscope.cn/my/myaccesstoken and set MODELSCOPE_API_TOKEN to it",
}
TOKEN_VARIABLES = {"huggingface": "HF_TOKEN", "modelscope": "MODELSCOPE_API_TOKEN"}
HUB_OPTIONS = {"huggingface": "", "modelscope": " --hub modelscope"}  # beside the default
LISTED = 6


def to_get(entry: Entry, folder: Path, hub: str) -> list[str]:
    """The steps, one a line of text."""
    if entry.steps:
        return [step.format(folder=shlex.quote(str(folder))) for step in entry.steps]
    place = entry.repositories.get(hub)
    if place is None:
        hubs = ", ".join(entry.repositories)
        return [f"{hub} has no {entry.name}: set MERRFLOW_HUB to one of: {hubs}", *to_get_from_first(entry, folder)]
    return to_pull(entry, place, hub, gated=place.gated)


def to_pull(entry: Entry, place: Repository, hub: str, *, gated: bool) -> list[str]:
    """The steps to get it from this hub."""
    page = PAGES[hub].format(id=place.id)
    steps = [f"log in at {page} and accept the licence there", TOKENS[hub]] if gated else []
    return [*steps, f"run: merrflow models pull {entry_word(entry)}{HUB_OPTIONS[hub]}"]


def to_get_from_first(entry: Entry, folder: Path) -> list[str]:
    """The steps for the first hub that has it."""
    return to_get(entry, folder, next(iter(entry.repositories)))


def entry_word(entry: Entry) -> str:
    """What the entry is called on the command line."""
    return entry.name if entry.service else next(iter(entry.repositories.values())).id


def numbered(steps: list[str]) -> str:
    return "; ".join(f"({number}) {step}" for number, step in enumerate(steps, 1)) if len(steps) > 1 else steps[0]


def absent(entry: Entry, folder: Path, settings: WeightSettings, result: Check) -> str:
    """Weights that are not there and may not, or cannot, be pulled."""
    why = " and the settings say offline" if settings.offline and entry.repositories else ""
    return (
        f"the weights {entry.name} are not in {folder}{why} (missing: {_some(result.missing)}). To get them: "
        f"{numbered(to_get(entry, folder, settings.hub))}. Files that are elsewhere already: name their folder in the "
        "service's setting WEIGHTS"
    )


def own_folder(entry: Entry, folder: Path, result: Check) -> str:
    """A folder of the user's own that is not whole: it is his, so nothing is pulled into it."""
    if result.damaged:
        return f"{folder} does not hold {entry.name} as it was published: {'; '.join(result.damaged)}"
    return (
        f"{folder}, which the setting WEIGHTS names, lacks {_some(result.missing)} of {entry.name}; put them there or "
        f"in {folder / entry.name}, or leave WEIGHTS empty to have them pulled"
    )


def damaged(entry: Entry, folder: Path, result: Check) -> str:
    """Files below models_dir that are not what they were."""
    return (
        f"the weights {entry.name} in {folder} are damaged: {'; '.join(result.damaged)}. To get these files anew, run: "
        f"merrflow models pull {entry_word(entry)}"
    )


def _some(names: tuple[str, ...]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
