"""The llama3 service: a language model reasons over the clues of a clip (MERR's fine-grained description)."""

from __future__ import annotations

from merrflow_llama3.service import register
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import Clues, ReasonItem
from merrflow_serving.catalog import SERVICES
from merrflow_serving.service import ServiceSpec

__version__ = "0.1.0"


def _warmup() -> ReasonItem:
    clues = Clues(
        scene="One person is in the middle of the picture, facing the camera.",
        expressions=("a slight frown", "parted lips"),
        tone="The voice is quiet and slow.",
        subtitle="I do not know what to do.",
        label="worried",
    )
    return ReasonItem(clues, seed=0)


SPEC = ServiceSpec(
    name="llama3",
    version=__version__,
    settings=Llama3Settings,
    engines={
        "llamacpp": "merrflow_llama3.engines.llamacpp:LlamaCpp",
        "transformers": "merrflow_llama3.engines.transformers:Transformers",
        "vllm": "merrflow_llama3.engines.vllm:Vllm",
    },
    proto=SERVICES["llama3"].proto,
    register=register,
    warmup=_warmup,
)
