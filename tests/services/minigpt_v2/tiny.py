"""A MiniGPT-v2 of a few thousand weights, in the authors' three files, key for key and format for format."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Architecture, published
from merrflow_minigpt_v2.engines.minigpt_v2.engine import MiniGptV2
from merrflow_minigpt_v2.types import SceneItem

DATA = Path(__file__).with_name("data")
TOKENIZER = DATA / "tokenizer.model"  # trained by `train_tokenizer`, in Llama 2's way
RANK = 4
_BASE = published()
SHAPE = _BASE.model_copy(
    update={
        "image": _BASE.image.model_copy(update={"size": 56}),
        "vision": _BASE.vision.model_copy(update={"width": 32, "layers": 2, "heads": 2, "mlp": 48}),
    }
)
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 768,
    "rms_norm_eps": 1e-5,
    "vocab_size": 320,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
}


class TinyEngine(MiniGptV2):
    """The engine with the small shape: all of it is the engine's own."""

    def __init__(self, settings: Any, architecture: Architecture = SHAPE) -> None:
        super().__init__(settings, architecture)


@dataclass
class Files:
    """Contents of the three downloads."""

    eva: dict[str, torch.Tensor] = field(default_factory=dict)
    checkpoint: dict[str, torch.Tensor] = field(default_factory=dict)
    llama: dict[str, torch.Tensor] = field(default_factory=dict)

    def write(self, root: Path) -> Path:
        """Below `root`, in folders named as the entries of weights.yaml."""
        folders = {name: root / name for name in ("eva-vit-g", "minigpt-v2", "llama-2-7b-chat")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.eva, folders["eva-vit-g"] / "eva_vit_g.pth")
        saved = {"model": self.checkpoint, "optimizer": {"state": {}}, "config": {"run": {"lr": 1e-5}}, "epoch": 3}
        torch.save(saved, folders["minigpt-v2"] / "minigptv2_checkpoint.pth")
        llama = folders["llama-2-7b-chat"]
        names = sorted(self.llama)
        shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
        for shard, keys in shards.items():
            save_file({key: self.llama[key].contiguous() for key in keys}, llama / shard, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": {key: shard for shard, keys in shards.items() for key in keys}}
        (llama / "model.safetensors.index.json").write_text(json.dumps(index))
        (llama / "config.json").write_text(json.dumps(CONFIG))
        (llama / "generation_config.json").write_text(json.dumps({"do_sample": True, "temperature": 0.6}))
        (llama / "tokenizer_config.json").write_text("{}")
        (llama / "tokenizer.model").write_bytes(TOKENIZER.read_bytes())
        return root


def make_files(seed: int = 7) -> Files:
    """Random weights; biases and norms too, so that nothing hides at zero or one.

    numpy's `RandomState`, whose numbers are promised never to change.
    """
    random = np.random.RandomState(seed)

    def _random(*shape: int, scale: float = 0.0, around: float = 0.0, dtype=torch.float16) -> torch.Tensor:
        scale = scale or shape[-1] ** -0.5
        return torch.from_numpy(around + scale * random.standard_normal(shape)).to(dtype)

    vision, width = SHAPE.vision, SHAPE.vision.width
    files = Files()
    eva = files.eva
    eva["cls_token"] = _random(1, 1, width, scale=1)
    eva["pos_embed"] = _random(1, 1 + 3 * 3, width, scale=1)  # a 3 x 3 grid, to be stretched to 4 x 4
    eva["patch_embed.proj.weight"] = _random(width, 3, 14, 14, scale=0.04)
    eva["patch_embed.proj.bias"] = _random(width, scale=0.2)
    for number in range(vision.layers + 1):  # one more than is used, as in the original
        block = f"blocks.{number}."
        for norm in ("norm1", "norm2"):
            eva[f"{block}{norm}.weight"] = _random(width, scale=0.2, around=1)
            eva[f"{block}{norm}.bias"] = _random(width, scale=0.2)
        eva[f"{block}attn.q_bias"] = _random(width, scale=0.3)
        eva[f"{block}attn.v_bias"] = _random(width, scale=0.3)
        eva[f"{block}attn.qkv.weight"] = _random(3 * width, width, scale=0.3)
        for name, (out, inner) in {
            "attn.proj": (width, width),
            "mlp.fc1": (vision.mlp, width),
            "mlp.fc2": (width, vision.mlp),
        }.items():
            eva[f"{block}{name}.weight"] = _random(out, inner)
            eva[f"{block}{name}.bias"] = _random(out, scale=0.2)
    for name in ("norm", "fc_norm"):
        eva[f"{name}.weight"], eva[f"{name}.bias"] = _random(width), _random(width)
    eva["head.weight"], eva["head.bias"] = _random(10, width), _random(10)

    hidden, inner, vocabulary = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["vocab_size"]
    llama, checkpoint = files.llama, files.checkpoint
    llama["model.embed_tokens.weight"] = _random(vocabulary, hidden, scale=1)
    llama["model.norm.weight"] = _random(hidden, scale=0.2, around=1)
    llama["lm_head.weight"] = _random(vocabulary, hidden, scale=0.6)
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{number}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            llama[f"{layer}{norm}.weight"] = _random(hidden, scale=0.2, around=1)
        for name in "qkvo":
            llama[f"{layer}self_attn.{name}_proj.weight"] = _random(hidden, hidden, scale=0.25)
        for name, (out, into) in {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}.items():
            llama[f"{layer}mlp.{name}_proj.weight"] = _random(out, into)
        llama[f"{layer}self_attn.rotary_emb.inv_freq"] = torch.arange(6).float()  # a buffer of older files: wrong here
        for name in "qv":
            adapter = f"llama_model.base_model.model.{layer}self_attn.{name}_proj.lora_"
            checkpoint[f"{adapter}A.weight"] = _random(RANK, hidden, dtype=torch.float32)
            checkpoint[f"{adapter}B.weight"] = _random(hidden, RANK, scale=0.1, dtype=torch.float32)
        buffer = f"llama_model.base_model.model.{layer}self_attn.rotary_emb.inv_freq"
        checkpoint[buffer] = torch.arange(6).float()
    checkpoint["llama_proj.weight"] = _random(hidden, 4 * width, scale=0.1, dtype=torch.float32)
    checkpoint["llama_proj.bias"] = _random(hidden, scale=0.2, dtype=torch.float32)
    return files


def picture(seed: int, height: int = 90, width: int = 130) -> np.ndarray:
    """A smooth random picture with some grain."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / random.uniform(5, 30) + columns / random.uniform(5, 30) + turn) for turn in (0, 1, 2)]
    levels = 128 + 80 * np.stack(waves, axis=2) + random.uniform(-30, 30, (height, width, 3))
    return levels.clip(0, 255).astype(np.uint8)


def item(number: int, instruction: str = "", size: tuple[int, int] = (90, 130)) -> SceneItem:
    """A frame of random colours."""
    return SceneItem(picture(number, *size), instruction=instruction)


def train_tokenizer() -> bytes:
    """A SentencePiece model built as Llama 2's: BPE, byte fallback, dummy prefix, digits apart, nothing normalised."""
    from sentencepiece import SentencePieceTrainer

    lines = [
        "[INST] <Img> </Img> [/INST] [vqa] [caption] [grounding] [refer] [detection] [identify]",
        "What do you see in the image? Please describe it using words only.",
        "Please describe the content of the image. describe this image in detail",
        "a person looks at the camera and smiles; the room is dark, the light is warm <s> </s>",
    ]
    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20),
        model_writer=written,
        model_type="bpe",
        vocab_size=CONFIG["vocab_size"],
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        hard_vocab_limit=True,
        minloglevel=2,
    )
    return written.getvalue()
