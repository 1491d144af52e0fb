"""What the author of an engine imports: all in one place, and cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

import merrflow_serving
from merrflow_serving import Engine, HasMemory, Interruptible, Need, Parallel, PlansMemory, ServiceSettings
from merrflow_serving.catalog import SERVICES
from tests.services.serving.toy import ToyEngine

MODEL_LIBRARIES = {"cv2", "mediapipe", "onnxruntime", "torch", "transformers", "vllm", "xllamacpp"}


class Able(ToyEngine):
    """An engine with every optional ability."""

    def __init__(self, settings: ServiceSettings) -> None:
        super().__init__(settings)
        self.lanes = 2

    def need(self) -> Need:
        return Need(0, 0)

    def interrupt(self) -> None:
        pass


def loaded_by(code: str) -> set[str]:
    code = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_each_public_name_exists_and_no_other() -> None:
    for name in merrflow_serving.__all__:
        assert getattr(merrflow_serving, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Other'"):
        _ = merrflow_serving.Other


def test_the_package_alone_imports_no_library() -> None:
    assert not loaded_by("import merrflow_serving.catalog") & {"grpc", "pydantic", "numpy", "structlog"}


@pytest.mark.parametrize("module", [entry.module for entry in SERVICES.values()])
def test_a_services_package_imports_no_model_library(module: str) -> None:
    allowed = {"cv2"} if module in ("merrflow_minigpt_v2", "merrflow_openface_au") else set()  # decodes and draws
    assert not loaded_by(f"import {module}") & (MODEL_LIBRARIES - allowed)


def test_abilities_are_found_by_their_methods() -> None:
    toy, able = ToyEngine(ServiceSettings()), Able(ServiceSettings())
    abilities = (Engine, HasMemory, PlansMemory, Interruptible, Parallel)
    assert [isinstance(toy, ability) for ability in abilities] == [True, True, False, False, False]
    assert all(isinstance(able, ability) for ability in abilities)
