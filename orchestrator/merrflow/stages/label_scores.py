"""How likely the reasoning model finds each label, given all clues and given each modality alone."""

from __future__ import annotations

from typing import Any

from merrflow.core.labels import LabelScores
from merrflow.core.texts import Clues
from merrflow.stages.stage import Identity, Missing, Reply, Stage, Work
from merrflow.stages.validation import scores_problem

SERVICE = "llama3"
_OTHER_PROMPTS = ("scoring_prompt_version", "translation_prompt_version")  # than that for texts
VIEWS = ("all", "face", "voice", "words")


def _stage(view: str) -> Stage[LabelScores]:
    def seen(work: Work, clues: Clues) -> Clues | None:
        return clues.views(work.run.settings.label_scores).get(view)

    def without(work: Work, clues: Clues) -> Missing | None:
        return None if seen(work, clues) else Missing("")  # not wanted, or no clue of this modality

    def key(work: Work, clues: Clues) -> Any:
        part = seen(work, clues)
        assert part is not None
        return [part.for_key(), work.run.rules.labels, scorer(work.run.identities[SERVICE])]

    async def score(work: Work, clues: Clues) -> Reply[LabelScores]:
        part = seen(work, clues)
        assert part is not None
        return await work.run.services.score(work.clip.name, part, work.run.rules.labels)

    return Stage(
        name=f"score_{view}",
        purpose=f"labels weighed by {'all clues' if view == 'all' else f'the {view} alone'}",
        compute=score,
        needs=("clues",),
        reads_clip=False,
        service=SERVICE,
        result=LabelScores,
        key=key,
        settings=("label_scores",),
        check=scores_problem,
        optional=True,
        without=without,
    )


def scorer(engine: Identity) -> dict[str, str]:
    """Of the engine's identity, what its scores of labels depend on."""
    return reasoner(engine) | {"prompt_version": engine.get("scoring_prompt_version", "")}


def reasoner(engine: Identity) -> dict[str, str]:
    """Of the engine's identity, what its texts depend on."""
    return {key: value for key, value in engine.items() if key not in _OTHER_PROMPTS}


def _together(work: Work, *scores: LabelScores | None) -> dict[str, dict[str, float]]:
    return {view: dict(found.probability) for view, found in zip(VIEWS, scores, strict=True) if found}


SCORES = tuple(map(_stage, VIEWS))
STAGE: Stage[dict[str, dict[str, float]]] = Stage(
    name="label_scores",
    purpose="the distributions over the labels together",
    compute=_together,
    needs=tuple(stage.name for stage in SCORES),
)
