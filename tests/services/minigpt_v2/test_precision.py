"""Number formats: on CUDA as the authors run it, in float16, with the tower's residual stream and norms in float32."""

from __future__ import annotations

import pytest
import torch

from merrflow_minigpt_v2 import SPEC
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_serving.torch.device import dtype_of
from tests.services.minigpt_v2.models import CPU, model, vision_encoder
from tests.services.minigpt_v2.tiny import make_files

CUDA = torch.device("cuda", 0)


@pytest.fixture
def h200(monkeypatch):
    """A card that has bfloat16 too."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))


@pytest.mark.usefixtures("h200")
def test_on_a_card_it_computes_in_float16_as_published():
    info = SPEC.make_engine(SPEC.settings(engine="minigpt_v2")).info()
    assert (info.device, info.dtype) == ("cuda:0", "float16")
    assert dtype_of(MiniGptSettings(dtype="bfloat16"), CUDA) == torch.bfloat16  # if it is asked for


def test_on_a_cpu_it_computes_in_float32():
    assert dtype_of(MiniGptSettings(), CPU) == torch.float32


@pytest.mark.usefixtures("one_thread")
def test_what_of_it_is_float16_and_what_is_float32():
    files = make_files()
    seeing, speaking = vision_encoder(files, dtype=torch.float16), model(files, dtype=torch.float16)
    assert {one.dtype for one in speaking.parameters()} == {torch.float16}
    assert {one.dtype for one in seeing.projection.parameters()} == {torch.float32}
    kinds = {name: one.dtype for name, one in seeing.tower.named_parameters()}
    wide = {name for name, kind in kinds.items() if kind == torch.float32}
    assert {name for name in kinds if "norm" in name or name.startswith("embeddings.")} == wide
    assert {kinds[name] for name in kinds.keys() - wide} == {torch.float16}


def test_the_lora_is_merged_in_float32_and_rounded_once():
    files = make_files()
    exact, half = model(files).state_dict(), model(files, dtype=torch.float16).state_dict()
    assert all(torch.equal(half[name], exact[name].half()) for name in exact)
