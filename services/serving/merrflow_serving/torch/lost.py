"""Recognises errors that mean a device is gone, as opposed to out of memory. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from merrflow_serving.errors import MerrflowError

# CUDA runtime error codes (cudaError_t) after which the process can still use the card: what failed is the call.
# All others that torch reports as AcceleratorError leave the context unusable until the process ends.
MEMORY_CODES = frozenset({2})  # cudaErrorMemoryAllocation
CALL_CODES = frozenset(
    {
        1,  # cudaErrorInvalidValue
        9,  # cudaErrorInvalidConfiguration
        98,  # cudaErrorInvalidDeviceFunction
        209,  # cudaErrorNoKernelImageForDevice: this build of torch does not know the card
        701,  # cudaErrorLaunchOutOfResources
        801,  # cudaErrorNotSupported
    }
)
_LOST = re.compile(
    r"device-side assert|illegal memory access|illegal instruction|misaligned address|unspecified launch failure|"
    r"launch timed out|uncorrectable|hardware stack|GPU is lost|fallen off the bus|unknown error|"
    r"devices? (is|are|\(s\) is/are) (busy or )?unavailable|context is destroyed|driver shutting down|"
    r"(CUBLAS|CUDNN)_STATUS_EXECUTION_FAILED|_STATUS_INTERNAL_ERROR",
    re.IGNORECASE,
)
_CALL = re.compile(r"no kernel image|invalid device function|invalid configuration argument|invalid argument", re.I)
# cuBLAS and the CPU's allocator report a lack of memory in the message only.
_MEMORY = re.compile(r"out of memory|can't allocate memory|_STATUS_ALLOC_FAILED", re.IGNORECASE)


class DeviceLost(MerrflowError):
    """The accelerator can no longer be used by this process: end it, so that a supervisor starts a new one.

    UNAVAILABLE: the same request may succeed elsewhere, or here after the restart.
    """

    code = grpc.StatusCode.UNAVAILABLE
    reason = "DEVICE_LOST"


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an error that cannot even be printed
        return ""


def is_out_of_memory(error: BaseException) -> bool:
    """True if the device (or the machine) had too little memory, so that a smaller batch may succeed."""
    if type(error).__name__ in ("OutOfMemoryError", "MemoryError"):
        return True
    if getattr(error, "error_code", None) in MEMORY_CODES:
        return True
    return isinstance(error, RuntimeError) and bool(_MEMORY.search(_words(error)))


def is_lost(error: BaseException) -> bool:
    """True if no further call on the device can succeed in this process."""
    if isinstance(error, DeviceLost):
        return True
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    if type(error).__name__ == "AcceleratorError":
        code = getattr(error, "error_code", None)
        return code not in CALL_CODES if code is not None else not _CALL.search(_words(error))
    text = _words(error)
    return bool(_LOST.search(text)) and ("CUDA" in text or "CUBLAS" in text or "CUDNN" in text or "GPU" in text)


@contextmanager
def device_errors() -> Iterator[None]:
    """Inside the block, an error that means a lost device becomes `DeviceLost`; every other one is left as it is."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DeviceLost) or not is_lost(error):
            raise
        first_line = next(iter(_words(error).strip().splitlines()), type(error).__name__)
        raise DeviceLost(f"the accelerator cannot be used any more ({first_line}); the service must restart") from error
