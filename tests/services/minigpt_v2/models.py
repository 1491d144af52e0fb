"""The parts of the small model, loaded the way the engine loads them, without files."""

from __future__ import annotations

import torch
from transformers import LlamaConfig

from merrflow_minigpt_v2.engines.minigpt_v2 import language
from merrflow_minigpt_v2.engines.minigpt_v2.generation import AnswerGenerator, Question
from merrflow_minigpt_v2.engines.minigpt_v2.tokenizer import Tokenizer
from merrflow_minigpt_v2.engines.minigpt_v2.vision import VisionEncoder
from merrflow_serving.torch.decoding import Decoding
from tests.services.minigpt_v2.tiny import CONFIG, SHAPE, TOKENIZER, Files

CPU = torch.device("cpu")
GREEDY = Decoding(temperature=0, top_p=1, repetition_penalty=1)
LLAMA = LlamaConfig.from_dict(CONFIG)


def vision_encoder(files: Files, *, dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> VisionEncoder:
    return VisionEncoder.load(
        SHAPE,
        files.eva,
        files.checkpoint,
        language_width=CONFIG["hidden_size"],
        device=CPU,
        dtype=dtype,
        attention=attention,
        origins=("eva_vit_g.pth", "minigptv2_checkpoint.pth"),
    )


def model(files: Files, *, dtype: torch.dtype = torch.float32, attention: str = "sdpa"):
    return language.load(
        LLAMA,
        files.llama,
        files.checkpoint,
        SHAPE,
        device=CPU,
        dtype=dtype,
        attention=attention,
        origin="Llama-2-7b-chat-hf",
    )


def answer_generator(files: Files, *, decoding: Decoding = GREEDY, answer_tokens: int = 12) -> AnswerGenerator:
    return AnswerGenerator(model(files), decoding, SHAPE.template.stops, answer_tokens)


def question(seen: torch.Tensor, text: str, seed: int = 0) -> Question:
    return Question(seen, Tokenizer(TOKENIZER, SHAPE.template).prompt(text), seed)
