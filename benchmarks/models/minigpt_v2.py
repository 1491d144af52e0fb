"""MiniGPT-v2: the vision tower alone, and whole answers through the engine, including preparation of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.models.answering import Answered, Answering, Ids, answering_parts
from benchmarks.models.random_weights import randomised
from benchmarks.models.setup import Setup, no_stop
from benchmarks.models.shapes import shape
from benchmarks.models.work import Decoder, picture_encoder
from benchmarks.support.answers import generated
from merrflow_minigpt_v2.engines.minigpt_v2 import language, preprocessing, vision
from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Architecture, published
from merrflow_minigpt_v2.engines.minigpt_v2.engine import MiniGptV2
from merrflow_minigpt_v2.engines.minigpt_v2.generation import AnswerGenerator, Question
from merrflow_minigpt_v2.engines.minigpt_v2.loading import LoadedModel
from merrflow_minigpt_v2.engines.minigpt_v2.tokenizer import PromptIds
from merrflow_minigpt_v2.engines.minigpt_v2.vision import VisionEncoder
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_minigpt_v2.types import SceneItem
from merrflow_serving.errors import MerrflowError
from merrflow_serving.torch.device import BatchLimit
from merrflow_serving.weights.checkpoint import parameters_on_meta


class Numbers:
    """Replaces the tokenizer: prompts are random tokens, as many as in the published one; answers are their ids."""

    def __init__(self, before: int, after: int, vocabulary: int, seed: int) -> None:
        drawn = np.random.default_rng(seed).integers(0, vocabulary, before + after).tolist()
        self._ids = PromptIds(tuple(drawn[:before]), tuple(drawn[before:]))

    def prompt(self, text: str) -> PromptIds:
        return self._ids

    def text(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


class Unloaded(MiniGptV2):
    """The engine with a model passed in, which `load` would read from files."""

    def generator(self, model: LlamaForCausalLM, stop: int) -> AnswerGenerator:
        """The generator as `load` sets it up, except for what ends an answer."""
        prompt_config = self._prompt()
        return AnswerGenerator(model, prompt_config.decoding, [stop], prompt_config.answer_tokens)

    def give(self, loaded: LoadedModel) -> None:
        """Ready for `run`."""
        self._loaded = loaded
        self._pool = self._pool or ThreadPoolExecutor(4, thread_name_prefix="pixels")


class MiniGpt(Answering):
    """The model, and frames for it."""

    name, unit = "minigpt-v2", "images"
    parts = answering_parts(unit)

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.setup = setup
        about = shape(self.name, setup.size)
        self.shape = _architecture(about["vision"])
        config = LlamaConfig(**about["language"])
        with parameters_on_meta():
            tower = vision.build(self.shape, setup.attention)
            joined = torch.nn.Linear(self.shape.vision.width * self.shape.projection.patches, config.hidden_size)
            model = language.build(config, setup.attention)
        made = {"device": setup.device, "seed": setup.seed}
        tower = randomised(tower, dtype=vision.tower_dtype(setup.dtype), **made)
        self.vision_encoder = VisionEncoder(self.shape, tower, randomised(joined, dtype=torch.float32, **made))
        self.model = randomised(model, dtype=setup.dtype, **made)
        self.tokens = Numbers(about["before"], about["after"], config.vocab_size, setup.seed)
        self.stop = no_stop(config.vocab_size)
        settings = MiniGptSettings(device=str(setup.device), answer_tokens=setup.tokens, decoding="greedy")
        self.engine = Unloaded(settings, self.shape)
        self.generator = self.engine.generator(self.model, self.stop)
        self._pictures, self._instruction = settings.encoder_batch, settings.max_instruction_tokens
        self.encoder = picture_encoder(tower, joined, image_tokens=self.shape.image_tokens)
        self.decoder = Decoder.of(self.model)
        self.prompt = len(self.tokens.prompt("")) + self.shape.image_tokens
        self._height, self._width = about["frame"]

    def items(self, count: int) -> list[np.ndarray]:
        """(height, width, 3) uint8 each: blocks of random colours."""
        coarse = np.random.default_rng(self.setup.seed).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
        return [one.repeat(self._height // 6, 0).repeat(self._width // 8, 1) for one in coarse]

    def prepared(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        picture = self.shape.image
        return [preprocessing.normalise(preprocessing.resize_image(frame, picture.size), picture) for frame in items]

    def encode(self, prepared: Sequence[np.ndarray]) -> list[torch.Tensor]:
        return self.vision_encoder.encode(prepared)

    def answer_alone(self, item: np.ndarray) -> Ids:
        seen = self.vision_encoder.encode(self.prepared([item]))[0]
        row = self.generator.splice(Question(seen, self.tokens.prompt("")))
        return generated(self.model, [self.stop], self.setup.tokens, inputs_embeds=row[None])

    def answer(self, items: Sequence[np.ndarray]) -> Answered:
        encoding, decoding = BatchLimit(min(self._pictures, len(items))), BatchLimit(len(items))
        self.engine.give(
            LoadedModel(
                self.shape,
                self.vision_encoder,
                self.generator,
                self.tokens,
                instruction_tokens=self._instruction,
                answer_tokens=self.setup.tokens,
                encoding=encoding,
                decoding=decoding,
            )
        )
        answers = []
        for scene in self.engine.run([SceneItem(frame) for frame in items]):
            if isinstance(scene, MerrflowError):
                raise RuntimeError(f"the engine refused a frame: {scene}")
            answers.append(tuple(map(int, scene.text.split())))
        return Answered(answers, encoding.size, decoding.size)


def _architecture(vision_shape: dict[str, int]) -> Architecture:
    """The published one, with the sizes of `shapes.yaml`."""
    whole = published()
    sizes = dict(vision_shape)
    image = whole.image.model_copy(update={"size": sizes.pop("size")})
    return whole.model_copy(update={"image": image, "vision": whole.vision.model_copy(update=sizes)})
