"""merrflow turns raw video into multimodal emotion datasets, the way MERR was built."""

from pkgutil import extend_path
from typing import Any

from merrflow.core.version import __version__

# The gRPC stubs (merrflow.<service>.v1) come with their own distribution, merrflow-protos.
__path__ = extend_path(__path__, __name__)

__all__ = ["__version__", "annotate"]


def __getattr__(name: str) -> Any:
    # `merrflow.annotate` without making every import of a stub load the whole orchestrator.
    if name == "annotate":
        from merrflow.flow.run import annotate

        return annotate
    raise AttributeError(f"module 'merrflow' has no attribute {name!r}")
