"""Requests to start from, and mutated ones: broken bytes, and sound messages with impossible values."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from merrflow.common.v1 import common_pb2
from merrflow.llama3.v1 import llama3_pb2
from merrflow.minigpt_v2.v1 import minigpt_v2_pb2
from merrflow.openface_au.v1 import openface_au_pb2
from merrflow.qwen_audio.v1 import qwen_audio_pb2
from merrflow.whisper.v1 import whisper_pb2
from tests.fuzz.mutate import WORDS, mutate, splice
from tests.fuzz.seeds import seeds

PATHS = (
    *("", ".", "..", "clip.mp4", "/", "/dev/zero", "/dev/stdin", "/proc/self/mem", "/etc/passwd", "a\0b", "x" * 5000),
    *("loop", "link", "pipe", "folder", "../clip.mp4", "clip.mp4/", "http://127.0.0.1:1/x", "concat:a|b", "~root"),
    "a/" * 30_000,
)
NUMBERS = (0, 1, -1, 1e-300, 1e308, float("nan"), float("inf"), float("-inf"), 2**31, 2**63, 2**64 - 1, 0.5)
TEXTS = (*WORDS, "<|im_end|>", "<|eot_id|>", "<|<|im_end|>im_end|>", "ignore all that", "{scene}", "a b " * 300)
TYPES = {
    "openface-au Detect": openface_au_pb2.DetectRequest,
    "openface-au DetectStream": openface_au_pb2.DetectStreamRequest,
    "minigpt-v2 Describe": minigpt_v2_pb2.DescribeRequest,
    "minigpt-v2 DescribeStream": minigpt_v2_pb2.DescribeStreamRequest,
    "qwen-audio Describe": qwen_audio_pb2.DescribeRequest,
    "qwen-audio DescribeStream": qwen_audio_pb2.DescribeStreamRequest,
    "llama3 Reason": llama3_pb2.ReasonRequest,
    "llama3 Score": llama3_pb2.ScoreRequest,
    "llama3 Translate": llama3_pb2.TranslateRequest,
    "whisper Transcribe": whisper_pb2.TranscribeRequest,
    "whisper TranscribeStream": whisper_pb2.TranscribeStreamRequest,
}
INFO = common_pb2.InfoRequest  # of every service's "<service> Info"
_CLUES = llama3_pb2.Clues(
    scene="One person.", expressions=["brow lowerer"], tone="A tense voice.", subtitle="Go away.", label="angry"
)


@cache
def whole(label: str, root: Path) -> tuple[bytes, ...]:
    """Requests that the RPC can answer."""
    kind = TYPES.get(label, INFO)
    if label == "llama3 Reason":
        return (kind(clip="a", clues=_CLUES, seed=7).SerializeToString(),)
    if label == "llama3 Score":
        return (kind(clip="a", clues=_CLUES, labels=["angry", "sad"]).SerializeToString(),)
    if label == "llama3 Translate":
        return (kind(clip="a", text="我不知道该怎么办。", language="zh", seed=7).SerializeToString(),)
    if kind is INFO:
        return (kind().SerializeToString(),)
    if label.endswith("Stream"):
        inner = TYPES[label.removesuffix("Stream")]
        return (kind(request=inner(clip="a")).SerializeToString(), kind(chunk=_media(label)).SerializeToString())
    data, path = common_pb2.Media(data=_media(label)), common_pb2.Media(path=str(root / "clip.mp4"))
    field = {"openface-au": "video", "minigpt-v2": "image", "qwen-audio": "audio", "whisper": "audio"}[label.split()[0]]
    made = [kind(clip="a", **{field: media}) for media in (data, path)]
    if label.startswith("minigpt"):
        frame = minigpt_v2_pb2.ContextFrame(offset_seconds=-0.2, image=data)
        made.append(kind(clip="a", image=data, context=[frame, frame], instruction="Look."))
    return tuple(one.SerializeToString() for one in made)


def _media(label: str) -> bytes:
    kind = {"openface-au": "film", "minigpt-v2": "image", "qwen-audio": "sound", "whisper": "sound"}[label.split()[0]]
    return min(seeds(kind), key=len)


def make(label: str, random: Random, root: Path) -> bytes:
    """One mutated message for an RPC."""
    kind = TYPES.get(label, INFO)
    choice = random.random()
    if choice < 0.5:
        return mutate(random.choice(whole(label, root)), random, most=4)
    if choice < 0.55:
        return random.randbytes(random.choice((0, 1, 2, 5, 20, 200)))
    if choice < 0.6:
        return splice(random.choice(whole(label, root)), random.choice(whole(random.choice(list(TYPES)), root)), random)
    message = kind()
    _fill(message, random, root, 0)
    data = message.SerializeToString()
    return mutate(data, random, most=2) if random.random() < 0.2 else data


def change(label: str, data: bytes, random: Random, root: Path) -> bytes:
    """The message with one field set or cleared, at any depth; a new one for what is no message."""
    try:
        message = whole_message = TYPES[label].FromString(data)
    except DecodeError:
        return make(label, random, root)
    while True:
        field = random.choice(message.DESCRIPTOR.fields)
        if field.type != FieldDescriptor.TYPE_MESSAGE or field.is_repeated or random.random() < 0.2:
            break
        message = getattr(message, field.name)
        message.SetInParent()
    if random.random() < 0.2:
        message.ClearField(field.name)
    elif field.is_repeated and field.type == FieldDescriptor.TYPE_MESSAGE:
        _fill(getattr(message, field.name).add(), random, root, 3)
    elif field.is_repeated:
        getattr(message, field.name).append(_value(field, random, root))
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        _fill(getattr(message, field.name), random, root, 3)
    else:
        setattr(message, field.name, _value(field, random, root))
    return whole_message.SerializeToString()


def _fill(message: Any, random: Random, root: Path, depth: int) -> None:
    """Values that are right for their type and odd for everything else."""
    for field in message.DESCRIPTOR.fields:
        if random.random() < 0.25:
            continue
        if field.is_repeated:
            for _ in range(random.choice((0, 1, 2, 3, 20))):
                if field.type == FieldDescriptor.TYPE_MESSAGE:
                    _fill(getattr(message, field.name).add(), random, root, depth + 1)
                else:
                    getattr(message, field.name).append(_value(field, random, root))
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            inner = getattr(message, field.name)
            inner.SetInParent()
            if depth < 4:
                _fill(inner, random, root, depth + 1)
        else:
            setattr(message, field.name, _value(field, random, root))


def _value(field: FieldDescriptor, random: Random, root: Path) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return mutate(random.choice(seeds("image")), random) if random.random() < 0.02 else random.randbytes(30)
    if field.type == FieldDescriptor.TYPE_STRING:
        if field.name == "path":
            text = random.choice(PATHS)
            return text if text.startswith(("/", "http", "concat")) else f"{root}/{text}"
        return random.choice(TEXTS).encode(errors="replace").decode()
    number = random.choice(NUMBERS)
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return float(number)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return random.random() < 0.5
    bits = 32 if field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_INT32) else 64
    return int(number) % (1 << bits - 1) if number == number and abs(number) < 1e300 else 0
