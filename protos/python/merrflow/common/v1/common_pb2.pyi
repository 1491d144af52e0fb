from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reach(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REACH_UNSPECIFIED: _ClassVar[Reach]
    REACH_MACHINE: _ClassVar[Reach]
    REACH_PRIVATE: _ClassVar[Reach]
    REACH_PUBLIC: _ClassVar[Reach]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_DONE: _ClassVar[Outcome]
    OUTCOME_TRUNCATED: _ClassVar[Outcome]
    OUTCOME_REFUSED: _ClassVar[Outcome]
    OUTCOME_REJECTED: _ClassVar[Outcome]
    OUTCOME_NO_GROUND: _ClassVar[Outcome]
REACH_UNSPECIFIED: Reach
REACH_MACHINE: Reach
REACH_PRIVATE: Reach
REACH_PUBLIC: Reach
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_DONE: Outcome
OUTCOME_TRUNCATED: Outcome
OUTCOME_REFUSED: Outcome
OUTCOME_REJECTED: Outcome
OUTCOME_NO_GROUND: Outcome

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("service", "version", "engine", "limits", "ready", "problem", "memory", "doing", "doing_seconds", "endpoint")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    DOING_FIELD_NUMBER: _ClassVar[int]
    DOING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    service: str
    version: str
    engine: EngineInfo
    limits: Limits
    ready: bool
    problem: str
    memory: Memory
    doing: str
    doing_seconds: float
    endpoint: Endpoint
    def __init__(self, service: _Optional[str] = ..., version: _Optional[str] = ..., engine: _Optional[_Union[EngineInfo, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., ready: _Optional[bool] = ..., problem: _Optional[str] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ..., doing: _Optional[str] = ..., doing_seconds: _Optional[float] = ..., endpoint: _Optional[_Union[Endpoint, _Mapping]] = ...) -> None: ...

class Endpoint(_message.Message):
    __slots__ = ("host", "reach")
    HOST_FIELD_NUMBER: _ClassVar[int]
    REACH_FIELD_NUMBER: _ClassVar[int]
    host: str
    reach: Reach
    def __init__(self, host: _Optional[str] = ..., reach: _Optional[_Union[Reach, str]] = ...) -> None: ...

class Memory(_message.Message):
    __slots__ = ("used_bytes", "total_bytes", "peak_bytes", "free_bytes")
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    used_bytes: int
    total_bytes: int
    peak_bytes: int
    free_bytes: int
    def __init__(self, used_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., peak_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ...) -> None: ...

class EngineInfo(_message.Message):
    __slots__ = ("engine", "model", "revision", "device", "dtype", "prompt_version", "licence", "scoring_prompt_version", "translation_prompt_version", "note")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    LICENCE_FIELD_NUMBER: _ClassVar[int]
    SCORING_PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRANSLATION_PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    engine: str
    model: str
    revision: str
    device: str
    dtype: str
    prompt_version: str
    licence: str
    scoring_prompt_version: str
    translation_prompt_version: str
    note: str
    def __init__(self, engine: _Optional[str] = ..., model: _Optional[str] = ..., revision: _Optional[str] = ..., device: _Optional[str] = ..., dtype: _Optional[str] = ..., prompt_version: _Optional[str] = ..., licence: _Optional[str] = ..., scoring_prompt_version: _Optional[str] = ..., translation_prompt_version: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_batch_size", "max_queue", "max_message_bytes", "max_media_bytes", "max_pixels", "max_frames", "max_seconds", "max_tokens")
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUE_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MEDIA_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAMES_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_batch_size: int
    max_queue: int
    max_message_bytes: int
    max_media_bytes: int
    max_pixels: int
    max_frames: int
    max_seconds: float
    max_tokens: int
    def __init__(self, max_batch_size: _Optional[int] = ..., max_queue: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_media_bytes: _Optional[int] = ..., max_pixels: _Optional[int] = ..., max_frames: _Optional[int] = ..., max_seconds: _Optional[float] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class Media(_message.Message):
    __slots__ = ("data", "path")
    DATA_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    path: str
    def __init__(self, data: _Optional[bytes] = ..., path: _Optional[str] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("queue_seconds", "model_seconds", "batch_size")
    QUEUE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MODEL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    queue_seconds: float
    model_seconds: float
    batch_size: int
    def __init__(self, queue_seconds: _Optional[float] = ..., model_seconds: _Optional[float] = ..., batch_size: _Optional[int] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("endpoint", "model", "fingerprint", "prompt_version", "input_tokens", "output_tokens", "seconds", "calls", "audio_seconds")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_SECONDS_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    model: str
    fingerprint: str
    prompt_version: str
    input_tokens: int
    output_tokens: int
    seconds: float
    calls: int
    audio_seconds: float
    def __init__(self, endpoint: _Optional[str] = ..., model: _Optional[str] = ..., fingerprint: _Optional[str] = ..., prompt_version: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., seconds: _Optional[float] = ..., calls: _Optional[int] = ..., audio_seconds: _Optional[float] = ...) -> None: ...

class Measurement(_message.Message):
    __slots__ = ("name", "value", "unit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    unit: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ...) -> None: ...
