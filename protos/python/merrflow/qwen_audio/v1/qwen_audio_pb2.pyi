from merrflow.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Content(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTENT_UNSPECIFIED: _ClassVar[Content]
    CONTENT_SPEECH: _ClassVar[Content]
    CONTENT_NO_SPEECH: _ClassVar[Content]
    CONTENT_MUSIC: _ClassVar[Content]
    CONTENT_SILENCE: _ClassVar[Content]
CONTENT_UNSPECIFIED: Content
CONTENT_SPEECH: Content
CONTENT_NO_SPEECH: Content
CONTENT_MUSIC: Content
CONTENT_SILENCE: Content

class DescribeRequest(_message.Message):
    __slots__ = ("clip", "audio", "instruction")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    clip: str
    audio: _common_pb2.Media
    instruction: str
    def __init__(self, clip: _Optional[str] = ..., audio: _Optional[_Union[_common_pb2.Media, _Mapping]] = ..., instruction: _Optional[str] = ...) -> None: ...

class DescribeStreamRequest(_message.Message):
    __slots__ = ("request", "chunk")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    request: DescribeRequest
    chunk: bytes
    def __init__(self, request: _Optional[_Union[DescribeRequest, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class DescribeStreamResponse(_message.Message):
    __slots__ = ("response",)
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    response: DescribeResponse
    def __init__(self, response: _Optional[_Union[DescribeResponse, _Mapping]] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("start_seconds", "end_seconds")
    START_SECONDS_FIELD_NUMBER: _ClassVar[int]
    END_SECONDS_FIELD_NUMBER: _ClassVar[int]
    start_seconds: float
    end_seconds: float
    def __init__(self, start_seconds: _Optional[float] = ..., end_seconds: _Optional[float] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("text", "outcome", "content", "measurements", "speech", "timing", "engine", "usage")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    outcome: _common_pb2.Outcome
    content: Content
    measurements: _containers.RepeatedCompositeFieldContainer[_common_pb2.Measurement]
    speech: _containers.RepeatedCompositeFieldContainer[Span]
    timing: _common_pb2.Timing
    engine: _common_pb2.EngineInfo
    usage: _common_pb2.Usage
    def __init__(self, text: _Optional[str] = ..., outcome: _Optional[_Union[_common_pb2.Outcome, str]] = ..., content: _Optional[_Union[Content, str]] = ..., measurements: _Optional[_Iterable[_Union[_common_pb2.Measurement, _Mapping]]] = ..., speech: _Optional[_Iterable[_Union[Span, _Mapping]]] = ..., timing: _Optional[_Union[_common_pb2.Timing, _Mapping]] = ..., engine: _Optional[_Union[_common_pb2.EngineInfo, _Mapping]] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ...) -> None: ...
