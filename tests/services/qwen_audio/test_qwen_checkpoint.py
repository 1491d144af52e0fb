"""Original checkpoints: their names, shapes, formats, and what is said of one that is not whole."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from merrflow_qwen_audio.engines.qwen_audio.checkpoint_keys import original, rename  # noqa: E402
from merrflow_qwen_audio.engines.qwen_audio.config import read_shape  # noqa: E402
from merrflow_qwen_audio.engines.qwen_audio.model import QwenAudioModel  # noqa: E402
from merrflow_qwen_audio.engines.qwen_audio.modules import without_data  # noqa: E402
from merrflow_serving.errors import NotReady  # noqa: E402
from merrflow_serving.torch.estimate import Plan, module_bytes  # noqa: E402
from tests.services.cards import CARD_24_GB  # noqa: E402
from tests.services.qwen_audio import qwen_checkpoints as checkpoints  # noqa: E402

torch.set_num_threads(1)
# config.json of the published repository, without what says nothing of the shape.
PUBLISHED = {
    "intermediate_size": 22016,
    "kv_channels": 128,
    "layer_norm_epsilon": 1e-05,
    "model_type": "qwen",
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "no_bias": True,
    "rotary_emb_base": 10000,
    "rotary_pct": 1.0,
    "seq_length": 2048,
    "tie_word_embeddings": False,
    "vocab_size": 155947,
    "audio": {
        "n_mels": 80,
        "n_ctx": 1500,
        "n_state": 1280,
        "n_head": 20,
        "n_layer": 32,
        "output_dim": 4096,
        "avg_pool": True,
        "add_audio_bos_eos_token": True,
        "audio_start_id": 155163,
    },
}


def opened(folder, dtype=torch.float32):
    return QwenAudioModel(folder, chat=True, device=torch.device("cpu"), dtype=dtype, attention="sdpa")


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
def test_every_tensor_arrives_in_its_place(tmp_path, monkeypatch, kind, stored):
    monkeypatch.setenv("MERRFLOW_MODELS_DIR", str(tmp_path / "store"))
    weights = {name: tensor.to(stored) for name, tensor in checkpoints.weights().items()}
    folder = checkpoints.write(tmp_path / "original", weights | checkpoints.extras(), kind=kind)
    parts = opened(folder).parts
    layer, block = parts.language.model.layers[1], parts.tower.layers[1]
    fused = weights["transformer.h.1.attn.c_attn.weight"].float()
    for number, module in enumerate((layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)):
        third = slice(32 * number, 32 * (number + 1))
        assert torch.equal(module.weight, fused[third])
        assert torch.equal(module.bias, weights["transformer.h.1.attn.c_attn.bias"][third].float())
    for module, name in (
        (layer.mlp.up_proj, "transformer.h.1.mlp.w1"),
        (layer.mlp.gate_proj, "transformer.h.1.mlp.w2"),
        (block.self_attn.k_proj, "transformer.audio.blocks.1.attn.key"),
        (block.final_layer_norm, "transformer.audio.blocks.1.mlp_ln"),
        (parts.tower.layer_norm, "transformer.audio.ln_post"),
        (parts.ends, "transformer.audio.audio_bos_eos_token"),
    ):
        assert torch.equal(module.weight, weights[f"{name}.weight"].float()), name
    assert all(parameter.dtype == torch.float32 for parameter in parts.parameters())
    assert not any(parameter.is_meta for parameter in (*parts.parameters(), *parts.buffers()))


def test_every_name_of_the_file_leads_to_a_module_and_back(tmp_path):
    names = set(without_data(read_shape(checkpoints.write(tmp_path, {}))).state_dict())
    keys = set(checkpoints.shapes())
    assert {original(name) for name in names} == keys
    plain = {key for key in keys if "c_attn" not in key}
    assert {rename(key) for key in plain} < names
    assert all(rename(key) is None for key in checkpoints.extras())
    assert rename("transformer.h.0.mlp.w3.weight") == "transformer.h.0.mlp.w3.weight"


@pytest.mark.parametrize(
    "key",
    [
        "transformer.h.1.attn.c_attn.bias",
        "transformer.h.0.mlp.w2.weight",
        "transformer.wte.weight",
        "lm_head.weight",
        "transformer.audio.positional_embedding",
        "transformer.audio.audio_bos_eos_token.weight",
        "transformer.audio.blocks.0.mlp.2.bias",
        "transformer.audio.ln_post.weight",
    ],
)
def test_a_key_that_lacks_or_is_called_otherwise_is_named(tmp_path, key):
    weights = checkpoints.weights()
    tensor = weights.pop(key)
    with pytest.raises(NotReady, match=f"missing: {key}"):
        opened(checkpoints.write(tmp_path / "dropped", weights))
    with pytest.raises(NotReady, match=f"missing: {key}; unexpected: {key}_new"):
        opened(checkpoints.write(tmp_path / "renamed", weights | {f"{key}_new": tensor}))


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("transformer.h.0.attn.c_attn.weight", (97, 32)),
        ("transformer.h.0.attn.c_attn.weight", (93, 32)),
        ("transformer.audio.proj.weight", (32, 25)),
        ("lm_head.weight", (7, 32)),
    ],
)
def test_a_misshapen_tensor_is_named(tmp_path, key, shape):
    weights = checkpoints.weights() | {key: torch.zeros(shape)}
    with pytest.raises(NotReady, match=key):
        opened(checkpoints.write(tmp_path, weights))


def test_another_model_is_refused(tmp_path):
    weights = {f"model.{name}": tensor for name, tensor in checkpoints.weights().items()}
    with pytest.raises(NotReady, match="in all"):
        opened(checkpoints.write(tmp_path, weights))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"audio": None}, "not that of Qwen-Audio"),
        ({"seq_length": None}, "not that of Qwen-Audio"),
        ({"model_type": "llama"}, "model_type"),
        ({"no_bias": False}, "biases"),
        ({"kv_channels": 4}, "kv_channels"),
        ({"tie_word_embeddings": True}, "tied"),
        ({"rotary_pct": 0.5}, "rotary_pct"),
    ],
)
def test_a_configuration_that_is_not_built_is_refused(tmp_path, change, says):
    folder = checkpoints.write(tmp_path, {})
    (folder / "config.json").write_text(json.dumps(checkpoints.config() | change))
    with pytest.raises(NotReady, match=says):
        read_shape(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(NotReady, match="not JSON"):
        read_shape(folder)
    (folder / "config.json").unlink()
    with pytest.raises(NotReady, match="comes with the weights"):
        read_shape(folder)


def test_a_vocabulary_of_another_checkpoint_is_refused(tmp_path):
    folder = checkpoints.write(tmp_path, checkpoints.weights())
    lines = (folder / "qwen.tiktoken").read_text().splitlines()
    (folder / "qwen.tiktoken").write_text("\n".join(lines[:-1]))
    with pytest.raises(NotReady, match="not of one checkpoint"):
        opened(folder)
    for broken, says in (
        ("\n".join(lines[:100]), "not a whole"),
        ("?? 0", "not a tiktoken"),
        ("a b c", "not a tiktoken"),
    ):
        (folder / "qwen.tiktoken").write_text(broken)
        with pytest.raises(NotReady, match=says):
            opened(folder)


def test_the_published_size_fits_a_card_of_24_gb(tmp_path):
    """Weights in bfloat16, and one window of 30 s with its answer, told from shapes alone."""
    from merrflow_qwen_audio.engines.audio_language.capacity import row_bytes

    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    parts = without_data(read_shape(tmp_path))
    language = parts.language.config
    assert language.rms_norm_eps == 1e-5 and language.rope_parameters["rope_theta"] == 10_000.0
    assert parts.language.lm_head.weight.shape == (155_947, 4_096)
    assert parts.language.model.layers[31].mlp.gate_proj.weight.shape == (11_008, 4_096)
    assert parts.tower.layers[31].fc1.weight.shape == (5_120, 1_280)
    weights = module_bytes(parts, torch.bfloat16)
    assert all(parameter.is_meta for parameter in parts.parameters())
    assert sum(parameter.numel() for parameter in parts.parameters()) == pytest.approx(8.4e9, rel=0.01)
    row = row_bytes(parts.language.config, parts.tower.config, torch.bfloat16, 1_024)
    assert Plan(weights, cache=6 * row).total <= CARD_24_GB, "six windows of 30 s at once"
    assert Plan(2 * weights).total > CARD_24_GB, "in float32 it does not"
