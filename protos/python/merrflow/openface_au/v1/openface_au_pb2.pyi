from merrflow.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DetectRequest(_message.Message):
    __slots__ = ("clip", "video", "packed")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    clip: str
    video: _common_pb2.Media
    packed: bool
    def __init__(self, clip: _Optional[str] = ..., video: _Optional[_Union[_common_pb2.Media, _Mapping]] = ..., packed: _Optional[bool] = ...) -> None: ...

class DetectStreamRequest(_message.Message):
    __slots__ = ("request", "chunk")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    request: DetectRequest
    chunk: bytes
    def __init__(self, request: _Optional[_Union[DetectRequest, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class DetectStreamResponse(_message.Message):
    __slots__ = ("response",)
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    response: DetectResponse
    def __init__(self, response: _Optional[_Union[DetectResponse, _Mapping]] = ...) -> None: ...

class DetectResponse(_message.Message):
    __slots__ = ("frames", "width", "height", "fps", "action_units", "timing", "engine", "expression_classes", "packed")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    ACTION_UNITS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_CLASSES_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    width: int
    height: int
    fps: float
    action_units: _containers.RepeatedScalarFieldContainer[str]
    timing: _common_pb2.Timing
    engine: _common_pb2.EngineInfo
    expression_classes: _containers.RepeatedScalarFieldContainer[str]
    packed: PackedFrames
    def __init__(self, frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., fps: _Optional[float] = ..., action_units: _Optional[_Iterable[str]] = ..., timing: _Optional[_Union[_common_pb2.Timing, _Mapping]] = ..., engine: _Optional[_Union[_common_pb2.EngineInfo, _Mapping]] = ..., expression_classes: _Optional[_Iterable[str]] = ..., packed: _Optional[_Union[PackedFrames, _Mapping]] = ...) -> None: ...

class PackedFrames(_message.Message):
    __slots__ = ("index", "timestamp_seconds", "face_count", "box", "confidence", "pose", "action_units", "intensity", "unit_flags", "face_flags", "mouth_opening", "expression", "embedding")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    POSE_FIELD_NUMBER: _ClassVar[int]
    ACTION_UNITS_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_FLAGS_FIELD_NUMBER: _ClassVar[int]
    FACE_FLAGS_FIELD_NUMBER: _ClassVar[int]
    MOUTH_OPENING_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    index: _containers.RepeatedScalarFieldContainer[int]
    timestamp_seconds: _containers.RepeatedScalarFieldContainer[float]
    face_count: _containers.RepeatedScalarFieldContainer[int]
    box: _containers.RepeatedScalarFieldContainer[float]
    confidence: _containers.RepeatedScalarFieldContainer[float]
    pose: _containers.RepeatedScalarFieldContainer[float]
    action_units: _containers.RepeatedScalarFieldContainer[str]
    intensity: _containers.RepeatedScalarFieldContainer[float]
    unit_flags: bytes
    face_flags: bytes
    mouth_opening: _containers.RepeatedScalarFieldContainer[float]
    expression: _containers.RepeatedScalarFieldContainer[float]
    embedding: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, index: _Optional[_Iterable[int]] = ..., timestamp_seconds: _Optional[_Iterable[float]] = ..., face_count: _Optional[_Iterable[int]] = ..., box: _Optional[_Iterable[float]] = ..., confidence: _Optional[_Iterable[float]] = ..., pose: _Optional[_Iterable[float]] = ..., action_units: _Optional[_Iterable[str]] = ..., intensity: _Optional[_Iterable[float]] = ..., unit_flags: _Optional[bytes] = ..., face_flags: _Optional[bytes] = ..., mouth_opening: _Optional[_Iterable[float]] = ..., expression: _Optional[_Iterable[float]] = ..., embedding: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("index", "timestamp_seconds", "faces")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    index: int
    timestamp_seconds: float
    faces: _containers.RepeatedCompositeFieldContainer[Face]
    def __init__(self, index: _Optional[int] = ..., timestamp_seconds: _Optional[float] = ..., faces: _Optional[_Iterable[_Union[Face, _Mapping]]] = ...) -> None: ...

class Face(_message.Message):
    __slots__ = ("box", "confidence", "pose", "action_units", "mouth_opening", "second_pass", "expression", "embedding")
    BOX_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    POSE_FIELD_NUMBER: _ClassVar[int]
    ACTION_UNITS_FIELD_NUMBER: _ClassVar[int]
    MOUTH_OPENING_FIELD_NUMBER: _ClassVar[int]
    SECOND_PASS_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    box: Box
    confidence: float
    pose: HeadPose
    action_units: _containers.RepeatedCompositeFieldContainer[ActionUnit]
    mouth_opening: float
    second_pass: bool
    expression: _containers.RepeatedScalarFieldContainer[float]
    embedding: bytes
    def __init__(self, box: _Optional[_Union[Box, _Mapping]] = ..., confidence: _Optional[float] = ..., pose: _Optional[_Union[HeadPose, _Mapping]] = ..., action_units: _Optional[_Iterable[_Union[ActionUnit, _Mapping]]] = ..., mouth_opening: _Optional[float] = ..., second_pass: _Optional[bool] = ..., expression: _Optional[_Iterable[float]] = ..., embedding: _Optional[bytes] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    width: float
    height: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ...) -> None: ...

class HeadPose(_message.Message):
    __slots__ = ("pitch", "yaw", "roll")
    PITCH_FIELD_NUMBER: _ClassVar[int]
    YAW_FIELD_NUMBER: _ClassVar[int]
    ROLL_FIELD_NUMBER: _ClassVar[int]
    pitch: float
    yaw: float
    roll: float
    def __init__(self, pitch: _Optional[float] = ..., yaw: _Optional[float] = ..., roll: _Optional[float] = ...) -> None: ...

class ActionUnit(_message.Message):
    __slots__ = ("name", "intensity", "present")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    intensity: float
    present: bool
    def __init__(self, name: _Optional[str] = ..., intensity: _Optional[float] = ..., present: _Optional[bool] = ...) -> None: ...
