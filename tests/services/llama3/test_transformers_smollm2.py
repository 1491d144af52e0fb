"""The `transformers` engine with real weights: the packaged SmolLM2-135M-Instruct, which is a LlamaForCausalLM."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
import torch

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.llama3.v1 import llama3_pb2 as pb
from merrflow.llama3.v1 import llama3_pb2_grpc as pb_grpc
from merrflow_llama3 import SPEC, gguf_files
from merrflow_llama3.engines import transformers as package
from merrflow_llama3.engines.language_model import Ask
from merrflow_llama3.engines.transformers import Transformers
from merrflow_llama3.language import foreign_sentence
from merrflow_llama3.types import ScoreItem
from merrflow_serving.server import Server
from tests.services.llama3.clue_sets import ALL, ANGRY, CHINESE, SAD

LABELS = ("angry", "happy", "sad")
# Half a minute of a core. What an edit of the engine breaks, the tests with tiny models find; these find what another
# release of transformers or torch does to real weights.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def smol() -> Iterator[Transformers]:
    made = Transformers(
        SPEC.settings(
            engine="transformers", weights=str(gguf_files.locate(None)), device="cpu", threads=1, max_batch_size=32,
            context_tokens=640, answer_tokens=32, attempts=1, score_prompt="score_small",
        )
    )  # fmt: skip
    made.load()
    yield made
    made.close()


def test_32_mixed_prompts_at_once_give_the_tokens_of_one_by_one(smol):
    drawn = random.Random(5)
    words = " ".join(f"{clues.scene} {clues.tone} {clues.subtitle}" for clues in ALL).split()
    prompts = [smol._tokenizer.answer(" ".join(drawn.sample(words, drawn.randint(1, 12)))) for _ in range(32)]
    model = smol._model
    sampling, model._sampling = model._sampling, model._sampling.model_copy(update={"temperature": 0.0})
    model._restart()
    try:
        together: dict[int, tuple[int, ...]] = {}
        model.generate(
            [Ask(tokens, 0, 4) for tokens in prompts], lambda place, drawn: together.update({place: drawn.tokens})
        )
        for place, tokens in enumerate(prompts):
            given = torch.tensor([tokens])
            made = model._model.generate(
                given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=4
            )
            made = [token for token in made[0, len(tokens) :].tolist() if token not in smol._tokenizer.stops]
            assert list(together[place]) == made
    finally:
        model._sampling = sampling
        model._restart()


def test_labels_weigh_as_they_do_in_llama_cpp(smol, engine):
    """Another implementation with the same weights, which rounds activations to 8 bits."""
    items = [ScoreItem(clues, LABELS) for clues in (SAD, ANGRY, CHINESE)]
    for ours, theirs in zip(smol.run(items), engine.run(items), strict=True):
        assert ours.prompt_tokens == theirs.prompt_tokens
        for a, b in zip(ours.scores, theirs.scores, strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=0.3)
            assert a.probability == pytest.approx(b.probability, abs=0.1)


async def test_sensible_text_through_grpc(smol, monkeypatch):
    monkeypatch.setattr(package, "Transformers", lambda settings: smol)  # loaded already: 10 s are saved
    monkeypatch.setattr(smol, "load", lambda: None)
    monkeypatch.setattr(smol, "close", lambda: None)
    server = Server(SPEC, SPEC.settings(engine="transformers", port=0, drain_seconds=5))
    await server.start()
    await server.wait_ready()
    try:
        import grpc

        async with grpc.aio.insecure_channel(server.address) as channel:
            info = await common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest())
            assert info.ready and (info.engine.engine, info.engine.device) == ("transformers", "cpu")
            assert info.engine.revision == gguf_files.PACKAGED.revision and info.engine.licence == "Apache-2.0"
            assert info.limits.max_batch_size == 32
            stub = pb_grpc.EmotionReasonerStub(channel)
            requests = [
                pb.ReasonRequest(clip="clip", clues=pb.Clues(**vars(clues)), seed=seed)
                for clues in (SAD, ANGRY)
                for seed in (1, 2)
            ]
            replies = await asyncio.gather(*map(stub.Reason, requests))
            again = await stub.Reason(requests[1])
            score = await stub.Score(pb.ScoreRequest(clip="clip", clues=pb.Clues(**vars(SAD)), labels=LABELS))
    finally:
        await server.stop()
    assert again.text == replies[1].text and len({reply.text for reply in replies}) == 4
    for reply in replies:
        assert len(reply.text.split()) > 8 and reply.text.isascii()
        assert foreign_sentence([reply.text]) is None
        assert reply.engine == info.engine and reply.prompt_tokens > 300
    assert sum(one.probability for one in score.scores) == pytest.approx(1)
