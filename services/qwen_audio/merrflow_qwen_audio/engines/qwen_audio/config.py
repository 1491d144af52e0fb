"""The shape of a Qwen-Audio checkpoint, from its config.json, as configurations of transformers' classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merrflow_qwen_audio.engines.audio_language.config_file import CONFIG_FILE, read_config_file
from merrflow_serving.errors import NotReady

if TYPE_CHECKING:
    from transformers import Qwen2AudioEncoderConfig, Qwen2Config


@dataclass(frozen=True)
class Shape:
    """Sizes of the language model and the tower. Names as in transformers; the comments have the published values."""

    vocab_size: int  # 155947
    hidden_size: int  # 4096
    intermediate_size: int  # 11008: of each half; the file counts both
    layers: int  # 32
    heads: int  # 32
    rms_norm_eps: float  # 1e-5
    rope_theta: float  # 10000
    context: int  # 2048: beyond it the original rescales rotary angles and attention, which is not implemented here
    mel_bins: int  # 80
    audio_positions: int  # 1500
    audio_width: int  # 1280
    audio_heads: int  # 20
    audio_layers: int  # 32
    audio_start: int  # 155163: id of <audio>; </audio> follows it

    def language(self, attention: str = "sdpa") -> Qwen2Config:
        """For `Qwen2ForCausalLM`, which computes the same as the first Qwen's own class up to `context` tokens."""
        from transformers import Qwen2Config

        values = {
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "max_position_embeddings": self.context,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "tie_word_embeddings": False,
        }
        return Qwen2Config.from_dict(values, attn_implementation=attention)

    def tower(self, attention: str = "sdpa") -> Qwen2AudioEncoderConfig:
        """For `Qwen2AudioEncoder`, whose layers are Whisper's."""
        from transformers import Qwen2AudioEncoderConfig

        values = {
            "num_mel_bins": self.mel_bins,
            "d_model": self.audio_width,
            "encoder_layers": self.audio_layers,
            "encoder_attention_heads": self.audio_heads,
            "encoder_ffn_dim": 4 * self.audio_width,
            "max_source_positions": self.audio_positions,
        }
        return Qwen2AudioEncoderConfig.from_dict(values, attn_implementation=attention)


def read_shape(folder: Path) -> Shape:
    """Raises `NotReady` if config.json is missing, is another model's, or has options that are not implemented here."""
    file = folder / CONFIG_FILE
    content = read_config_file(folder)
    try:
        shape = _shape(content, content["audio"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotReady(
            f"{file} is not that of Qwen-Audio or Qwen-Audio-Chat: {type(error).__name__} {error}"
        ) from error
    problems = _problems(content, shape)
    if problems:
        raise NotReady(f"{file}: {'; '.join(problems)}, which this engine does not support")
    return shape


def _shape(content: dict[str, Any], audio: dict[str, Any]) -> Shape:
    return Shape(
        vocab_size=int(content["vocab_size"]),
        hidden_size=int(content["hidden_size"]),
        intermediate_size=int(content["intermediate_size"]) // 2,
        layers=int(content["num_hidden_layers"]),
        heads=int(content["num_attention_heads"]),
        rms_norm_eps=float(content["layer_norm_epsilon"]),
        rope_theta=float(content["rotary_emb_base"]),
        context=int(content["seq_length"]),
        mel_bins=int(audio["n_mels"]),
        audio_positions=int(audio["n_ctx"]),
        audio_width=int(audio["n_state"]),
        audio_heads=int(audio["n_head"]),
        audio_layers=int(audio["n_layer"]),
        audio_start=int(audio["audio_start_id"]),
    )


def _problems(content: dict[str, Any], shape: Shape) -> list[str]:
    """Options in which the file differs from the published checkpoints."""
    audio = content["audio"]
    differences = {
        "model_type is not qwen": content.get("model_type", "qwen") != "qwen",
        "rotary_pct is not 1": content.get("rotary_pct", 1.0) != 1.0,
        "kv_channels is not hidden_size / num_attention_heads": content.get("kv_channels", 0)
        != shape.hidden_size // shape.heads,
        "tied embeddings": bool(content.get("tie_word_embeddings", False)),
        "biases in the MLP": not content.get("no_bias", True),
        "a tower without avg_pool": not audio.get("avg_pool", True),
        "a tower without bos and eos": not audio.get("add_audio_bos_eos_token", True),
        "n_ctx is not 1500": shape.audio_positions != 1_500,
        "output_dim is not hidden_size": audio.get("output_dim") != shape.hidden_size,
    }
    return [problem for problem, holds in differences.items() if holds]
