"""Asks an endpoint what a frame shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from merrflow_minigpt_v2.engines.openai.pictures import JPEG, LONGEST_SIDE, data_url, pictures
from merrflow_minigpt_v2.engines.openai.prompt import ScenePrompt, load_scene_prompt
from merrflow_minigpt_v2.frames import check_frame
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_minigpt_v2.types import Scene, SceneItem
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import NotReady, TooLarge
from merrflow_serving.openai.engine import Calls, OpenAIEngine
from merrflow_serving.openai.reading import check_reads

NOTE = "a vision-language model behind an endpoint: it may name what is not there"
LONGEST_INSTRUCTION = 2_000  # characters


class OpenAIScenes(OpenAIEngine[MiniGptSettings, SceneItem, Scene]):
    """Item: `SceneItem`. Result: `Scene`."""

    def __init__(self, settings: MiniGptSettings) -> None:
        super().__init__(settings, "merrflow-minigpt-v2")
        self._prompt: ScenePrompt | None = None

    def prepare(self) -> None:
        self._prompt = load_scene_prompt(self.settings)

    def check(self, calls: Callable[[], Calls]) -> None:
        """Raises `NotReady` for a model that reads no pictures."""
        blank = np.full((64, 64, 3), 127, np.uint8)
        check_reads(calls, {"type": "image_url", "image_url": {"url": data_url(blank)}}, "pictures")

    def info(self) -> EngineInfo:
        """Model and prompt, without any call."""
        stamp = ""
        with suppress(NotReady):  # `load` reports it
            stamp = self._stamp(self._prompt or load_scene_prompt(self.settings))
        return self.identity(Limits(max_pixels=self.settings.max_pixels), prompt_version=stamp, note=NOTE)

    def answer(self, item: SceneItem, calls: Callable[[str], Calls]) -> Scene:
        """Raises `InvalidInput` for a frame or instruction that cannot be sent, and what `Calls.chat` raises."""
        check_frame(item.image, self.settings.max_pixels)
        if len(item.instruction) > LONGEST_INSTRUCTION:
            raise TooLarge(f"the instruction has more than {LONGEST_INSTRUCTION} characters")
        prompt = self._prompt
        assert prompt is not None, "load() comes first"
        shown, number = pictures(item, self.settings.openai_frames)
        parts: list[Mapping[str, Any]] = [{"type": "image_url", "image_url": {"url": data_url(one)}} for one in shown]
        parts.append({"type": "text", "text": prompt.question(item.instruction, number, len(shown))})
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        asked = calls(self._stamp(prompt))
        reply = asked.chat(
            [*system, {"role": "user", "content": parts}],
            temperature=0.0,
            seed=self.settings.seed,
            max_tokens=self._answer_tokens(prompt),
        )
        plain = "".join(one for one in reply.text if one.isspace() or one.isprintable())
        return Scene(" ".join(plain.split()), outcome=reply.outcome, usage=asked.usage)

    def _answer_tokens(self, prompt: ScenePrompt) -> int:
        return self.settings.answer_tokens or prompt.answer_tokens

    def _stamp(self, prompt: ScenePrompt) -> str:
        return prompt.stamp(
            answer_tokens=self._answer_tokens(prompt),
            seed=self.settings.seed,
            frames=self.settings.openai_frames,
            picture=(LONGEST_SIDE, *JPEG),
            extra=self.extra(),
        )
