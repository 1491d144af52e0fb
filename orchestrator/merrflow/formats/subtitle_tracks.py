"""Subtitle tracks inside a clip's file: chosen as players do, and read as subtitle files are.

The packets of text tracks are texts with times, so that they go through the same model of cues, removal of tags and
bounds; ffmpeg's decoders would make styled dialogue of them, with entities resolved before tags are taken off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from av.stream import Disposition

from merrflow.formats.subtitle_cues import MAX_CUES, BadSidecar, RawCue, dialogue, in_order
from merrflow.formats.subtitle_files import MAX_BYTES
from merrflow.formats.subtitle_text import Cue, spoken
from merrflow.formats.text_encoding import UnknownEncoding, decode
from merrflow_serving.media.container import packets
from merrflow_serving.media.languages import language_of
from merrflow_serving.media.video import iter_frames, open_media

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.subtitles.stream import SubtitleStream

MOST_TRACKS = 64  # films in fifty languages exist
_TEXTS = ("mov_text", "subrip", "ass", "webvtt", "text")  # ffmpeg's names of codecs
_BETWEEN = "\n\x1e\n"  # cues, while the encoding of all is found; no encoding has these bytes within a character
_PARTLY = Disposition.forced | Disposition.comment | Disposition.descriptions | Disposition.metadata
_IMPAIRED = Disposition.hearing_impaired | Disposition.captions
_PARTLY_TITLE = re.compile(r"\b(?:forced|signs?|songs?|lyrics|karaoke|comment\w{0,9})\b", re.IGNORECASE)
_IMPAIRED_TITLE = re.compile(r"\b(?:sdh|cc|hearing|hoh)\b", re.IGNORECASE)


@dataclass(frozen=True)
class SubtitleTrack:
    """A subtitle track of a clip's file."""

    name: str  # for messages, such as "subtitle track 2 (subrip, zh)"
    language: str  # as of `language_of`; "" if the file does not say
    cues: tuple[Cue, ...]  # seconds from the first picture
    fault: str = ""  # why it cannot be used


@dataclass
class _Packets:
    """What is read of one track."""

    track: SubtitleStream
    codec: str
    size: int = 0  # bytes
    cues: list[tuple[float, float | None, bytes]] = field(default_factory=list)  # start and end by the container

    def add(self, start: float, seconds: float | None, text: bytes) -> None:
        if not self.is_full:
            self.size += len(text)
            self.cues.append((start, start + seconds if seconds else None, text))

    @property
    def is_full(self) -> bool:
        """Whether it is beyond the bounds."""
        return len(self.cues) > MAX_CUES or self.size > MAX_BYTES


def read_tracks(clip: Path, language: str = "", encoding: str = "") -> tuple[SubtitleTrack, ...]:
    """The subtitle tracks of a clip, best first. Blocking: as long as reading the file takes.

    Tracks of the wanted language come first, then those that the file calls default, then in its order; those for the
    hearing impaired behind others of a language, and forced ones and commentaries last of all. Tracks of pictures
    (PGS, VobSub) have a fault. language: as of `language_of`; empty: any. encoding: of texts that are not UTF-8.

    Raises `UnreadableMedia` if the file cannot be read, and as `iter_frames` if no picture of it can.
    """
    with open_media(clip) as container:
        tracks = sorted(container.streams.subtitles[:MOST_TRACKS], key=lambda track: _rank(track, language))
        read = {track.index: _Packets(track, _codec(track)) for track in tracks if _codec(track) in _TEXTS}
        _read(container, read)
        zero = _first_picture(clip) if any(one.cues for one in read.values()) else 0.0
        return tuple(_track(track, read.get(track.index), zero, encoding) for track in tracks)


def _codec(track: SubtitleStream) -> str:
    """ffmpeg's name; "" if it has no decoder."""
    return track.codec_context.codec.canonical_name if track.codec_context else ""


def _rank(track: SubtitleStream, wanted: str) -> tuple[bool, bool, bool, bool, int]:
    title = track.metadata.get("title", "") or track.metadata.get("handler_name", "")
    partly = bool(track.disposition & _PARTLY or _PARTLY_TITLE.search(title))
    impaired = bool(track.disposition & _IMPAIRED or _IMPAIRED_TITLE.search(title))
    other = bool(wanted) and _language(track) != wanted
    return partly, other, impaired, not track.disposition & Disposition.default, track.index


def _language(track: SubtitleStream) -> str:
    return language_of(track.metadata.get("language", ""))


def _read(container: InputContainer, read: dict[int, _Packets]) -> None:
    """Raises ffmpeg's error if reading fails again and again; a damaged packet costs itself."""
    if not read:
        return
    for packet in packets(container, [one.track for one in read.values()], lambda error: None):
        if packet.pts is None or packet.time_base is None:
            continue
        one, tick = read[packet.stream_index], float(packet.time_base)
        if text := _text(bytes(packet), one.codec):
            one.add(packet.pts * tick, packet.duration * tick if packet.duration else None, text)


def _text(data: bytes, codec: str) -> bytes:
    """The text of a packet, still encoded."""
    if codec == "mov_text":  # a length, the text, boxes with its style (3GPP TS 26.245)
        text = data[2 : 2 + int.from_bytes(data[:2])]
        if text[:2] in (b"\xfe\xff", b"\xff\xfe"):
            return text.decode("utf-16", errors="replace").encode()
    elif codec == "ass":  # ReadOrder, Layer, Style, Name, three margins, Effect, Text
        text = data.split(b",", 8)[-1]
    elif codec == "webvtt" and data[4:8] in (b"vttc", b"vtte", b"vtta"):  # in MP4 (ISO 14496-30)
        text = b"\n".join(_payloads(data))
    else:
        text = data
    return text.replace(b"\0", b"").replace(b"\x1e", b"")


def _payloads(data: bytes) -> Iterator[bytes]:
    """The texts of WebVTT cues in boxes."""
    for kind, box in _boxes(data):
        if kind == b"vttc":
            yield from (inner for name, inner in _boxes(box) if name == b"payl")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += max(8, size)


def _first_picture(clip: Path) -> float:
    """Seconds on the container's clock at which the first picture is shown."""
    frames = iter_frames(clip, threads=1)
    return next((frame.start or 0.0 for frame in frames), 0.0)


def _track(track: SubtitleStream, read: _Packets | None, zero: float, encoding: str) -> SubtitleTrack:
    codec, language = _codec(track), _language(track)
    about = ", ".join(filter(None, (codec or "unknown codec", language)))
    name = f"subtitle track {track.index} ({about})"
    if read is None:
        is_picture = bool(track.codec_context and track.codec_context.codec.bitmap_sub)
        what = "it is made of pictures, which are not read" if is_picture else "its format is not read"
        return SubtitleTrack(name, language, (), what)
    try:
        return SubtitleTrack(name, language, spoken(in_order(list(_cues(read, zero, encoding)))))
    except BadSidecar as error:
        return SubtitleTrack(name, language, (), str(error))


def _cues(read: _Packets, zero: float, encoding: str) -> Iterator[RawCue]:
    """On the picture's clock. Raises `BadSidecar`."""
    if not read.cues:
        return
    if read.size > MAX_BYTES:
        raise BadSidecar(f"it is larger than {MAX_BYTES >> 10} KiB")
    cues = sorted(read.cues, key=lambda cue: cue[0])
    texts = _decoded([text for _, _, text in cues], encoding)
    later = [start for start, _, _ in cues[1:]] + [float("inf")]
    for (start, end, _), text, following in zip(cues, texts, later, strict=True):
        shown = dialogue(text) if read.codec == "ass" else text.replace("\r\n", "\n").replace("\r", "\n")
        yield RawCue(start - zero, (following if end is None else end) - zero, shown)


def _decoded(texts: Sequence[bytes], encoding: str) -> list[str]:
    try:
        whole = decode(_BETWEEN.encode().join(texts), encoding, option="MERRFLOW_SUBTITLE_ENCODING")
    except UnknownEncoding as error:
        raise BadSidecar(str(error)) from error
    parts = whole.split(_BETWEEN)
    if len(parts) != len(texts):
        raise BadSidecar("its texts are in several encodings")
    return parts
