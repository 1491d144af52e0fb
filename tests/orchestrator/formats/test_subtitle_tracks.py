"""Subtitle tracks inside files: read as subtitle files are, on the picture's clock, in the order of players."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest
from av.stream import Disposition

from merrflow.formats.subtitle_tracks import _text, read_tracks
from merrflow_serving.errors import MerrflowError, UnreadableMedia
from tests.orchestrator.formats.track_films import FORMATS, Sub, film


def said(path, language: str = "", encoding: str = "") -> list[list[str]]:
    return [[cue.text for cue in track.cues] for track in read_tracks(path, language, encoding)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_texts_and_times_of_a_track(tmp_path, suffix):
    path = film(tmp_path / f"a.{suffix}", Sub([(0.2, 1.0, "Hello there."), (1.2, 1.8, "Bye.")], "eng"))
    (track,) = read_tracks(path)
    assert [cue.text for cue in track.cues] == ["Hello there.", "Bye."] and track.language == "en"
    assert [cue.start for cue in track.cues] == pytest.approx([0.2, 1.2], abs=0.002)
    assert [cue.end for cue in track.cues] == pytest.approx([1.0, 1.8], abs=0.002)


@pytest.mark.parametrize("suffix", FORMATS)
def test_tags_entities_and_sounds_are_taken_off_as_in_files(tmp_path, suffix):
    cues = [(0.1, 0.5, "<i>I &lt;3 you</i>"), (0.6, 1.0, "[door slams]"), (1.1, 1.5, "two\r\nlines")]
    assert said(film(tmp_path / f"a.{suffix}", Sub(cues))) == [["I <3 you", "two lines"]]


def test_styled_dialogue_is_read_without_its_styles_and_drawings(tmp_path):
    cues = [(0.1, 0.5, r"{\an8\i1}Up, and{\i0} away\Nnow"), (0.6, 1.0, r"{\p1}m 0 0 l 9 9{\p0}")]
    assert said(film(tmp_path / "a.mkv", Sub(cues, codec="ass"))) == [["Up, and away now"]]


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_times_are_those_of_the_picture(tmp_path, suffix):
    path = film(tmp_path / f"a.{suffix}", Sub([(0.4, 1.0, "Hello.")]), Sub([(0.0, 0.4, "Early.")]), starts_at=1.2)
    starts = [track.cues[0].start for track in read_tracks(path)]
    assert starts == pytest.approx([0.4, 0.0], abs=0.041)


def test_order_of_tracks(tmp_path):
    path = film(
        tmp_path / "a.mkv",
        Sub([(0, 1, "Director: here we")], "eng", Disposition.comment),
        Sub([(0, 1, "EXIT")], "eng", Disposition.default | Disposition.forced),
        Sub([(0, 1, "(sighs) Yes.")], "eng", Disposition.hearing_impaired),
        Sub([(0, 1, "Non.")], "fre"),
        Sub([(0, 1, "是的。")], "chi", Disposition.default),
        Sub([(0, 1, "Yes.")], "eng"),
        Sub([(0, 1, "Sign")], "chi", title="Signs & Songs"),
        Sub([(0, 1, "Ja.")], "ger", title="SDH"),
    )
    last = ["Director: here we", "EXIT", "Sign"]
    aside = ["(sighs) Yes.", "Ja."]
    assert [cues[0] for cues in said(path)] == ["是的。", "Non.", "Yes.", *aside, "EXIT", "Director: here we", "Sign"]
    assert [cues[0] for cues in said(path, "en")][:3] == ["Yes.", "(sighs) Yes.", "是的。"]
    assert [cues[0] for cues in said(path, "de")][:2] == ["Ja.", "是的。"]
    assert said(path, "zh")[0] == ["是的。"] and {cues[0] for cues in said(path, "zh")[-3:]} == set(last)


def test_tracks_of_pictures_are_named_as_not_read(tmp_path):
    path = film(tmp_path / "a.mkv", Sub([(0, 1, b"\0\4\0\0")], "eng", codec="dvdsub"), Sub([(0, 1, "Yes.")]))
    bitmap, text = read_tracks(path)
    assert (bitmap.fault, text.fault) == ("it is made of pictures, which are not read", "")
    assert bitmap.name == "subtitle track 1 (dvd_subtitle, en)" and text.cues


def test_old_encodings_are_found_or_named(tmp_path):
    said_first, said_then = "你怎么能这样对我？", "妈妈说她明天就回来。"
    path = film(tmp_path / "a.mkv", Sub([(0, 1, said_first.encode("gbk")), (1, 2, said_then.encode("gbk"))]))
    assert said(path) == [[said_first, said_then]]
    path = film(tmp_path / "b.mkv", Sub([(0, 1, "Ναι".encode("cp1253"))]))
    assert "MERRFLOW_SUBTITLE_ENCODING" in read_tracks(path)[0].fault
    assert said(path, encoding="cp1253") == [["Ναι"]]


def test_packets_of_mp4():
    assert _text(b"\0\5Hello\0\0\0\x0cstyl", "mov_text") == b"Hello"
    wide = "您好".encode("utf-16")
    assert _text(len(wide).to_bytes(2) + wide, "mov_text") == "您好".encode()
    assert _text(b"\0\0", "mov_text") == b"" == _text(b"\0\0\0\x08vtte", "webvtt")
    cue = b"\0\0\0\x0cpaylHi.." + b"\0\0\0\x0aidenab"
    assert _text((len(cue) + 8).to_bytes(4) + b"vttc" + cue, "webvtt") == b"Hi.."


@pytest.mark.parametrize(
    ("cues", "fault"),
    [
        ([], "no subtitle with a time"),
        ([(0.1, 1, "x" * 4001)], "more than 4000 characters"),
        ([(i / 5000, 1, f"{i}") for i in range(5100)], "more than 5000 subtitles"),
        ([(i / 200, 1, "long " * 700) for i in range(80)], "larger than 256 KiB"),
        ([(0, 1, b"\xff\xfeY\xd8"), (1, 2, "Yes.")], "not text in utf-16|several encodings|not UTF-8"),
    ],
)
def test_a_track_beyond_bounds_is_a_fault_of_that_track_alone(tmp_path, cues, fault):
    path = film(tmp_path / "a.mkv", Sub(cues), Sub([(0, 1, "Yes.")]))
    broken, good = read_tracks(path)
    assert broken.fault and not broken.cues and any(one in broken.fault for one in fault.split("|"))
    assert [cue.text for cue in good.cues] == ["Yes."]


def test_a_file_without_tracks_or_that_is_none(tmp_path):
    assert read_tracks(film(tmp_path / "a.mp4")) == ()
    with pytest.raises(UnreadableMedia):
        read_tracks(tmp_path / "none.mp4")


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_damaged_file_gives_tracks_or_a_reason(tmp_path, suffix):
    whole = film(tmp_path / f"a.{suffix}", Sub([(i / 10, i / 10 + 0.1, f"Word {i}.") for i in range(18)])).read_bytes()
    chance = random.Random(7)
    path = tmp_path / f"b.{suffix}"
    began = time.monotonic()
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 5, 50))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.choice((len(data), chance.randrange(1, len(data))))])
        with suppress(MerrflowError):
            for track in read_tracks(path):
                assert not (track.fault and track.cues)
    assert time.monotonic() - began < 20
