"""Checkpoints in the format of the hub: a tiny random Whisper, a tiny random CTC model, and Whisper base itself."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tests.services.byte_tokenizer import write_byte_tokenizer

LANGUAGES = ("en", "zh", "de")
SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
TEXT = 256  # a token for each byte
END, START = TEXT, TEXT + 1
VOCABULARY = TEXT + len(SPECIAL) + 1501  # timestamps from 0 to 30 s
WIDTH, INNER, MELS = 16, 32, 80


def whisper_config(width: int = WIDTH, inner: int = INNER, layers: int = 2, heads: int = 2, **more: int) -> dict:
    """config.json."""
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "d_model": width,
        "encoder_layers": layers,
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": inner,
        "decoder_layers": layers,
        "decoder_attention_heads": heads,
        "decoder_ffn_dim": inner,
        "num_mel_bins": MELS,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "vocab_size": VOCABULARY,
        "bos_token_id": END,
        "eos_token_id": END,
        "pad_token_id": END,
        "decoder_start_token_id": START,
        **more,
    }


def whisper_weights(seed: int = 3) -> dict[str, torch.Tensor]:
    """Random tensors by their published names; `proj_out` is tied, so that no file has it."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.encoder.conv1.weight": (WIDTH, MELS, 3),
        "model.encoder.conv1.bias": (WIDTH,),
        "model.encoder.conv2.weight": (WIDTH, WIDTH, 3),
        "model.encoder.conv2.bias": (WIDTH,),
        "model.encoder.embed_positions.weight": (1500, WIDTH),
        "model.decoder.embed_positions.weight": (448, WIDTH),
        "model.decoder.embed_tokens.weight": (VOCABULARY, WIDTH),
    }
    norms = ["model.encoder.layer_norm", "model.decoder.layer_norm"]
    for side in ("encoder", "decoder"):
        for layer in range(2):
            name = f"model.{side}.layers.{layer}."
            for attention in ("self_attn", "encoder_attn") if side == "decoder" else ("self_attn",):
                for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    shapes[f"{name}{attention}.{part}.weight"] = (WIDTH, WIDTH)
                    if part != "k_proj":
                        shapes[f"{name}{attention}.{part}.bias"] = (WIDTH,)
                norms.append(f"{name}{attention}_layer_norm")
            shapes |= {name + "fc1.weight": (INNER, WIDTH), name + "fc1.bias": (INNER,)}
            shapes |= {name + "fc2.weight": (WIDTH, INNER), name + "fc2.bias": (WIDTH,)}
            norms.append(name + "final_layer_norm")
    for norm in norms:
        shapes |= {f"{norm}.weight": (WIDTH,), f"{norm}.bias": (WIDTH,)}
    generator = np.random.default_rng(seed)
    return {
        name: torch.from_numpy(
            generator.standard_normal(shape) * (0.3 if len(shape) == 1 else 1.6 / np.sqrt(np.prod(shape[1:])))
            + ("norm" in name and name.endswith("weight"))
        ).float()
        for name, shape in shapes.items()
    }


def write_whisper(folder: Path, tensors: dict[str, torch.Tensor], config: dict | None = None) -> Path:
    """A folder as on the hub."""
    write(folder, tensors, config or whisper_config())
    features = {
        "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": MELS, "sampling_rate": 16000,
        "hop_length": 160, "n_fft": 400, "chunk_length": 30, "n_samples": 480000, "nb_max_frames": 3000,
        "padding_value": 0.0, "padding_side": "right", "return_attention_mask": False,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(features))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": END, "begin_suppress_tokens": [END]}))
    write_byte_tokenizer(folder, SPECIAL)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def write_ctc(folder: Path, seed: int = 3) -> Path:
    """A tiny random Wav2Vec2 (Baevski et al. 2020) with letters."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    config = Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=INNER, conv_dim=(8, 8), conv_stride=(5, 64), conv_kernel=(10, 64), num_feat_extract_layers=2,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Wav2Vec2ForCTC(config)
    torch.nn.init.normal_(model.lm_head.weight)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({letter: place for place, letter in enumerate(letters)}))
    names = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "word_delimiter_token": "|"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    features = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "sampling_rate": 16000}
    (folder / "preprocessor_config.json").write_text(json.dumps(features | {"do_normalize": True}))
    return folder


def write(folder: Path, tensors: dict[str, torch.Tensor], config: dict) -> None:
    """config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: one.contiguous() for name, one in tensors.items()},
        str(folder / "model.safetensors"),
        metadata={"format": "pt"},
    )


def write_base(folder: Path, converted: Path) -> Path:
    """Whisper base in its original format, back from CTranslate2's (16 bits). converted: its folder."""
    vocabulary = 51865
    config = whisper_config(
        512, 2048, 6, 8, vocab_size=vocabulary, bos_token_id=50257, eos_token_id=50257, pad_token_id=50257,
        decoder_start_token_id=50258,
    )  # fmt: skip
    tensors = {}
    for name, tensor in _variables(converted / "model.bin"):
        for key, part in _original(name, tensor):
            tensors[key] = part
    write_whisper(folder, tensors, config)
    (folder / "tokenizer.json").write_bytes((converted / "tokenizer.json").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "WhisperTokenizer"}))
    own = json.loads((converted / "config.json").read_text())
    generation = {
        "eos_token_id": 50257,
        "suppress_tokens": [token for token in own["suppress_ids"] if token >= 0],
        "begin_suppress_tokens": own["suppress_ids_begin"],
    }
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def _variables(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of CTranslate2's binary file (version 6), those in 16 bits."""
    data, at = path.read_bytes(), 0

    def number(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize(form)
        return int(value)

    def text() -> str:
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    number("I"), text(), number("I")
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if kind == 4:
            yield name, np.frombuffer(data, np.float16, size // 2, at).reshape(shape)
        at += size


def _original(name: str, tensor: np.ndarray) -> Iterator[tuple[str, torch.Tensor]]:
    """The published names of a tensor, of which CTranslate2 joins queries, keys and values."""
    whole = torch.from_numpy(tensor.astype(np.float32))
    side, *path, kind = name.split("/")
    kind = {"gamma": "weight", "beta": "bias", "encodings": "weight"}.get(kind, kind)
    if path[0] == "embeddings":
        yield f"model.{side}.embed_tokens.weight", whole
    elif path[0] == "position_encodings":
        yield f"model.{side}.embed_positions.weight", whole
    elif not path[0].startswith("layer_") or path[0] == "layer_norm":
        if path[0] != "projection" and name != "decoder/scale_embeddings":
            yield f"model.{side}.{path[0]}.{kind}", whole
    else:
        layer = f"model.{side}.layers.{path[0].removeprefix('layer_')}."
        block, inner = path[1], path[2]
        if block == "ffn":
            inner = {"linear_0": "fc1", "linear_1": "fc2", "layer_norm": "final_layer_norm"}[inner]
            yield f"{layer}{inner}.{kind}", whole
            return
        block = {"self_attention": "self_attn", "attention": "encoder_attn"}[block]
        if inner == "layer_norm":
            yield f"{layer}{block}_layer_norm.{kind}", whole
            return
        joined = {
            ("self_attn", "linear_0"): ("q_proj", "k_proj", "v_proj"),
            ("self_attn", "linear_1"): ("out_proj",),
            ("encoder_attn", "linear_0"): ("q_proj",),
            ("encoder_attn", "linear_1"): ("k_proj", "v_proj"),
            ("encoder_attn", "linear_2"): ("out_proj",),
        }[block, inner]
        for part, piece in zip(joined, whole.chunk(len(joined)), strict=True):
            if (part, kind) != ("k_proj", "bias"):
                yield f"{layer}{block}.{part}.{kind}", piece.clone()
