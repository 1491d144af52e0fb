from merrflow.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ("clip", "image", "context", "instruction")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    clip: str
    image: _common_pb2.Media
    context: _containers.RepeatedCompositeFieldContainer[ContextFrame]
    instruction: str
    def __init__(self, clip: _Optional[str] = ..., image: _Optional[_Union[_common_pb2.Media, _Mapping]] = ..., context: _Optional[_Iterable[_Union[ContextFrame, _Mapping]]] = ..., instruction: _Optional[str] = ...) -> None: ...

class ContextFrame(_message.Message):
    __slots__ = ("image", "offset_seconds")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_SECONDS_FIELD_NUMBER: _ClassVar[int]
    image: _common_pb2.Media
    offset_seconds: float
    def __init__(self, image: _Optional[_Union[_common_pb2.Media, _Mapping]] = ..., offset_seconds: _Optional[float] = ...) -> None: ...

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

class DescribeResponse(_message.Message):
    __slots__ = ("text", "outcome", "measurements", "on_screen_text", "timing", "engine", "usage")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MEASUREMENTS_FIELD_NUMBER: _ClassVar[int]
    ON_SCREEN_TEXT_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    outcome: _common_pb2.Outcome
    measurements: _containers.RepeatedCompositeFieldContainer[_common_pb2.Measurement]
    on_screen_text: _containers.RepeatedScalarFieldContainer[str]
    timing: _common_pb2.Timing
    engine: _common_pb2.EngineInfo
    usage: _common_pb2.Usage
    def __init__(self, text: _Optional[str] = ..., outcome: _Optional[_Union[_common_pb2.Outcome, str]] = ..., measurements: _Optional[_Iterable[_Union[_common_pb2.Measurement, _Mapping]]] = ..., on_screen_text: _Optional[_Iterable[str]] = ..., timing: _Optional[_Union[_common_pb2.Timing, _Mapping]] = ..., engine: _Optional[_Union[_common_pb2.EngineInfo, _Mapping]] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ...) -> None: ...
