"""A card that is faked for what engines announce of it; nothing is computed there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from merrflow_serving.machine import Memory
from merrflow_serving.torch import device as devices
from merrflow_serving.torch.card import FOLDER


def fake_card(patch: pytest.MonkeyPatch, memory: Memory) -> None:
    """Engines on torch find themselves on the card GPU-1, with this memory."""
    patch.setattr(devices, "device_of", lambda settings: torch.device("cuda", 0))
    patch.setattr(devices, "dtype_of", lambda settings, device: torch.bfloat16)
    patch.setattr(devices, "card_of", lambda device: "GPU-1")
    patch.setattr(devices, "memory", lambda device: memory)


def claims(models: Path) -> list[dict[str, Any]]:
    """What services have announced on it. models: their folder of weights."""
    return [json.loads(file.read_text()) for file in (models / FOLDER / "GPU-1").glob("*.claim")]
