"""Device, number format, attention code and memory of engines on torch, and what happens when a batch does not fit."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import structlog

from merrflow_serving.errors import EngineFault, NotReady, TooLarge
from merrflow_serving.machine import Memory, host_memory
from merrflow_serving.torch.drivers import unfit_build, why_no_cuda
from merrflow_serving.torch.lost import DeviceLost, device_errors, is_lost, is_out_of_memory
from merrflow_serving.torch.settings import TorchSettings

if TYPE_CHECKING:
    import torch

__all__ = ["BatchLimit", "DeviceLost", "Memory", "attention_of", "device_errors", "device_of", "dtype_of", "is_lost"]
__all__ += ["arithmetic_of", "card_of", "held", "memory", "run_split"]

log = structlog.get_logger()
T = TypeVar("T")
R = TypeVar("R")
FLASH_CAPABILITY = (8, 0)  # flash-attn 2 runs on Ampere and newer


def device_of(settings: TorchSettings) -> torch.device:
    """Where to compute. `auto`: the first CUDA device, else the CPU. ROCm and MPS are not supported, as untested.

    Raises `NotReady` if the settings name a CUDA device that torch does not have, with torch's reason, and, also for
    `auto`, if there is a card that this build of torch cannot use: a model of this size is no work for a CPU.
    """
    import torch

    name = settings.device
    usable = torch.cuda.is_available() and torch.version.hip is None
    if name != "cpu" and (problem := unfit_build(torch.device("cuda" if name == "auto" else name))):
        raise NotReady(f"{problem}; or compute on the CPU: {settings.variable('DEVICE')}=cpu", reason="BUILD_UNFIT")
    if name == "auto":
        name = "cuda" if usable else "cpu"
        if not usable and torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]  # torch's own gap
            _warn_once(why_no_cuda())
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if usable else 0
        index = device.index or 0
        if index >= count:
            why = "" if usable else f" ({why_no_cuda()})"
            raise NotReady(
                f"device {settings.device!r} is set, but torch {torch.__version__} sees {count} CUDA devices{why}; "
                f"set {settings.variable('DEVICE')}=auto or cpu, or check the driver, that torch is built for CUDA, "
                "and that the container has access to the GPU (deploy/compose/gpu.yml)",
                reason="DEVICE_MISSING",
            )
        return torch.device("cuda", index)
    return device


@cache
def _warn_once(why: str) -> None:
    log.warning("no CUDA device can be used, so this computes on the CPU", why=why)


def dtype_of(settings: TorchSettings, device: torch.device) -> torch.dtype:
    """Number format of weights and arithmetic.

    `auto`: float32 on a CPU; on CUDA float16 if the settings' `cuda_dtype` says so, or if the card does not support
    bfloat16 (Ampere and newer do), else bfloat16.
    Raises `NotReady` if the settings ask for bfloat16 on a card that would only emulate it.
    """
    import torch

    wanted = settings.dtype
    native = device.type != "cuda" or _has_bfloat16(device)
    if wanted == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if native and settings.cuda_dtype == "bfloat16" else torch.float16
    if wanted == "bfloat16" and not native:
        raise NotReady(
            f"{torch.cuda.get_device_name(device)} has no bfloat16; set {settings.variable('DTYPE')}=float16",
            reason="DTYPE_UNSUPPORTED",
        )
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]


def arithmetic_of(settings: TorchSettings) -> tuple[str, str]:
    """Device and number format for `EngineInfo`, such as ("cuda:0", "bfloat16").

    The settings' own words, "auto" among them, if torch is missing or has no such device; loading reports that.
    """
    try:
        device = device_of(settings)
        return str(device), str(dtype_of(settings, device)).removeprefix("torch.")
    except (ImportError, NotReady):
        return settings.device, settings.dtype


def _has_bfloat16(device: torch.device) -> bool:
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 0)  # is_bf16_supported() includes emulation


def attention_of(settings: TorchSettings, device: torch.device) -> str:
    """Name for transformers' `attn_implementation`: "sdpa", "eager" or "flash_attention_2".

    `auto`: flash_attention_2 if it is installed, the card supports it and the numbers have 16 bits; else sdpa.
    Raises `NotReady` if the settings ask for flash_attention_2 and it cannot be used.
    """
    if settings.attention in ("sdpa", "eager"):
        return settings.attention
    problem = _flash_problem(settings, device)
    if settings.attention == "auto":
        return "sdpa" if problem else "flash_attention_2"
    if problem:
        raise NotReady(
            f"flash_attention_2 cannot be used: {problem}; set {settings.variable('ATTENTION')}=auto",
            reason="ATTENTION_UNSUPPORTED",
        )
    return "flash_attention_2"


def _flash_problem(settings: TorchSettings, device: torch.device) -> str:
    import torch

    if device.type != "cuda":
        return "it needs a CUDA device"
    if importlib.util.find_spec("flash_attn") is None:
        return "the package flash-attn is not installed"
    if torch.cuda.get_device_capability(device) < FLASH_CAPABILITY:
        return f"{torch.cuda.get_device_name(device)} is older than it supports"
    if dtype_of(settings, device) == torch.float32:
        return "it does not support float32"
    return ""


class BatchLimit:
    """How many items an engine runs at once. Running out of memory lowers it; nothing raises it again."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a batch limit is at least 1")
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def lower(self, tried: int) -> int:
        """The new limit after a batch of `tried` items did not fit: half of that, at most the old limit, at least 1."""
        self._size = max(1, min(self._size, tried // 2))
        return self._size


def run_split(run: Callable[[list[T]], list[R]], items: list[T], limit: BatchLimit) -> list[R]:
    """`run` over all items in chunks of at most `limit.size`, results in order.

    If memory runs out, this empties the device's cache, halves the limit and continues with the same items; what was
    computed before is kept. So items that need as much memory should be next to each other: sort them first.
    Raises `TooLarge` if a single item does not fit, `DeviceLost` if the device is gone, `EngineFault` if `run` returns
    another number of results than it was given items, and whatever else `run` raises.
    """
    results: list[R] = []
    while len(results) < len(items):
        chunk = items[len(results) : len(results) + limit.size]
        done = _try(run, chunk)
        # Outside the handler: until the error is gone, its traceback holds the tensors that filled the memory.
        if done is None:
            _empty_cache()
            if len(chunk) == 1:
                raise TooLarge("this request alone needs more memory than the device has; send a smaller one")
            log.warning("out of memory: smaller batches from now on", tried=len(chunk), limit=limit.lower(len(chunk)))
            continue
        if len(done) != len(chunk):
            raise EngineFault(f"the model gave {len(done)} results for {len(chunk)} items")
        results += done
    return results


def _try(run: Callable[[list[T]], list[R]], chunk: list[T]) -> list[R] | None:
    """The results, or None if the items did not fit."""
    try:
        with device_errors():
            return list(run(chunk))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    return None


def _empty_cache() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        with device_errors():
            torch.cuda.empty_cache()


def memory(device: torch.device) -> Memory:
    """What this process holds on `device`, and the size of the device. Cheap; does not wait for the device."""
    if device.type != "cuda":
        return host_memory()
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return Memory(torch.cuda.memory_reserved(device), total, torch.cuda.max_memory_reserved(device), free)


def card_of(device: torch.device) -> str:
    """A name for the card behind a CUDA device that is the same in every process and container: its UUID."""
    import torch

    found = torch.cuda.get_device_properties(device)
    return str(getattr(found, "uuid", "")) or f"{found.name}-{device.index or 0}".replace("/", "-").replace(" ", "-")


def held(settings: TorchSettings) -> Memory:
    """`memory` of the device that the settings name. Raises `NotReady` if there is no such device."""
    return memory(device_of(settings))
