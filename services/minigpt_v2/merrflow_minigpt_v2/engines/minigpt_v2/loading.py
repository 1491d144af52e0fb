"""From three folders of weights to a model that has run its largest batches once. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch

from merrflow_minigpt_v2.engines.minigpt_v2 import language
from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Architecture
from merrflow_minigpt_v2.engines.minigpt_v2.files import (
    CHECKPOINT,
    CHECKPOINT_FILE,
    LANGUAGE,
    TOKENIZER_FILE,
    VISION,
    VISION_FILE,
)
from merrflow_minigpt_v2.engines.minigpt_v2.generation import AnswerGenerator, Question
from merrflow_minigpt_v2.engines.minigpt_v2.prompts import PromptConfig
from merrflow_minigpt_v2.engines.minigpt_v2.tokenizer import PromptIds, Tokenizer
from merrflow_minigpt_v2.engines.minigpt_v2.vision import VisionEncoder
from merrflow_serving.errors import NotReady, TooLarge
from merrflow_serving.torch.device import BatchLimit, run_split
from merrflow_serving.weights.checkpoint import read_tensors

log = structlog.get_logger()
VISION_PREFIX = "visual_encoder."  # in a checkpoint that was saved with the tower
LONGEST_TOKEN = 64  # characters; in Llama 2's vocabulary the longest has 16


@dataclass(frozen=True)
class LoadedModel:
    """The model and its limits."""

    shape: Architecture
    encoder: VisionEncoder
    generator: AnswerGenerator
    tokens: Tokenizer
    instruction_tokens: int  # of the longest instruction
    answer_tokens: int
    encoding: BatchLimit  # pictures at once
    decoding: BatchLimit  # rows at once

    @property
    def longest_question(self) -> int:
        """Tokens of the context."""
        return len(self.tokens.prompt("")) + self.shape.image_tokens + self.instruction_tokens

    def ids(self, text: str) -> PromptIds:
        """The prompt with an instruction. Raises `TooLarge` if it has too many tokens."""
        if len(text) > LONGEST_TOKEN * self.instruction_tokens:  # megabytes are not worth tokenizing
            raise TooLarge(f"the instruction has {len(text)} characters; it may have {self.instruction_tokens} tokens")
        ids = self.tokens.prompt(text)
        length = len(ids) - len(self.tokens.prompt(""))
        if length > self.instruction_tokens:
            raise TooLarge(f"the instruction has {length} tokens, more than {self.instruction_tokens}; shorten it")
        return ids

    def warm_up(self) -> None:
        """Runs the largest batches once, so that batches that do not fit lower the limits now.

        The question is as long as the longest with its whole answer, so its cache is the largest that can occur.
        Raises `TooLarge` if not even one row fits.
        """
        side = self.shape.image.size
        blank = np.zeros((3, side, side), np.float32)
        run_split(self.encoder.encode, [blank] * self.encoding.size, self.encoding)
        model, ids = self.generator.model, self.tokens.prompt("")
        tokens = self.longest_question + self.answer_tokens - len(ids) - 1
        longest = Question(torch.zeros(tokens, model.config.hidden_size, dtype=model.dtype, device=model.device), ids)
        run_split(self.generator.rehearse, [longest] * self.decoding.size, self.decoding)


def load(
    folders: Mapping[str, Path],
    shape: Architecture,
    prompt_config: PromptConfig,
    *,
    instruction_tokens: int,
    pictures: int,
    rows: int,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
) -> LoadedModel:
    """Reads the weights and builds the model.

    folders: for each of `ENTRIES`. pictures, rows: the largest batches.
    Raises `NotReady` that names the keys, file or setting at fault.
    """
    config = language.read_config(folders[LANGUAGE])
    tokens = Tokenizer(folders[LANGUAGE] / TOKENIZER_FILE, shape.template)
    base = read_tensors(folders[LANGUAGE])
    eva = read_tensors(folders[VISION] / VISION_FILE)
    checkpoint = _read_checkpoint(folders[CHECKPOINT] / CHECKPOINT_FILE)
    speaking, seeing = (
        language.trained(checkpoint, prefix, tensors)
        for prefix, tensors in ((language.PREFIX, base), (VISION_PREFIX, eva))
    )
    used = {language.PREFIX + name for name in speaking} | {VISION_PREFIX + name for name in seeing}
    used.update(*language.adapters(checkpoint, config, shape, base).values())
    language.check_checkpoint(checkpoint, config, shape, CHECKPOINT_FILE, used=used)
    if replaced := len(speaking) + len(seeing):
        log.info("the checkpoint's own tensors replace those below it", file=CHECKPOINT_FILE, tensors=replaced)
    base, eva = base | speaking, eva | seeing
    origins = (VISION_FILE, CHECKPOINT_FILE)
    encoder = VisionEncoder.load(
        shape,
        eva,
        checkpoint,
        language_width=config.hidden_size,
        device=device,
        dtype=dtype,
        attention=attention,
        origins=origins,
    )
    model = language.load(
        config, base, checkpoint, shape, device=device, dtype=dtype, attention=attention, origin=str(folders[LANGUAGE])
    )
    loaded = LoadedModel(
        shape,
        encoder,
        AnswerGenerator(model, prompt_config.decoding, shape.template.stops, prompt_config.answer_tokens),
        tokens,
        instruction_tokens,
        prompt_config.answer_tokens,
        BatchLimit(pictures),
        BatchLimit(rows),
    )
    _check_room(loaded, config.max_position_embeddings)
    try:
        loaded.ids(prompt_config.prompt.text)
    except TooLarge as error:
        raise NotReady(f"the prompt {prompt_config.prompt.name}: {error}, or raise MAX_INSTRUCTION_TOKENS") from error
    return loaded


def _read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """By their published names: as the authors save it, within "model", or a state_dict alone."""
    try:
        found = read_tensors(path, inside="model")
    except NotReady as error:
        try:
            found = read_tensors(path)
        except NotReady:
            raise error from None
    return language.published_names(found, path.name)


def _check_room(loaded: LoadedModel, positions: int) -> None:
    longest = loaded.longest_question + loaded.answer_tokens
    if longest > positions:
        raise NotReady(
            f"picture, instruction and answer may take {longest} tokens, the model has room for {positions}: "
            "lower ANSWER_TOKENS or MAX_INSTRUCTION_TOKENS"
        )
