"""Of several sound tracks the one that is to be heard, and another if it cannot be decoded."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from merrflow_serving.errors import MissingStream, UnreadableMedia
from merrflow_serving.media import audio
from merrflow_serving.media.audio import SAMPLE_RATE, decode_audio, read_sound
from merrflow_serving.media.container import open_media
from merrflow_serving.media.languages import language_of
from tests.paths import ROOT
from tests.services.serving.sounds import Piece, Track, burst, clip

CLIP = ROOT / "examples" / "clips" / "good_news.mp4"

NONE, DEFAULT = Disposition(0), Disposition.default
COMMENT, DESCRIBED = Disposition.comment, Disposition.visual_impaired


def tone(hertz: int, flags: Disposition = NONE, language: str = "", *, seconds: float = 2.0, layout: str = "mono"):
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    samples = np.tile(burst(seconds, long=seconds, hertz=hertz), (channels, 1))
    return Track([Piece(0.0, samples)], layout=layout, language=language, flags=flags)


def pitch(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples, SAMPLE_RATE))))


# fmt: off
CASES = {
    "the first of alike": ([tone(400), tone(800)], "", 400),
    "the default": ([tone(400), tone(800, DEFAULT)], "", 800),
    "the default, though another has more channels": ([tone(400, layout="stereo"), tone(800, DEFAULT)], "", 800),
    "the first of two defaults": ([tone(400, DEFAULT), tone(800, DEFAULT)], "", 400),
    "most channels": ([tone(400), tone(800, layout="5.1")], "", 800),
    "no fragment": ([tone(400, layout="stereo", seconds=0.5), tone(800)], "", 800),
    "no commentary": ([tone(400, DEFAULT | COMMENT), tone(800)], "", 800),
    "no audio description": ([tone(400, DESCRIBED), tone(800)], "", 800),
    "a commentary if there is nothing else": ([tone(400, COMMENT)], "", 400),
    "the language": ([tone(400, DEFAULT, "eng"), tone(800, NONE, "chi")], "zh", 800),
    "the language in another code": ([tone(400, DEFAULT, "eng"), tone(800, NONE, "zho")], "chi", 800),
    "the language's default": ([tone(400, NONE, "chi"), tone(800, DEFAULT, "chi"), tone(1600, NONE, "eng")], "zh", 800),
    "no commentary in the language":
        ([tone(400, COMMENT, "chi"), tone(800, NONE, "chi"), tone(1600, DEFAULT, "eng")], "zh", 800),
    "the default if nobody speaks the language": ([tone(400, NONE, "eng"), tone(800, DEFAULT, "fre")], "zh", 800),
}
# fmt: on


@pytest.mark.parametrize("name", CASES)
def test_what_is_heard(name):
    tracks, language, hertz = CASES[name]
    data = clip(*tracks)
    found = read_sound(data, language=language)
    assert pitch(found.samples) == pytest.approx(hertz, abs=2)
    assert pitch(decode_audio(data, language=language)) == pytest.approx(hertz, abs=2)
    assert ("sound track" in found.note) == (len(tracks) > 1)


def test_a_track_that_cannot_be_decoded_gives_way_to_the_next_and_is_told():
    data = clip(tone(400, DEFAULT, "eng"), tone(800, NONE, "ger"))
    broken = data.replace(b"A_PCM/INT/LIT", b"A_PCM/XXX/LIT", 1)
    assert broken != data
    found = read_sound(broken)
    assert pitch(found.samples) == pytest.approx(800, abs=2)
    assert found.note == (
        "sound track 1 cannot be decoded: the audio track is in a codec that cannot be decoded; "
        "sound track 2 of 2 (ger)"
    )
    nothing = broken.replace(b"A_PCM/INT/LIT", b"A_PCM/XXX/LIT")
    with pytest.raises(UnreadableMedia, match="codec that cannot be decoded"):
        read_sound(nothing)


def test_an_empty_track_gives_way_to_the_next():
    empty = Track([], flags=DEFAULT)
    assert pitch(read_sound(clip(empty, tone(800))).samples) == pytest.approx(800, abs=2)
    assert read_sound(clip(empty, picture=[0, 0.04])).samples.size == 0


def test_no_track_is_another_matter():
    with pytest.raises(MissingStream, match="no sound track"):
        read_sound(clip(picture=[0, 0.04]))


@pytest.mark.parametrize(
    ("codes", "language"),
    [
        (("zh", "chi", "zho", "cmn", "zh-Hans", "ZH"), "zh"),
        (("de", "ger", "deu", "de-AT"), "de"),
        (("en", "eng"), "en"),
    ],
)
def test_codes_of_a_language_are_one(codes, language):
    assert {language_of(code) for code in codes} == {language}


@pytest.mark.parametrize("code", ["", " ", "und", "mul", "zxx", "klingon language", "e" * 99, "\0", "../..", "12"])
def test_what_is_no_language(code):
    assert language_of(code) == ""


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "mpegts", "flv"])
def test_the_sound_is_read_without_a_look_at_the_pictures(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = remuxed(CLIP, container)
    with open_media(data) as usual, open_media(data, sound_only=True) as sound:
        assert usual.streams.video[0].codec_context.pix_fmt and not sound.streams.video[0].codec_context.pix_fmt
    found = read_sound(data, origin=0.0)
    monkeypatch.setattr(audio, "open_media", lambda source, **_: open_media(source))
    slowly = read_sound(data, origin=0.0)
    assert found.note == slowly.note and found.samples.size > SAMPLE_RATE
    np.testing.assert_array_equal(found.samples, slowly.samples)


def remuxed(path: Path, container: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(str(path)) as source, av.open(buffer, "w", format=container) as target:
        streams = {one.index: target.add_stream_from_template(one) for one in source.streams if one.type != "subtitle"}
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return buffer.getvalue()
