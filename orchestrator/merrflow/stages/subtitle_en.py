"""What is said, in English: MERR's texts are. Part of the graph only if the run translates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from merrflow.core.spoken import Subtitle, Translation
from merrflow.stages.label_scores import SERVICE, reasoner
from merrflow.stages.reasoning import seed_of
from merrflow.stages.stage import Identity, Missing, Reply, Stage, Work
from merrflow.stages.validation import text_problem

VERSION_FIELD = "translation_prompt_version"  # of an engine's identity; only engines that translate have it


def cannot_translate(identities: Mapping[str, Identity]) -> str:
    """Why the run's engine does not translate, in a sentence that says what to do; empty if it does."""
    engine = identities[SERVICE]
    if engine.get(VERSION_FIELD):
        return ""
    return (
        f"subtitles are not translated: {engine['model']} (engine {engine['engine']} of {SERVICE}) does not translate; "
        "give the service a larger model (MERRFLOW_LLAMA3_MODEL_PATH, or MERRFLOW_LLAMA3_ENGINE=transformers), or set "
        "MERRFLOW_TRANSLATE=off"
    )


def without_translating(engine: Identity) -> dict[str, str]:
    """Of the engine's identity, what is left in a run that does not translate."""
    return {key: value for key, value in engine.items() if key != VERSION_FIELD}


def in_english(said: Subtitle, translated: Translation | None) -> Subtitle:
    """What is said in English if it was translated, else as it is."""
    return replace(said, text=translated.text, language="en") if translated and translated.text else said


async def _translate(work: Work, said: Subtitle) -> Reply[Translation]:
    assert said.text is not None
    return await work.run.services.translate(work.clip.name, said.text, said.language, seed_of(work))


def _without(work: Work, said: Subtitle) -> Missing | None:
    if said.text is None or said.language == "en" or not any(map(str.isalpha, said.text)):
        return Missing("")
    problem = cannot_translate(work.run.identities)
    return Missing(problem) if problem else None


def _key(work: Work, said: Subtitle) -> Any:
    engine = work.run.identities[SERVICE]
    translator = reasoner(engine) | {"prompt_version": engine.get(VERSION_FIELD, "")}
    return [said.text, said.language, seed_of(work), translator]


STAGE = Stage(
    name="subtitle_en",
    purpose="what is said, translated into English",
    compute=_translate,
    needs=("words",),
    reads_clip=False,
    service=SERVICE,
    result=Translation,
    key=_key,
    settings=("seed", "translate"),
    check=text_problem,
    optional=True,
    without=_without,
)
