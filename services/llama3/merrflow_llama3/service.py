"""The gRPC interface of the llama3 service."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import grpc

from merrflow.llama3.v1 import llama3_pb2, llama3_pb2_grpc
from merrflow_llama3.scoring import clean_labels
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import Clues, Reasoned, ReasonItem, ScoreItem, Translated, TranslateItem
from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import InvalidInput, TooLarge
from merrflow_serving.service import Service

HOW_TO_TRANSLATE = (
    "give the service a larger model (MERRFLOW_LLAMA3_MODEL_PATH, or MERRFLOW_LLAMA3_ENGINE=transformers), or leave "
    "translation out (MERRFLOW_TRANSLATE=off)"
)


class EmotionReasoner(llama3_pb2_grpc.EmotionReasonerServicer):
    """Passes clues to the engine, and its description, label scores or translation back."""

    def __init__(self, service: Service[Llama3Settings]) -> None:
        self._service = service
        self._longest = service.settings.max_clue_characters

    async def Reason(  # noqa: N802
        self,
        request: llama3_pb2.ReasonRequest,
        context: grpc.aio.ServicerContext[llama3_pb2.ReasonRequest, llama3_pb2.ReasonResponse],
    ) -> llama3_pb2.ReasonResponse:
        self._check_length(request.clues)
        answer = await self._service.run(ReasonItem(_clues(request.clues), request.seed), clip=request.clip)
        return llama3_pb2.ReasonResponse(**_written(answer.result), **self._service.stamp(answer))

    async def Score(  # noqa: N802
        self,
        request: llama3_pb2.ScoreRequest,
        context: grpc.aio.ServicerContext[llama3_pb2.ScoreRequest, llama3_pb2.ScoreResponse],
    ) -> llama3_pb2.ScoreResponse:
        self._check_length(request.clues, request.labels)
        clean_labels(request.labels)  # whichever engine there is
        item = ScoreItem(_clues(request.clues), tuple(request.labels))
        answer = await self._service.run(item, clip=request.clip)
        return llama3_pb2.ScoreResponse(
            scores=[llama3_pb2.LabelScore(**vars(score)) for score in answer.result.scores],
            prompt_tokens=answer.result.prompt_tokens,
            method=f"SCORING_METHOD_{answer.result.method.name}",
            **self._service.stamp(answer),
        )

    async def Translate(  # noqa: N802
        self,
        request: llama3_pb2.TranslateRequest,
        context: grpc.aio.ServicerContext[llama3_pb2.TranslateRequest, llama3_pb2.TranslateResponse],
    ) -> llama3_pb2.TranslateResponse:
        info = self._service.info
        if self._service.ready and not info.translation_prompt_version:
            raise InvalidInput(
                f"the engine {info.engine} with {info.model} does not translate: {HOW_TO_TRANSLATE}",
                reason="NO_TRANSLATION",
            )
        self._check_length(llama3_pb2.Clues(subtitle=request.text), [request.language])
        item = TranslateItem(request.text, request.language, request.seed)
        answer = await self._service.run(item, clip=request.clip)
        return llama3_pb2.TranslateResponse(**_written(answer.result), **self._service.stamp(answer))

    def _check_length(self, clues: llama3_pb2.Clues, labels: Iterable[str] = ()) -> None:
        """Raises `TooLarge` before the text is cleaned or tokenised, which takes long for megabytes."""
        length = sum(map(len, (clues.scene, clues.tone, clues.subtitle, clues.label, clues.translation)))
        for phrase in chain(clues.expressions, clues.other_expressions, labels):
            length += len(phrase) + 1  # for the separator, so that empty phrases count too
            if length > self._longest:
                break
        if length > self._longest:
            variable = f"{SERVICES['llama3'].env_prefix}MAX_CLUE_CHARACTERS"
            raise TooLarge(
                f"the clues have more than {self._longest} characters: shorten the scene, the tone or the subtitle, "
                f"or raise {variable}"
            )


def _written(result: Reasoned | Translated) -> dict[str, Any]:
    return {
        "text": result.text,
        "outcome": result.outcome.to_proto(),
        "prompt_tokens": result.prompt_tokens,
        "answer_tokens": result.answer_tokens,
        "outcome_reason": result.reason,
        "attempts": result.attempts,
    }


def _clues(clues: llama3_pb2.Clues) -> Clues:
    return Clues(
        clues.scene,
        tuple(clues.expressions),
        clues.tone,
        clues.subtitle,
        clues.label,
        clues.translation,
        tuple(clues.other_expressions),
    )


def register(service: Service[Llama3Settings], server: grpc.aio.Server) -> None:
    llama3_pb2_grpc.add_EmotionReasonerServicer_to_server(EmotionReasoner(service), server)
