"""MiniGPT-v2: the vision tower alone, and whole answers through the engine, preparing the pictures included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.how import How, no_stop
from benchmarks.llama import generated
from benchmarks.models.answering import Answering, Ids, Told
from benchmarks.models.each import each_batch
from benchmarks.random_weights import randomised
from benchmarks.rows import Row
from benchmarks.shapes import shape
from benchmarks.work import Decoder, picture_encoder
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

NAME = "minigpt-v2"
PARTS = (("tower", "images"), ("answers", "images"), ("answers", "tokens"))


class Numbers:
    """In the tokenizer's place: prompts of random tokens, as long as the published one; answers as their ids."""

    def __init__(self, before: int, after: int, vocabulary: int, seed: int) -> None:
        drawn = np.random.default_rng(seed).integers(0, vocabulary, before + after).tolist()
        self._ids = PromptIds(tuple(drawn[:before]), tuple(drawn[before:]))

    def prompt(self, text: str) -> PromptIds:
        return self._ids

    def text(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


class Unloaded(MiniGptV2):
    """The engine with a model given to it, where `load` would read one."""

    def generator(self, model: LlamaForCausalLM, stop: int) -> AnswerGenerator:
        """The generator as `load` sets it up, but for what ends an answer."""
        prompt_config = self._prompt()
        return AnswerGenerator(model, prompt_config.decoding, [stop], prompt_config.answer_tokens)

    def give(self, loaded: LoadedModel) -> None:
        """Ready for `run`."""
        self._loaded = loaded
        self._pool = self._pool or ThreadPoolExecutor(4, thread_name_prefix="pixels")


class MiniGpt(Answering):
    """The model, and frames for it."""

    name, unit = NAME, "images"

    def __init__(self, how: How) -> None:
        super().__init__()
        self.how = how
        about = shape(NAME, how.size)
        self.shape = _architecture(about["vision"])
        config = LlamaConfig(**about["language"])
        with parameters_on_meta():
            tower = vision.build(self.shape, how.attention)
            joined = torch.nn.Linear(self.shape.vision.width * self.shape.projection.patches, config.hidden_size)
            model = language.build(config, how.attention)
        made = {"device": how.device, "seed": how.seed}
        tower = randomised(tower, dtype=vision.tower_dtype(how.dtype), **made)
        self.vision_encoder = VisionEncoder(self.shape, tower, randomised(joined, dtype=torch.float32, **made))
        self.model = randomised(model, dtype=how.dtype, **made)
        self.tokens = Numbers(about["before"], about["after"], config.vocab_size, how.seed)
        self.stop = no_stop(config.vocab_size)
        settings = MiniGptSettings(device=str(how.device), answer_tokens=how.tokens, decoding="greedy")
        self.engine = Unloaded(settings, self.shape)
        self.generator = self.engine.generator(self.model, self.stop)
        self._pictures, self._instruction = settings.encoder_batch, settings.max_instruction_tokens
        self.encoder = picture_encoder(tower, joined, image_tokens=self.shape.image_tokens)
        self.decoder = Decoder.of(self.model)
        self.prompt = len(self.tokens.prompt("")) + self.shape.image_tokens
        self._height, self._width = about["frame"]

    def items(self, count: int) -> list[np.ndarray]:
        """(height, width, 3) uint8 each: blocks of random colours."""
        coarse = np.random.default_rng(self.how.seed).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
        return [one.repeat(self._height // 6, 0).repeat(self._width // 8, 1) for one in coarse]

    def prepared(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        picture = self.shape.image
        return [preprocessing.normalise(preprocessing.resize_image(frame, picture.size), picture) for frame in items]

    def encode(self, prepared: Sequence[np.ndarray]) -> list[torch.Tensor]:
        return self.vision_encoder.encode(prepared)

    def answer_alone(self, item: np.ndarray) -> Ids:
        seen = self.vision_encoder.encode(self.prepared([item]))[0]
        row = self.generator.splice(Question(seen, self.tokens.prompt("")))
        return generated(self.model, [self.stop], self.how.tokens, inputs_embeds=row[None])

    def answer(self, items: Sequence[np.ndarray]) -> Told:
        encoding, decoding = BatchLimit(min(self._pictures, len(items))), BatchLimit(len(items))
        self.engine.give(
            LoadedModel(
                self.shape,
                self.vision_encoder,
                self.generator,
                self.tokens,
                instruction_tokens=self._instruction,
                answer_tokens=self.how.tokens,
                encoding=encoding,
                decoding=decoding,
            )
        )
        answers = []
        for scene in self.engine.run([SceneItem(frame) for frame in items]):
            if isinstance(scene, MerrflowError):
                raise RuntimeError(f"the engine refused a frame: {scene}")
            answers.append(tuple(map(int, scene.text.split())))
        return Told(answers, encoding.size, decoding.size)


def _architecture(vision_shape: dict[str, int]) -> Architecture:
    """The published one, with the sizes of `shapes.yaml`."""
    whole = published()
    sizes = dict(vision_shape)
    image = whole.image.model_copy(update={"size": sizes.pop("size")})
    return whole.model_copy(update={"image": image, "vision": whole.vision.model_copy(update=sizes)})


def measure(how: How) -> Iterator[list[Row]]:
    """Rows of each batch size; see `each_batch`."""
    return each_batch(NAME, PARTS, lambda: MiniGpt(how), how.batches)
