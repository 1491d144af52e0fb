"""Llama with the LoRA merged, against the description; keys of both files."""

from __future__ import annotations

import json
import re

import pytest
import torch
from structlog.testing import capture_logs

from merrflow_minigpt_v2.engines.minigpt_v2 import language
from merrflow_serving.errors import NotReady
from tests.services.minigpt_v2 import reference
from tests.services.minigpt_v2.models import CPU, LLAMA, answer_generator, model, question, vision_encoder
from tests.services.minigpt_v2.test_vision import prepared
from tests.services.minigpt_v2.tiny import RANK, SHAPE, make_files, picture

pytestmark = pytest.mark.usefixtures("one_thread")
GOLDEN = json.loads(reference.GOLDEN.read_text())
ADAPTERS = [key for pair in language.lora_keys(LLAMA, SHAPE.lora).values() for key in pair]
BASE = [key for key in make_files().llama if "rotary" not in key]


@pytest.fixture(scope="module")
def files():
    return make_files()


@pytest.fixture(scope="module")
def asked(files):
    """A question about `picture(GOLDEN_PICTURE)`, and its embeddings."""
    (seen,) = vision_encoder(files).encode([prepared(picture(reference.GOLDEN_PICTURE))])
    return question(seen, reference.TEXT)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_splice_and_logits_equal_the_description(files, asked, attention):
    loaded = answer_generator(files)
    spliced = loaded.splice(asked)
    expected = reference.splice(files.llama, asked.picture, reference.TEXT)
    torch.testing.assert_close(spliced, expected, atol=1e-6, rtol=1e-6)
    llama = model(files, attention=attention)
    assert llama.model.config._attn_implementation == attention
    with torch.no_grad():
        found = llama(inputs_embeds=spliced[None]).logits[0]
    torch.testing.assert_close(found, reference.logits(files, expected), atol=1e-4, rtol=1e-4)


def test_stored_numbers(files, asked):
    loaded = answer_generator(files)
    spliced = loaded.splice(asked)
    assert list(spliced.shape) == GOLDEN["shapes"]["splice"]
    assert reference.sampled(spliced) == pytest.approx(GOLDEN["splice"], abs=1e-4)
    with torch.no_grad():
        found = loaded.model(inputs_embeds=spliced[None]).logits[0]
    assert list(found.shape) == GOLDEN["shapes"]["logits"]
    assert reference.sampled(found) == pytest.approx(GOLDEN["logits"], abs=5e-4)
    (reply,) = loaded.answer([asked])
    assert list(reply.ids) == [one for one in GOLDEN["greedy"] if one != 2]


def test_the_merge_equals_the_adapter_beside_the_weight():
    random = torch.Generator().manual_seed(0)
    weight, down, up, x = (torch.randn(*shape, generator=random) for shape in ((6, 5), (3, 5), (6, 3), (4, 5)))
    merged = language.merged(weight, down, up, 16, device=CPU, name="q")
    torch.testing.assert_close(x @ merged.T, x @ weight.T + 16 / 3 * (x @ down.T) @ up.T, atol=1e-4, rtol=1e-4)


def test_only_queries_and_values_change_and_by_the_published_scale(files):
    table = model(files).state_dict()
    assert SHAPE.lora.alpha / 64 == 0.25  # with the published rank
    for name, value in table.items():
        change = value - files.llama[name].float()
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            prefix = f"llama_model.base_model.model.{name.removesuffix('weight')}lora_"
            down, up = (files.checkpoint[f"{prefix}{one}.weight"] for one in "AB")
            torch.testing.assert_close(change, 16 / RANK * up @ down, atol=1e-5, rtol=1e-4)
            assert change.abs().max() > 0.1
        else:
            assert not change.any()


def test_there_is_one_rounding(files):
    """To bfloat16 after the sum: adding to a weight that was rounded before would lose the adapter's digits."""
    table, exact = model(files, dtype=torch.bfloat16).state_dict(), model(files).state_dict()
    for name, value in table.items():
        assert torch.equal(value, exact[name].bfloat16()), name


def test_rotary_frequencies_are_computed_not_read(files):
    size = LLAMA.hidden_size // LLAMA.num_attention_heads
    expected = 10000.0 ** (-torch.arange(0, size, 2) / size)
    for dtype in (torch.float32, torch.bfloat16):
        found = model(files, dtype=dtype).model.rotary_emb.inv_freq
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("key", BASE)
def test_each_key_of_llama_is_needed_by_its_name_and_shape(key):
    missing = make_files()
    del missing.llama[key]
    with pytest.raises(NotReady, match=re.escape(key)):
        model(missing)
    cut = make_files()
    cut.llama[key] = cut.llama[key][:-1]
    with pytest.raises(NotReady, match=re.escape(key)):
        model(cut)


def test_a_surplus_key_of_llama_is_named():
    files = make_files()
    files.llama["model.layers.2.mlp.up_proj.weight"] = torch.zeros(1)
    with capture_logs() as logs:
        model(files)
    assert [line["keys"] for line in logs] == ["model.layers.2.mlp.up_proj.weight"]


@pytest.mark.parametrize("key", [*ADAPTERS, "llama_proj.weight", "llama_proj.bias"])
def test_each_key_of_the_checkpoint_is_needed_by_its_name(key):
    files = make_files()
    files.checkpoint[key.replace("llama_", "lama_")] = files.checkpoint.pop(key)
    with pytest.raises(NotReady) as caught:
        language.check_checkpoint(files.checkpoint, LLAMA, SHAPE, "minigptv2_checkpoint.pth")
    assert f"missing: {key}; unexpected: {key.replace('llama_', 'lama_')}" in str(caught.value)
    assert "minigptv2_checkpoint.pth" in str(caught.value)


@pytest.mark.parametrize("key", ADAPTERS)
def test_a_misshapen_adapter_is_named(key):
    files = make_files()
    files.checkpoint[key] = files.checkpoint[key][:-1]
    with pytest.raises(NotReady, match=re.escape(key.split("base_model.model.")[1].rpartition(".lora")[0])):
        model(files)


def test_half_an_ln_vision_is_refused(files):
    table = files.checkpoint | {"ln_vision.weight": torch.ones(SHAPE.vision.width)}
    with pytest.raises(NotReady, match=r"missing: ln_vision\.bias"):
        language.check_checkpoint(table, LLAMA, SHAPE, "x")
    language.check_checkpoint(table | {"ln_vision.bias": torch.ones(SHAPE.vision.width)}, LLAMA, SHAPE, "x")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"model_type": "mistral"}', '{"model_type": "llama", "hidden_size": "x"}']
)
def test_another_configuration_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(NotReady, match=r"config\.json"):
        language.read_config(tmp_path)


def test_no_configuration_is_refused(tmp_path):
    with pytest.raises(NotReady, match=r"config\.json"):
        language.read_config(tmp_path)
