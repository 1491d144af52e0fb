"""A scene as it is reasoned over: people and what they do, without camera and light (`data/scenes.yaml`)."""

from __future__ import annotations

import re
from functools import cache

from merrflow_llama3.check_rules import Words, pattern
from merrflow_llama3.datafiles import read_as
from merrflow_serving.prompt_files import Strict

_PART = re.compile(r"""(?:"[^"]*"|[^.!?;"]|"|[.](?=\d))+[.!?;]*""")


class SceneRules(Strict):
    """The whole file."""

    version: str
    longest: int
    setting: Words
    people: Words


@cache
def scene_rules() -> SceneRules:
    """The rules, read once. Raises `NotReady` that names the wrong entry."""
    return read_as("scenes", SceneRules)


def people_in(scene: str) -> str:
    """The sentences, and parts between semicolons, that are not of the setting alone; the first of all if none is left.

    Up to some 30 words, and to the end of a sentence: its second half may say who of several people is meant.
    """
    rules = scene_rules()
    parts = [found.group(0).strip() for found in _PART.finditer(scene)]
    kept: list[str] = []
    for part in parts:
        of_people = pattern(rules.people).search(part)
        if pattern(rules.setting).search(part) and not of_people:
            continue
        goes_on = bool(kept) and kept[-1].endswith(";")
        if kept and not goes_on and sum(len(one.split()) for one in (*kept, part)) > rules.longest:
            break
        kept.append(part)
    return _sentences(kept or parts[:1])


def _sentences(parts: list[str]) -> str:
    joined = ""
    for part in parts:
        begins = not joined or joined.endswith((".", "!", "?"))
        joined += (" " if joined else "") + (part[:1].upper() + part[1:] if begins and joined else part)
    return joined.rstrip("; ") + ("." if joined.rstrip().endswith(";") else "")
