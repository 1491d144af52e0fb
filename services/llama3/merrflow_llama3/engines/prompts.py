"""Which prompts an engine uses, and what of them goes into every reply."""

from __future__ import annotations

from typing import NamedTuple

from merrflow_llama3.prompt import Prompt, load_prompt
from merrflow_llama3.scoring import load_scoring_prompt
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.translation import load_translation_prompt


class PromptNames(NamedTuple):
    """Names of packaged prompts, or paths of YAML files."""

    reasoning: str
    scoring: str
    translation: str  # empty for a model that cannot translate


def prompt_names(settings: Llama3Settings, *, small_model: bool = False) -> PromptNames:
    """The prompts that the settings name; otherwise the defaults for a model of this size."""
    reasoning, scoring = ("small", "score_small") if small_model else ("grounded", "score")
    translation = "" if small_model else settings.translate_prompt
    return PromptNames(settings.prompt or reasoning, settings.score_prompt or scoring, translation)


def longest_answer(settings: Llama3Settings, prompt: Prompt) -> int:
    """Tokens of an answer at most."""
    return settings.answer_tokens or prompt.answer_tokens


def prompt_versions(settings: Llama3Settings, names: PromptNames) -> dict[str, str]:
    """`EngineInfo`'s fields for the prompts: name and hash of all that shapes an answer besides model and code.

    Raises `NotReady` if a prompt cannot be used.
    """
    prompt = load_prompt(names.reasoning)
    return {
        "prompt_version": prompt.stamp(answer_tokens=longest_answer(settings, prompt), attempts=settings.attempts),
        "scoring_prompt_version": load_scoring_prompt(names.scoring).stamp(),
        "translation_prompt_version": _translation_version(settings, names, prompt),
    }


def _translation_version(settings: Llama3Settings, names: PromptNames, prompt: Prompt) -> str:
    if not names.translation:
        return ""
    # Attempts after the first are drawn as the reasoning prompt says: a loaded model has one way of drawing.
    sampling = prompt.sampling.model_dump()
    return load_translation_prompt(names.translation).stamp(attempts=settings.attempts, sampling=sampling)
