"""The engine `openai` on llama.cpp's own server, which nobody here wrote, with the packaged SmolLM2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from merrflow.common.v1 import common_pb2
from merrflow.llama3.v1 import llama3_pb2 as pb
from merrflow.llama3.v1 import llama3_pb2_grpc as rpc
from merrflow_llama3 import SPEC
from merrflow_llama3.gguf_files import PACKAGED
from merrflow_minigpt_v2 import SPEC as SCENES
from tests.services.openai_engines import info_of, serving
from tests.services.real_servers import llamacpp_server

CLUES = {"scene": "A man sits alone.", "expressions": ["lowered lip corners"], "label": "sad"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pytest.importorskip("xllamacpp")
    with llamacpp_server() as found:
        yield found


@pytest.mark.slow
async def test_reasons_translates_and_scores_by_likelihoods(url):
    async with serving(SPEC, url, answer_tokens=40, attempts=2) as channel:
        stub = rpc.EmotionReasonerStub(channel)
        info = await info_of(channel)
        assert info.ready, info.problem
        reasoned = await stub.Reason(pb.ReasonRequest(clues=pb.Clues(**CLUES), seed=3))
        scored = await stub.Score(pb.ScoreRequest(clues=pb.Clues(**CLUES), labels=["happy", "sad", "angry"]))
        again = await stub.Score(pb.ScoreRequest(clues=pb.Clues(**CLUES), labels=["angry", "happy", "sad"]))
        translated = await stub.Translate(pb.TranslateRequest(text="Bonjour, mon ami.", language="fr"))
    assert reasoned.text and reasoned.usage.calls == reasoned.attempts
    assert reasoned.usage.input_tokens > 100 and reasoned.usage.output_tokens > 5
    assert reasoned.usage.model == PACKAGED.find().name and reasoned.usage.fingerprint
    assert scored.method == pb.SCORING_METHOD_LIKELIHOOD
    assert sum(one.probability for one in scored.scores) == pytest.approx(1)
    assert {one.label for one in scored.scores} == {one.label for one in again.scores}
    assert translated.outcome != common_pb2.OUTCOME_UNSPECIFIED and translated.usage.calls >= 1


@pytest.mark.slow
async def test_a_model_without_eyes_is_named(url):
    async with serving(SCENES, url) as channel:
        info = await info_of(channel)
    assert "reads no pictures" in info.problem and "\n" not in info.problem and not info.ready
