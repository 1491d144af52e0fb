"""Where engines compute, what they do when memory runs out, and how a dead accelerator is recognised."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import textwrap
import weakref
from typing import Any
from unittest.mock import patch

import grpc
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merrflow_serving.errors import EngineFault, NotReady, TooLarge
from merrflow_serving.torch.device import (
    BatchLimit,
    DeviceLost,
    attention_of,
    device_of,
    dtype_of,
    memory,
    run_split,
)
from merrflow_serving.torch.lost import device_errors, is_lost, is_out_of_memory
from merrflow_serving.torch.settings import TorchSettings

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
has_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Settings(TorchSettings):
    model_config = TorchSettings.model_config | {"env_prefix": "MERRFLOW_SOME_"}


@pytest.fixture
def card(monkeypatch):
    """A machine with two CUDA cards of a given capability."""

    def make(capability: tuple[int, int] = (9, 0), flash: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some Card")
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: flash or None if name == "flash_attn" else find(name, *rest),
        )

    return make


def test_without_a_card(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = Settings()
    assert device_of(settings) == CPU
    assert dtype_of(settings, CPU) == torch.float32
    assert attention_of(settings, CPU) == "sdpa"
    with pytest.raises(
        NotReady, match="'cuda' is set, but torch .* sees 0 CUDA devices.*; set MERRFLOW_SOME_DEVICE=auto"
    ):
        device_of(Settings(device="cuda"))


def test_with_cards(card) -> None:
    card()
    assert device_of(Settings()) == CUDA
    assert device_of(Settings(device="cuda")) == CUDA
    assert device_of(Settings(device="cuda:1")) == torch.device("cuda", 1)
    assert device_of(Settings(device="cpu")) == CPU
    with pytest.raises(NotReady, match="'cuda:2' is set, but torch .* sees 2 CUDA devices"):
        device_of(Settings(device="cuda:2"))


TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)


@pytest.fixture
def built(card, monkeypatch):
    """torch as it is built for a CUDA, on a machine with cards of a capability, or with a driver that fails so."""

    def make(cuda: str, architectures: str, capability: tuple[int, int] = (9, 0), failure: str = "") -> None:
        def init() -> None:
            if failure:
                raise RuntimeError(failure)

        card(capability)
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "get_arch_list", architectures.split)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: not failure)
        monkeypatch.setattr(torch.cuda, "init", init)

    return make


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1"])
def test_a_driver_too_old_is_told_with_both_ways_out_and_the_cpu_is_not_taken_instead(built, device: str) -> None:
    built("13.0", "sm_75 sm_80 sm_90", failure=TOO_OLD)
    with pytest.raises(NotReady) as told:
        device_of(Settings(device=device))
    assert re.search(
        r"torch \S+ is built for CUDA 13.0, which needs NVIDIA driver 580 or newer \(.*found version 12040.*\); "
        r"install a newer driver, or a build of torch .*TORCH_CUDA=cu126.*/whl/cu126; .*MERRFLOW_SOME_DEVICE=cpu$",
        str(told.value),
    )
    assert told.value.reason == "BUILD_UNFIT"
    assert device_of(Settings(device="cpu")) == CPU


def test_without_any_driver_auto_is_the_cpu_and_cuda_is_refused(built) -> None:
    built("13.0", "sm_75 sm_80 sm_90", failure="Found no NVIDIA driver on your system. Please check ...")
    assert device_of(Settings()) == CPU
    with pytest.raises(NotReady, match="sees 0 CUDA devices .Found no NVIDIA driver"):
        device_of(Settings(device="cuda"))


@pytest.mark.parametrize(
    ("cuda", "architectures", "capability", "advice"),
    [
        ("13.0", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120", (7, 0), "TORCH_CUDA=cu126"),  # Volta
        ("13.0", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120", (8, 9), ""),  # within a major version
        ("12.6", "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90", (7, 0), ""),
        ("12.6", "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90", (12, 0), "for a newer CUDA"),  # Blackwell
        ("12.6", "sm_50 sm_90 compute_90", (12, 0), ""),  # which the driver compiles
        ("13.0", "sm_75 sm_90a", (9, 0), ""),
        ("13.0", "", (7, 0), ""),  # it does not say
    ],
)
def test_a_card_that_torch_has_no_kernels_for_is_told_before_anything_is_loaded(
    built, cuda: str, architectures: str, capability: tuple[int, int], advice: str
) -> None:
    built(cuda, architectures, capability)
    if not advice:
        assert device_of(Settings()) == CUDA
        return
    with pytest.raises(NotReady, match=rf"without kernels for Some Card .*{advice}.*MERRFLOW_SOME_DEVICE=cpu"):
        device_of(Settings())


def test_rocm_is_not_supported(card, monkeypatch) -> None:
    card()
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert device_of(Settings()) == CPU


@pytest.mark.parametrize(
    ("capability", "wanted", "found"),
    [
        ((9, 0), "auto", torch.bfloat16),
        ((8, 0), "auto", torch.bfloat16),
        ((7, 5), "auto", torch.float16),
        ((7, 5), "float32", torch.float32),
        ((9, 0), "float16", torch.float16),
    ],
)
def test_formats_by_card(card, capability: tuple[int, int], wanted: Any, found: torch.dtype) -> None:
    card(capability)
    assert dtype_of(Settings(dtype=wanted), CUDA) == found


def test_bfloat16_is_not_emulated(card) -> None:
    card((7, 5))
    with pytest.raises(NotReady, match="Some Card has no bfloat16; set MERRFLOW_SOME_DTYPE=float16"):
        dtype_of(Settings(dtype="bfloat16"), CUDA)
    assert dtype_of(Settings(dtype="bfloat16"), CPU) == torch.bfloat16


def test_attention_by_what_is_there(card) -> None:
    card(flash=True)
    assert attention_of(Settings(), CUDA) == "flash_attention_2"
    assert attention_of(Settings(dtype="float32"), CUDA) == "sdpa"
    assert attention_of(Settings(attention="eager"), CUDA) == "eager"
    card((7, 5), flash=True)
    assert attention_of(Settings(), CUDA) == "sdpa"
    card(flash=False)
    assert attention_of(Settings(), CUDA) == "sdpa"
    with pytest.raises(NotReady, match="flash-attn is not installed; set MERRFLOW_SOME_ATTENTION=auto"):
        attention_of(Settings(attention="flash_attention_2"), CUDA)


# -- memory that ends -------------------------------------------------------------------------------------------------


class Model:
    """Takes `room` units at once; an item's value is what it needs."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.calls: list[list[int]] = []

    def __call__(self, chunk: list[int]) -> list[int]:
        self.calls.append(list(chunk))
        if sum(chunk) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [-item for item in chunk]


def test_memory_that_ends_halves_the_limit_for_good() -> None:
    model, limit = Model(3), BatchLimit(8)
    assert run_split(model, [1] * 10, limit) == [-1] * 10
    assert limit.size == 2
    assert [len(call) for call in model.calls] == [8, 4, 2, 2, 2, 2, 2]
    model.room = 100
    run_split(model, [1] * 4, limit)
    assert limit.size == 2


def test_what_was_done_before_is_kept() -> None:
    model, limit = Model(4), BatchLimit(4)
    assert run_split(model, [1, 1, 1, 1, 3, 3], limit) == [-1, -1, -1, -1, -3, -3]
    assert model.calls == [[1, 1, 1, 1], [3, 3], [3], [3]]


def test_the_limit_falls_below_a_short_rest() -> None:
    limit = BatchLimit(64)
    run_split(Model(2), [1, 1, 1], limit)
    assert limit.size == 1


def test_one_item_that_does_not_fit_is_too_large() -> None:
    limit = BatchLimit(4)
    with pytest.raises(TooLarge, match="this request alone needs more memory") as caught:
        run_split(Model(4), [1, 9, 1], limit)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert limit.size == 1


@given(st.lists(st.integers(1, 5), max_size=40), st.integers(5, 40), st.integers(1, 64))
def test_order_and_number_hold_whatever_fits(items: list[int], room: int, size: int) -> None:
    limit = BatchLimit(size)
    with patch("merrflow_serving.torch.device._empty_cache"):  # it collects garbage, which takes its time
        assert run_split(Model(room), items, limit) == [-item for item in items]
    assert 1 <= limit.size <= size


def test_the_failed_batch_holds_no_memory_while_the_next_runs() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def run(chunk: list[int]) -> list[int]:
        assert all(ref() is None for ref in held)  # the traceback of the failure is gone, and its tensors with it
        large = torch.zeros(1000)
        held.append(weakref.ref(large))
        if len(chunk) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [int(large[0]) + item for item in chunk]

    assert run_split(run, [1, 2, 3, 4], BatchLimit(4)) == [1, 2, 3, 4]
    assert len(held) == 6


def test_other_errors_pass_and_wrong_counts_are_faults() -> None:
    def wrong(chunk: list[int]) -> list[int]:
        raise ValueError("not memory")

    limit = BatchLimit(4)
    with pytest.raises(ValueError, match="not memory"):
        run_split(wrong, [1, 2], limit)
    with pytest.raises(EngineFault, match="1 results for 2 items"):
        run_split(lambda chunk: chunk[:1], [1, 2], limit)
    assert limit.size == 4
    assert run_split(wrong, [], limit) == []
    with pytest.raises(ValueError):
        BatchLimit(0)


def test_the_cpus_own_lack_of_memory_counts() -> None:
    """The real error of torch's CPU allocator, not one made up."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value) and not is_lost(caught.value)
    with pytest.raises(TooLarge):
        run_split(lambda chunk: [torch.empty(1 << 60, dtype=torch.uint8)], [1], BatchLimit(1))


# -- a device that is gone --------------------------------------------------------------------------------------------


def accelerator_error(text: str, code: int | None) -> Exception:
    error = torch.AcceleratorError(text)
    if code is not None:
        error.error_code = code
    return error


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CUDA error: device-side assert triggered", 710),
        ("CUDA error: an illegal memory access was encountered", 700),
        ("CUDA error: uncorrectable ECC error encountered", 214),
        ("CUDA error: unspecified launch failure", 719),
        ("CUDA error: unknown error", 999),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", 46),
        ("CUDA error: something new", None),
    ],
)
def test_errors_of_a_lost_device(text: str, code: int | None) -> None:
    error = accelerator_error(f"{text}\nCompile with TORCH_USE_CUDA_DSA", code)
    assert is_lost(error)
    with pytest.raises(DeviceLost, match=f"{text[12:25]}.*must restart") as caught, device_errors():
        raise error
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "CUDA driver error: the GPU is lost",
    ],
)
def test_plain_runtime_errors_of_a_lost_device(text: str) -> None:
    assert is_lost(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        accelerator_error("CUDA error: out of memory", 2),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_lack_of_memory_is_not_a_lost_device(error: Exception) -> None:
    assert is_out_of_memory(error) and not is_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        accelerator_error("CUDA error: invalid configuration argument", 9),
        accelerator_error("CUDA error: no kernel image is available for execution on the device", 209),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        RuntimeError("the tokenizer met an unknown error"),
        ValueError("CUDA error: device-side assert triggered"),
        KeyError("x"),
    ],
)
def test_errors_of_a_call_are_neither(error: Exception) -> None:
    assert not is_lost(error) and not is_out_of_memory(error)
    with pytest.raises(type(error)), device_errors():
        raise error


def test_run_split_reports_a_lost_device_at_once() -> None:
    calls = []

    def run(chunk: list[int]) -> list[int]:
        calls.append(chunk)
        raise accelerator_error("CUDA error: an illegal memory access was encountered", 700)

    limit = BatchLimit(4)
    with pytest.raises(DeviceLost):
        run_split(run, [1, 2, 3, 4, 5], limit)
    assert len(calls) == 1 and limit.size == 4


# -- memory, reported -------------------------------------------------------------------------------------------------


def test_memory_of_this_process() -> None:
    found = memory(CPU)
    assert 10 << 20 < found.used_bytes <= found.peak_bytes <= found.total_bytes
    assert 0 < found.free_bytes < found.total_bytes


# -- on a real card ---------------------------------------------------------------------------------------------------


@has_cuda
def test_a_real_card_splits_a_batch_that_does_not_fit() -> None:
    free, _ = torch.cuda.mem_get_info()
    each = int(free * 0.4)
    limit = BatchLimit(8)

    def run(chunk: list[int]) -> list[int]:
        held = [torch.empty(each, dtype=torch.uint8, device="cuda") for _ in chunk]
        return [item + len(held) * 0 for item in chunk]

    assert run_split(run, list(range(8)), limit) == list(range(8))
    assert limit.size == 2
    found = memory(CUDA)
    assert found.peak_bytes >= 2 * each and found.total_bytes >= free


@has_cuda
def test_a_real_card_that_is_lost_is_reported() -> None:
    """A device-side assert: what torch raises then, and at every later call, is a lost device."""
    code = """
        import torch
        from merrflow_serving.torch.lost import DeviceLost, device_errors
        for _ in range(2):
            try:
                with device_errors():
                    torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")].cpu()
            except DeviceLost as error:
                print("LOST", repr(error.__cause__)[:60], getattr(error.__cause__, "error_code", None))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.stdout.count("LOST") == 2, done.stdout + done.stderr[-2000:]


def test_what_torch_says_of_an_old_driver_is_passed_on(monkeypatch) -> None:
    def init() -> None:
        raise RuntimeError(
            "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver.\nMore."
        )

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(
        NotReady, match=r"0 CUDA devices \(The NVIDIA driver .* is too old .*GPU driver\.\); set MERRFLOW"
    ):
        device_of(Settings(device="cuda"))


def test_a_cuda_build_that_must_use_the_cpu_says_so_once(monkeypatch, capfd) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    for _ in range(2):
        assert device_of(Settings()) == CPU
    assert "".join(capfd.readouterr()).count("this computes on the CPU") == 1
