"""What a build of torch needs of the driver and the card, and what to do if they do not have it.

torch is imported only where it is asked; the rest serves `merrflow doctor`, which looks at machines without it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml

from merrflow_serving.prompt_files import Strict

if TYPE_CHECKING:
    import torch

OLDER_BUILD = (
    "a build of torch for an older CUDA: an image built with TORCH_CUDA=cu126 (docs/gpu-server.md), or, without "
    "containers, pip install torch --index-url https://download.pytorch.org/whl/cu126"
)
BOTH_WAYS = f"install a newer driver, or {OLDER_BUILD}"

_OLD_DRIVER = re.compile(r"driver\b.*\b(too old|insufficient)", re.I)  # torch's words, and the CUDA runtime's


class Cuda(Strict):
    """What a major version of CUDA needs."""

    major: int
    driver: int  # NVIDIA's driver, by its major version
    capability: tuple[int, int]  # of the card
    without: str  # the cards that it left behind


class _Drivers(Strict):
    version: int
    cuda: tuple[Cuda, ...]


@cache
def drivers() -> dict[int, Cuda]:
    """drivers.yaml, by CUDA's major version."""
    text = (files(__package__) / "drivers.yaml").read_text(encoding="utf-8")
    return {one.major: one for one in _Drivers.model_validate(yaml.safe_load(text)).cuda}


def needs_of(build: str | None) -> Cuda | None:
    """Of the CUDA that torch is built for, as `torch.version.cuda` has it ("13.0"); None if that is not known."""
    major = (build or "").partition(".")[0]
    return drivers().get(int(major)) if major.isdigit() else None


def unfit_build(device: torch.device) -> str:
    """Why this build of torch cannot use the card that is there, and the ways out; "" if it can, or if there is none.

    The driver may be too old for the CUDA that torch is built for, or torch have no kernels for the card.
    """
    import torch

    if torch.version.hip is not None or not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return ""
    build = f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
    needs = needs_of(torch.version.cuda)
    if not torch.cuda.is_available():
        why = why_no_cuda()
        wanted = f" {needs.driver} or newer" if needs else " a newer one"
        return f"{build}, which needs NVIDIA driver{wanted} ({why}); {BOTH_WAYS}" if _OLD_DRIVER.search(why) else ""
    index = device.index or 0
    if index >= torch.cuda.device_count() or _has_kernels(torch.cuda.get_device_capability(index)):
        return ""
    major, minor = torch.cuda.get_device_capability(index)
    older = needs is not None and (major, minor) < needs.capability
    card = f"{torch.cuda.get_device_name(index)} (compute capability {major}.{minor})"
    other = OLDER_BUILD if older else "a build of torch for a newer CUDA"
    return f"{build}, without kernels for {card}; install {other}"


def _has_kernels(capability: tuple[int, int]) -> bool:
    """Whether torch is compiled for such a card, or has code that the driver can compile for it."""
    import torch

    known = [
        (kind, int(number[:-1]), int(number[-1]))
        for kind, number in re.findall(r"\b(sm|compute)_(\d{2,})", " ".join(torch.cuda.get_arch_list()))
    ]  # such as sm_90 or, for one architecture alone, sm_90a
    return not known or any(
        (major, minor) <= capability and (kind == "compute" or major == capability[0]) for kind, major, minor in known
    )


def why_no_cuda() -> str:
    """Why torch cannot use CUDA, such as that the driver is too old, in its own words; "" if it does not say."""
    import torch

    if torch.version.hip is not None:
        return "this is a ROCm build of torch, which is not supported"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch's own gap
    except Exception as error:  # it raises many kinds
        return next(iter(str(error).strip().splitlines()), type(error).__name__)
    return ""
