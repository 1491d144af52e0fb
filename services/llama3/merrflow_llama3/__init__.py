"""The llama3 service: a language model reasons over the clues of a clip (MERR's fine-grained description).

An engine takes `ReasonItem` and `ScoreItem`, answers with `Reasoned` and `Scored`, and is configured by
`Llama3Settings`. One that also translates names its prompt in `EngineInfo.translation_prompt_version`: then it takes
`TranslateItem` too, and answers with `Translated`. Importing this package loads no model and no model library.
"""

from __future__ import annotations

from merrflow_llama3.service import register
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import (
    Clues,
    LabelScore,
    Reasoned,
    ReasonItem,
    Scored,
    ScoreItem,
    ScoringMethod,
    Translated,
    TranslateItem,
)
from merrflow_serving.answers import Outcome
from merrflow_serving.service import ServiceSpec

__all__ = [
    "SPEC",
    "Clues",
    "LabelScore",
    "Llama3Settings",
    "Outcome",
    "ReasonItem",
    "Reasoned",
    "ScoreItem",
    "Scored",
    "ScoringMethod",
    "TranslateItem",
    "Translated",
]
__version__ = "0.1.0"


def _warmup() -> ReasonItem:
    clues = Clues(
        scene="One person is in the middle of the picture, facing the camera.",
        expressions=("lowered brows", "lips stretched sideways"),
        tone="The voice is trembling and slow.",
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
        "openai": "merrflow_llama3.engines.openai.engine:OpenAIReasoner",
    },
    register=register,
    warmup=_warmup,
    results={ReasonItem: Reasoned, ScoreItem: Scored, TranslateItem: Translated},
)
