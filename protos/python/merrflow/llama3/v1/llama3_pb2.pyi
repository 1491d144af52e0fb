from merrflow.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoringMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCORING_METHOD_UNSPECIFIED: _ClassVar[ScoringMethod]
    SCORING_METHOD_LIKELIHOOD: _ClassVar[ScoringMethod]
    SCORING_METHOD_CHOICE: _ClassVar[ScoringMethod]
SCORING_METHOD_UNSPECIFIED: ScoringMethod
SCORING_METHOD_LIKELIHOOD: ScoringMethod
SCORING_METHOD_CHOICE: ScoringMethod

class Clues(_message.Message):
    __slots__ = ("scene", "expressions", "tone", "subtitle", "label", "translation", "other_expressions")
    SCENE_FIELD_NUMBER: _ClassVar[int]
    EXPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    TONE_FIELD_NUMBER: _ClassVar[int]
    SUBTITLE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TRANSLATION_FIELD_NUMBER: _ClassVar[int]
    OTHER_EXPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    scene: str
    expressions: _containers.RepeatedScalarFieldContainer[str]
    tone: str
    subtitle: str
    label: str
    translation: str
    other_expressions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scene: _Optional[str] = ..., expressions: _Optional[_Iterable[str]] = ..., tone: _Optional[str] = ..., subtitle: _Optional[str] = ..., label: _Optional[str] = ..., translation: _Optional[str] = ..., other_expressions: _Optional[_Iterable[str]] = ...) -> None: ...

class ReasonRequest(_message.Message):
    __slots__ = ("clip", "clues", "seed")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    CLUES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    clip: str
    clues: Clues
    seed: int
    def __init__(self, clip: _Optional[str] = ..., clues: _Optional[_Union[Clues, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...

class ReasonResponse(_message.Message):
    __slots__ = ("text", "outcome", "prompt_tokens", "answer_tokens", "timing", "engine", "outcome_reason", "attempts", "usage")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    outcome: _common_pb2.Outcome
    prompt_tokens: int
    answer_tokens: int
    timing: _common_pb2.Timing
    engine: _common_pb2.EngineInfo
    outcome_reason: str
    attempts: int
    usage: _common_pb2.Usage
    def __init__(self, text: _Optional[str] = ..., outcome: _Optional[_Union[_common_pb2.Outcome, str]] = ..., prompt_tokens: _Optional[int] = ..., answer_tokens: _Optional[int] = ..., timing: _Optional[_Union[_common_pb2.Timing, _Mapping]] = ..., engine: _Optional[_Union[_common_pb2.EngineInfo, _Mapping]] = ..., outcome_reason: _Optional[str] = ..., attempts: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("clip", "clues", "labels")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    CLUES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    clip: str
    clues: Clues
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, clip: _Optional[str] = ..., clues: _Optional[_Union[Clues, _Mapping]] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("scores", "prompt_tokens", "timing", "engine", "usage", "method")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[LabelScore]
    prompt_tokens: int
    timing: _common_pb2.Timing
    engine: _common_pb2.EngineInfo
    usage: _common_pb2.Usage
    method: ScoringMethod
    def __init__(self, scores: _Optional[_Iterable[_Union[LabelScore, _Mapping]]] = ..., prompt_tokens: _Optional[int] = ..., timing: _Optional[_Union[_common_pb2.Timing, _Mapping]] = ..., engine: _Optional[_Union[_common_pb2.EngineInfo, _Mapping]] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., method: _Optional[_Union[ScoringMethod, str]] = ...) -> None: ...

class LabelScore(_message.Message):
    __slots__ = ("label", "probability", "log_likelihood")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    LOG_LIKELIHOOD_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    log_likelihood: float
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ..., log_likelihood: _Optional[float] = ...) -> None: ...

class TranslateRequest(_message.Message):
    __slots__ = ("clip", "text", "language", "seed")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    clip: str
    text: str
    language: str
    seed: int
    def __init__(self, clip: _Optional[str] = ..., text: _Optional[str] = ..., language: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class TranslateResponse(_message.Message):
    __slots__ = ("text", "outcome", "prompt_tokens", "answer_tokens", "timing", "engine", "outcome_reason", "attempts", "usage")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    outcome: _common_pb2.Outcome
    prompt_tokens: int
    answer_tokens: int
    timing: _common_pb2.Timing
    engine: _common_pb2.EngineInfo
    outcome_reason: str
    attempts: int
    usage: _common_pb2.Usage
    def __init__(self, text: _Optional[str] = ..., outcome: _Optional[_Union[_common_pb2.Outcome, str]] = ..., prompt_tokens: _Optional[int] = ..., answer_tokens: _Optional[int] = ..., timing: _Optional[_Union[_common_pb2.Timing, _Mapping]] = ..., engine: _Optional[_Union[_common_pb2.EngineInfo, _Mapping]] = ..., outcome_reason: _Optional[str] = ..., attempts: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ...) -> None: ...
