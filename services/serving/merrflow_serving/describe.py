"""`merrflow-serve describe SERVICE`: what a service would run on this machine, as one line of JSON, without loading it.

For planning before anything runs: which engine, model and revision would answer, what it refuses as too large, and how
much GPU memory it would need (0 for an engine that computes on the CPU).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

from merrflow_serving.engine import info_of, need_of
from merrflow_serving.errors import MerrflowError, one_line
from merrflow_serving.service import ServiceSpec
from merrflow_serving.settings import ServiceSettings
from merrflow_serving.torch.need import Need

S = TypeVar("S", bound=ServiceSettings)


def describe(spec: ServiceSpec[S], settings: S) -> dict[str, Any]:
    """Values that JSON can hold; sizes in bytes.

    service, version; engine and limits as in `EngineInfo`; need: {least_bytes, full_bytes}; gpu: {name, uuid,
    total_bytes}, or None for an engine on the CPU; problem: why the need is unknown, or "".
    Raises `InvalidInput` for an engine that does not exist.
    """
    engine = spec.make_engine(settings)
    info = asdict(info_of(engine))
    limits = info.pop("limits")
    need, gpu, problem = Need(0, 0), None, ""
    try:
        need = need_of(engine) or need
        if need.full or need.share:
            gpu = _gpu(info["device"])
            need = need.on(gpu["total_bytes"])
    except MerrflowError as error:
        problem = str(error)
    except ImportError as error:
        problem = f"the engine {info['engine']} needs {error.name or error}, which is not installed here"
    except RuntimeError as error:  # what torch raises for a card that is full, or gone
        problem = f"the GPU cannot be used: {error}"
    except Exception as error:  # of an engine of another distribution
        problem = f"the engine {info['engine']} does not say what it needs: {one_line(error)}"
    return {
        "service": spec.name,
        "version": spec.version,
        "engine": info,
        "limits": limits,
        "need": {"least_bytes": need.least, "full_bytes": need.full},
        "gpu": gpu,
        "problem": problem,
    }


def _gpu(device: str) -> dict[str, Any]:
    """The card that `device` ("cuda:0"; "auto" for an engine that chooses it itself) names."""
    import torch

    if not torch.cuda.is_available():
        return {"name": "", "uuid": "", "total_bytes": 0}
    found = torch.cuda.get_device_properties(device if device.startswith("cuda") else "cuda:0")
    return {"name": found.name, "uuid": str(getattr(found, "uuid", "")), "total_bytes": found.total_memory}
