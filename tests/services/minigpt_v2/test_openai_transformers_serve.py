"""The engine `openai` on `transformers serve`, which nobody here wrote: a picture, and a tiny random LLaVA."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from merrflow.common.v1 import common_pb2
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2 as pb
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2_grpc as rpc
from merrflow_minigpt_v2 import SPEC
from tests.services.openai_engines import info_of, serving
from tests.services.real_servers import transformers_server, write_llava


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_server(tmp_path_factory.mktemp("serve") / "log") as found:
        yield found


@pytest.mark.slow
async def test_a_frame_is_described(url, tmp_path):
    write_llava(tmp_path / "tiny-llava")
    picture = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    Image.fromarray(noise).save(picture, "PNG")
    async with serving(SPEC, url, openai_model=str(tmp_path / "tiny-llava"), answer_tokens=12) as channel:
        info = await info_of(channel)
        assert info.ready, info.problem
        request = pb.DescribeRequest(image={"data": picture.getvalue()})
        reply = await rpc.SceneDescriberStub(channel).Describe(request)
    assert reply.outcome == common_pb2.OUTCOME_TRUNCATED and reply.text  # twelve random letters, and no end
    assert (reply.usage.model, reply.usage.output_tokens, reply.usage.calls) == ("tiny-llava@main", 12, 1)
    assert reply.usage.input_tokens > 100
