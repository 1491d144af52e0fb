"""A tiny Qwen2-Audio checkpoint in its published format: names, five shards, tokenizer.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tests.services.byte_tokenizer import write_byte_tokenizer

WIDTH, HIDDEN, INNER, HEADS = 16, 24, 32, 2
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
VOCABULARY = 256 + len(SPECIAL) + 4
AUDIO = 256 + SPECIAL.index("<|AUDIO|>")


def config() -> dict[str, object]:
    """config.json as published: rope_theta at the top of text_config, as older versions wrote it."""
    return {
        "architectures": ["Qwen2AudioForConditionalGeneration"],
        "model_type": "qwen2_audio",
        "audio_token_index": AUDIO,
        "audio_config": {
            "model_type": "qwen2_audio_encoder",
            "d_model": WIDTH,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 4 * WIDTH,
            "encoder_layers": 2,
            "num_mel_bins": 128,
            "max_source_positions": 1500,
            "scale_embedding": False,
            "activation_function": "gelu",
        },
        "text_config": {
            "model_type": "qwen2",
            "hidden_size": HIDDEN,
            "intermediate_size": INNER,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "num_hidden_layers": 2,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "use_sliding_window": False,
            "vocab_size": VOCABULARY,
            "bos_token_id": 256,
            "eos_token_id": 258,
        },
        "vocab_size": VOCABULARY,
    }


def weights(seed: int = 5) -> dict[str, torch.Tensor]:
    """The tensors by their published names, all random."""
    shapes: dict[str, tuple[int, ...]] = {
        "audio_tower.conv1.weight": (WIDTH, 128, 3),
        "audio_tower.conv1.bias": (WIDTH,),
        "audio_tower.conv2.weight": (WIDTH, WIDTH, 3),
        "audio_tower.conv2.bias": (WIDTH,),
        "audio_tower.embed_positions.weight": (1500, WIDTH),
        "audio_tower.layer_norm.weight": (WIDTH,),
        "audio_tower.layer_norm.bias": (WIDTH,),
        "multi_modal_projector.linear.weight": (HIDDEN, WIDTH),
        "multi_modal_projector.linear.bias": (HIDDEN,),
        "language_model.model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "language_model.model.norm.weight": (HIDDEN,),
        "language_model.lm_head.weight": (VOCABULARY, HIDDEN),
    }
    for layer in range(2):
        name = f"audio_tower.layers.{layer}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{name}self_attn.{part}.weight"] = (WIDTH, WIDTH)
            if part != "k_proj":
                shapes[f"{name}self_attn.{part}.bias"] = (WIDTH,)
        shapes |= {name + "fc1.weight": (4 * WIDTH, WIDTH), name + "fc1.bias": (4 * WIDTH,)}
        shapes |= {name + "fc2.weight": (WIDTH, 4 * WIDTH), name + "fc2.bias": (WIDTH,)}
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{name}{norm}.weight": (WIDTH,), f"{name}{norm}.bias": (WIDTH,)}
        name = f"language_model.model.layers.{layer}."
        for part in ("q_proj", "k_proj", "v_proj"):
            shapes |= {f"{name}self_attn.{part}.weight": (HIDDEN, HIDDEN), f"{name}self_attn.{part}.bias": (HIDDEN,)}
        shapes |= {name + "self_attn.o_proj.weight": (HIDDEN, HIDDEN), name + "mlp.down_proj.weight": (HIDDEN, INNER)}
        shapes |= {name + "mlp.gate_proj.weight": (INNER, HIDDEN), name + "mlp.up_proj.weight": (INNER, HIDDEN)}
        shapes |= {name + "input_layernorm.weight": (HIDDEN,), name + "post_attention_layernorm.weight": (HIDDEN,)}
    generator = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes.items():
        value = generator.standard_normal(shape) * (0.3 if len(shape) == 1 else 1.6 / np.sqrt(np.prod(shape[1:])))
        made[name] = torch.from_numpy(value + ("norm" in name and name.endswith("weight"))).float()
    return made


def write(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """A folder as on the hub."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config()))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 128, "sampling_rate": 16000}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    write_byte_tokenizer(folder, SPECIAL)
    names, placed = list(tensors), {}
    for number in range(1, 6):
        file = f"model-{number:05d}-of-00005.safetensors"
        part = names[number - 1 :: 5]
        save_file({name: tensors[name].contiguous() for name in part}, str(folder / file), metadata={"format": "pt"})
        placed |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return folder
