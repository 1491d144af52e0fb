"""The engine `openai` on `transformers serve`, which nobody here wrote: a picture, and a tiny random LLaVA."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from merrflow.common.v1 import common_pb2
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2 as pb
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2_grpc as rpc
from merrflow_minigpt_v2 import SPEC
from tests.ports import free_port
from tests.services.openai_engines import info_of, serving

TEMPLATE = (
    "{% for one in messages %}{{ one['role'] }}: {% if one['content'] is string %}{{ one['content'] }}{% else %}"
    "{% for part in one['content'] %}{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'text' %}"
    "{{ part['text'] }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}assistant: "
)


def write_llava(folder: Path) -> None:
    """A LLaVA of a few thousand random parameters, with a token for each byte."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE(vocab={one: number for number, one in enumerate(alphabet)}, merges=[]))
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "additional_special_tokens": ["<image>"]}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, **special)
    tokenizer.chat_template = TEMPLATE
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**shape, image_size=28, patch_size=14, projection_dim=16),
            text_config=LlamaConfig(**shape, vocab_size=len(tokenizer), max_position_embeddings=8192),
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            vision_feature_layer=-1,
        )
    )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    side = {"height": 28, "width": 28}
    LlavaProcessor(
        CLIPImageProcessor(size=side, crop_size=side),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.5)
            else:
                break
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


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
