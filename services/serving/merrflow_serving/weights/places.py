"""Where weights are kept and whether a hub may be asked: the part of the settings that weights need."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, cast

Hub = Literal["huggingface", "modelscope"]
HUBS: tuple[Hub, ...] = ("huggingface", "modelscope")
Source = Literal["huggingface", "modelscope", "web"]  # web: each file has an address of its own, whatever the hub
TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})


class WeightSettings(Protocol):
    """What `locate` needs to know. `TorchSettings` and `Place` have it."""

    @property
    def weights(self) -> str: ...
    @property
    def hub(self) -> Hub: ...
    @property
    def models_dir(self) -> Path: ...
    @property
    def offline(self) -> bool: ...


def default_models_dir() -> Path:
    """`MERRFLOW_MODELS_DIR`, or `~/.cache/merrflow/models`."""
    return Path(os.environ.get("MERRFLOW_MODELS_DIR") or "~/.cache/merrflow/models").expanduser().absolute()


def default_hub() -> Hub:
    """`MERRFLOW_HUB`, or Hugging Face. Another word is refused when the settings are validated."""
    return cast(Hub, os.environ.get("MERRFLOW_HUB") or "huggingface")


def default_offline() -> bool:
    """`MERRFLOW_OFFLINE`; Hugging Face's own switch counts too."""
    return any(os.environ.get(name, "").lower() in TRUE for name in ("MERRFLOW_OFFLINE", "HF_HUB_OFFLINE"))


def endpoint(hub: Hub) -> str:
    """The address of a hub: its own, or that of a mirror that `HF_ENDPOINT` or `MODELSCOPE_ENDPOINT` names."""
    variable, own = {
        "huggingface": ("HF_ENDPOINT", "https://huggingface.co"),
        "modelscope": ("MODELSCOPE_ENDPOINT", "https://modelscope.cn"),
    }[hub]
    return (os.environ.get(variable) or own).rstrip("/")


@dataclass(frozen=True)
class Place:
    """`WeightSettings` outside of a service, such as for the command line."""

    weights: str = ""
    hub: Hub = field(default_factory=default_hub)
    models_dir: Path = field(default_factory=default_models_dir)
    offline: bool = field(default_factory=default_offline)
