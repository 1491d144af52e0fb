"""merrflow turns raw video into multimodal emotion datasets, the way MERR was built.

The Python API: `annotate` makes a dataset, `open` reads one, `Client` and `AsyncClient` call one service.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

from merrflow.core.version import __version__

if TYPE_CHECKING:
    from merrflow.clients.async_client import AsyncClient
    from merrflow.clients.client import Client
    from merrflow.clients.services import Answer
    from merrflow.core.errors import InputError
    from merrflow.core.labels import LabelScores
    from merrflow.core.measurements import ActionUnitSeries
    from merrflow.core.records import Outcome, Record
    from merrflow.core.settings import RunSettings
    from merrflow.core.texts import Origin, Reasoning, Scene, Tone
    from merrflow.datasets.dataset import Dataset, open
    from merrflow.datasets.entries import Entry
    from merrflow.datasets.outputs import Summary
    from merrflow.flow.run import annotate
    from merrflow_serving.errors import MerrflowError

# The gRPC stubs (merrflow.<service>.v1) come with their own distribution, merrflow-protos.
__path__ = extend_path(__path__, __name__)

__all__ = [
    "ActionUnitSeries",
    "Answer",
    "AsyncClient",
    "Client",
    "Dataset",
    "Entry",
    "InputError",
    "LabelScores",
    "MerrflowError",
    "Origin",
    "Outcome",
    "Reasoning",
    "Record",
    "RunSettings",
    "Scene",
    "Summary",
    "Tone",
    "__version__",
    "annotate",
    "open",
]

# Where each name comes from. It is imported at first use, so that an import of a stub does not load the orchestrator.
_MODULES = {
    "merrflow.clients.async_client": ("AsyncClient",),
    "merrflow.clients.client": ("Client",),
    "merrflow.clients.services": ("Answer",),
    "merrflow.core.errors": ("InputError",),
    "merrflow.core.labels": ("LabelScores",),
    "merrflow.core.measurements": ("ActionUnitSeries",),
    "merrflow.core.records": ("Outcome", "Record"),
    "merrflow.core.settings": ("RunSettings",),
    "merrflow.core.texts": ("Origin", "Reasoning", "Scene", "Tone"),
    "merrflow.datasets.dataset": ("Dataset", "open"),
    "merrflow.datasets.entries": ("Entry",),
    "merrflow.datasets.outputs": ("Summary",),
    "merrflow.flow.run": ("annotate",),
    "merrflow_serving.errors": ("MerrflowError",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'merrflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
