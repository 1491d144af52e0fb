"""Films with subtitle tracks, as players' users have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

FORMATS = {"mp4": "mov_text", "mkv": "subrip", "webm": "webvtt"}
MILLISECONDS = Fraction(1, 1000)
HEADER = b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize\r\n"
HEADER += b"Style: Default,Arial,16\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, "
HEADER += b"MarginV, Effect, Text\r\n"

NO_DISPOSITION = Disposition(0)
Cue = tuple[float, float, str | bytes]  # seconds from the first picture


@dataclass(frozen=True)
class Sub:
    """A track to write. Bytes of a cue are written as they are."""

    cues: Sequence[Cue]
    language: str = ""
    disposition: Disposition = NO_DISPOSITION
    title: str = ""
    codec: str = ""  # empty: what goes with the container


def film(path: Path, *subs: Sub, seconds: float = 2.0, starts_at: float = 0.0) -> Path:
    """Grey pictures at 25 frames a second, the first of them at `starts_at` of the container's clock."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        tracks = []
        for sub in subs:
            track = container.add_stream(sub.codec or FORMATS[path.suffix[1:]])
            track.codec_context.subtitle_header = HEADER
            track.disposition = sub.disposition
            track.metadata.update({"language": sub.language} if sub.language else {})
            track.metadata.update({"title": sub.title} if sub.title else {})
            tracks.append(track)
        for index in range(round(seconds * 25)):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index * 5 % 256, np.uint8))
            picture.pts, picture.time_base = index + round(starts_at * 25), Fraction(1, 25)
            container.mux(video.encode(picture))
        for track, sub in zip(tracks, subs, strict=True):
            for start, end, text in sub.cues:
                packet = av.Packet(_packed(text, track.codec_context.name) if isinstance(text, str) else text)
                packet.stream, packet.time_base = track, MILLISECONDS
                packet.pts = packet.dts = round((start + starts_at) * 1000)
                packet.duration = round((end - start) * 1000)
                container.mux(packet)
        container.mux(video.encode())
    return path


def _packed(text: str, codec: str) -> bytes:
    data = text.encode()
    if codec == "mov_text":
        return len(data).to_bytes(2) + data
    if codec in ("ass", "ssa"):
        return b"0,0,Default,,0,0,0,," + data
    return data
