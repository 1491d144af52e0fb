"""Prompts for a model behind an endpoint: the engine's own, and those that MERR's authors published."""

from __future__ import annotations

from importlib.resources import files
from typing import Self

from pydantic import Field, model_validator

from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_serving.prompt_files import PromptFile, read_prompt

_ENGINES = files("merrflow_minigpt_v2") / "engines"
_PUBLISHED = ("merr_words", "merr_content")  # of the engine minigpt_v2
DEFAULT = "scene"


class ScenePrompt(PromptFile):
    """A question about a frame."""

    system: str = ""
    text: str = Field(min_length=1)
    several: str = ""
    answer_tokens: int = Field(ge=1)

    @model_validator(mode="after")
    def _fill_once(self) -> Self:
        try:
            self.several.format(number=1, count=2)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"several names something that is neither number nor count: {error}") from error
        return self

    def question(self, instruction: str, number: int, count: int) -> str:
        """The question; `instruction`, if any, in the place of the prompt's own. number: of the frame, from 1."""
        before = self.several.format(number=number, count=count) if count > 1 else ""
        return f"{before} {instruction.strip() or self.text}".strip()


def load_scene_prompt(settings: MiniGptSettings) -> ScenePrompt:
    """The prompt that the settings name; without one, `scene`. Raises `NotReady`."""
    name = settings.prompt if "prompt" in settings.model_fields_set else DEFAULT
    folder = _ENGINES / ("minigpt_v2" if name in _PUBLISHED else "openai") / "prompts"
    return read_prompt(name, ScenePrompt, folder, f"`{DEFAULT}`, {', '.join(f'`{one}`' for one in _PUBLISHED)}")
