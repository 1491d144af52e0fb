"""Small whole files of each kind, made here, for the mutations to start from."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files

import av
import numpy as np

from merrflow_serving.media.images import encode_jpeg
from tests.orchestrator.formats import openface_csv

FRAMES, SIZE = 12, (64, 48)


def picture(index: int) -> np.ndarray:
    """(48, 64, 3) uint8 RGB, different for each index."""
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    return np.stack([columns * 4 % 256, rows * 5 % 256, (rows + columns + 9 * index) % 256], 2).astype(np.uint8)


def film(kind: str, codec: str, sound: str = "", pixels: str = "yuv420p", **options: str) -> bytes:
    """Half a second of video, with a tone where `sound` names a codec."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind, options=options) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = *SIZE, pixels
        audio = container.add_stream(sound, rate=16_000, layout="mono") if sound else None
        for index in range(FRAMES):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(video.encode())
        if audio is not None:
            container.mux(audio.encode(_tone(audio)))
            container.mux(audio.encode())
    return buffer.getvalue()


def _tone(stream: av.AudioStream) -> av.AudioFrame:
    wave = 0.3 * np.sin(np.arange(8000) * 2 * np.pi * 220 / 16_000)
    kind = stream.format.name
    data = wave.astype(np.float32) if kind.startswith("flt") else (wave * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(data[None], format=kind, layout="mono")
    frame.sample_rate = 16_000
    return frame


def _sound(kind: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        container.mux(stream.encode(_tone(stream)))
        container.mux(stream.encode())
    return buffer.getvalue()


def _image(codec: str, kind: str, pixels: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


SRT = """1
00:00:00,000 --> 00:00:00,400
<i>I did not expect you.</i>

2
00:00:00,400 --> 00:00:00,900
[door] So late &amp; so <b>wet</b>!
"""
VTT = """WEBVTT - made here

NOTE nothing

intro
00:00.000 --> 00:00.400 align:start position:0%
<v Ann>I did not expect you.

00:00.400 --> 00:00.900
So late.
"""


def _merr(names: tuple[str, ...] = ("a_1", "b_2")) -> bytes:
    clip = {
        "AU_list": ["AU04", "AU07"],
        "visual_prior_list": ["brow lowerer", "lid tightener"],
        "audio_prior_list": "a tense voice",
        "peak_index": "38",
        "peak_AU_list": ["AU04", "AU07", "AU25"],
        "text": "Go away.",
        "pseu_emotion": "angry",
        "caption": "a person",
        "smp_reason_caption": "The person is angry.",
    }
    return json.dumps({name: clip for name in names}, indent=1).encode()


def _rules(name: str) -> bytes:
    return (files("merrflow.facs") / name).read_bytes()


def _faces() -> bytes:
    rows = [openface_csv.row(number, success=int(number % 7 > 0)) for number in range(1, FRAMES + 1)]
    return openface_csv.table(rows).encode()


ASS = """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.10,0:00:00.30,Default,,0,0,0,,{\\i1}Go away,{\\i0}\\Nnow.
Dialogue: 0,0:00:00.30,0:00:00.50,Default,,0,0,0,,{\\p1}m 0 0 l 9 9{\\p0}
"""
LRC = "[ti:Song]\n[offset:+100]\n[00:00.10][00:00.40]Go away\n[00:00.20]<00:00.2>Not <00:00.3>now\n"
TABLE = 'path,name,sentence,label\na.mp4,first,"Go away, now.",angry\nsub/b.mp4,,,\nc.mp4,third,"He said ""no"".",sad\n'
TXT = "a_1 120 angry\nb_2 88 sad\nc_3 41 neutral\n"
CSV = 'name,sentence,label\na_1,"Go, away",angry\nb_2,,sad\n'
RULES = """name: small
version: "1"
description: The least.
decide: first
lexicon: default
peak:
  {frequent: 3, speech_counts: false, blink_counts: false, minimum_confidence: 0.5, minimum_intensity: 0.5,
  only_present: true, avoid_blink: true, cut_guard: 1, maximum_turn: 45, maximum_speed: 200}
neutral: {label: neutral}
rules:
  - {label: angry, aliases: [anger], action_units: [AU04, AU05], minimum: 2}
"""
LEXICON = """name: small
version: "1"
phrases:
  AU01: [Inner brow raiser, Frown]
errata:
  sad: {AU15: [Dimpler]}
"""
# kind -> how its whole files are made; the kind is also what the file is read as (targets.py)
MAKERS: dict[str, tuple[Callable[[], bytes], ...]] = {
    "film": (
        lambda: film("mp4", "libx264", "aac"),
        lambda: film("mov", "libx264", "pcm_s16le"),
        lambda: film("mp4", "mpeg4", "aac", movflags="frag_keyframe+empty_moov"),
        lambda: film("matroska", "libx264", "aac"),
        lambda: film("webm", "libvpx", "libopus"),
        lambda: film("avi", "mpeg4", "pcm_s16le"),
        lambda: film("avi", "mjpeg", pixels="yuvj420p"),
        lambda: film("mpegts", "libx264", "aac"),
        lambda: film("flv", "flv", "aac"),
        lambda: film("gif", "gif", pixels="rgb8"),
    ),
    "sound": (
        lambda: _sound("wav", "pcm_s16le"),
        lambda: _sound("wav", "pcm_f32le"),
        lambda: _sound("ogg", "libopus"),
        lambda: _sound("flac", "flac"),
    ),
    "image": (
        lambda: encode_jpeg(picture(0)),
        lambda: _image("png", "image2pipe", "rgb24"),
        lambda: _image("bmp", "image2pipe", "bgr24"),
        lambda: _image("tiff", "image2pipe", "rgb24"),
    ),
    "srt": (SRT.encode, lambda: SRT.encode("utf-16")),
    "vtt": (VTT.encode,),
    "ass": (ASS.encode, lambda: ASS.encode("utf-16")),
    "lrc": (LRC.encode,),
    "openface": (_faces,),
    "table": (TABLE.encode,),
    "labels_txt": (TXT.encode,),
    "labels_csv": (CSV.encode,),
    "merr_json": (_merr,),
    "rules": (
        RULES.encode,
        *(lambda name=name: _rules(f"rulesets/{name}.yaml") for name in ("default", "merr", "calibrated")),
    ),
    "lexicon": (LEXICON.encode, lambda: _rules("lexicon_default.yaml"), lambda: _rules("lexicon_merr.yaml")),
    "settings": (lambda: b"rules: merr\nneutral_sample: 0.2\nmax_clip_seconds: 60\nseed: 3\n",),
}
# How often each kind is drawn: the media are the deepest, their parsers the least ours.
SHARES = {"film": 10, "sound": 4, "image": 4, "srt": 2, "vtt": 2, "ass": 2, "lrc": 2, "openface": 2, "merr_json": 2}
TEXTS = frozenset(MAKERS) - {"film", "sound", "image"}


@cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """The whole files of a kind."""
    return tuple(make() for make in MAKERS[kind])
