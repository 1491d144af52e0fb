"""Where a subtitle track is among the sources of what is said, and which track it is."""

from __future__ import annotations

from av.stream import Disposition

from merrflow.core.measurements import Clip
from merrflow.core.spoken import SUBTITLE_SOURCES
from merrflow.formats.subtitle_files import SUFFIXES
from merrflow.stages.subtitle import find_subtitle
from tests.orchestrator.formats.track_films import Sub, film
from tests.orchestrator.stages.film import film as pictures
from tests.orchestrator.stages.film import subtitle

ENGLISH = Sub([(0.2, 1.0, "in the track")], "eng")


def clip(path, sentence: str | None = None) -> Clip:
    return Clip("a", path, "0" * 64, sentence)


def test_a_track_comes_behind_a_file_and_before_the_picture(tmp_path, reader):
    path = film(tmp_path / "a.mp4", ENGLISH)
    samples = pictures(1.5, [subtitle("in the picture")])
    beside = tmp_path / "a.srt"
    beside.write_text("1\n00:00:00,000 --> 00:00:01,000\nbeside the clip\n")
    assert find_subtitle(clip(path, "in the table"), 1.5, samples, reader).source == "table"
    assert find_subtitle(clip(path), 1.5, samples, reader).source == "srt"
    beside.unlink()
    found = find_subtitle(clip(path), 1.5, samples, reader)
    assert (found.text, found.source, found.language, found.confidence) == ("in the track", "track", "en", None)
    assert found.reason == "subtitle track 1 (mov_text, en): 1 of 1 lines"
    film(path)
    read = find_subtitle(clip(path), 1.5, samples, reader)
    assert read.source == "picture" and read.confidence is not None and 0.5 < read.confidence <= 1
    assert f"confidence {read.confidence:.2f}" in read.reason


def test_the_first_track_that_says_something_within_the_clip(tmp_path):
    later = Sub([(7.0, 8.0, "later")], "eng", Disposition.default)
    path = film(tmp_path / "a.mkv", later, Sub([(0, 1, b"\0\4\0\0")], codec="dvdsub"), ENGLISH, seconds=2)
    assert find_subtitle(clip(path), 2.0, (), None).text == "in the track"
    path = film(tmp_path / "b.mkv", later, Sub([(0, 1, b"\0\4\0\0")], codec="dvdsub"))
    found = find_subtitle(clip(path), 2.0, (), None)
    assert found.source == "none" and "track 1 (subrip, en): none of its 1 spoken lines falls within" in found.reason
    assert "track 2 (dvd_subtitle): it is made of pictures, which are not read" in found.reason


def test_the_language_that_is_named_chooses_among_files_and_among_tracks(tmp_path):
    path = film(tmp_path / "a.mkv", Sub([(0, 1, "Ja, das ist es.")], "ger", Disposition.default), ENGLISH)
    assert find_subtitle(clip(path), 2.0, (), None).language == "de"
    assert find_subtitle(clip(path), 2.0, (), None, "", "en").text == "in the track"
    for tag, text in {"": "no tag", "en": "english", "zh-Hans": "中文", "chs": "other"}.items():
        name = f"a.{tag}.srt" if tag else "a.srt"
        (tmp_path / name).write_text(f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n", encoding="utf-8")
    assert find_subtitle(clip(path), 2.0, (), None).text == "no tag"
    assert find_subtitle(clip(path), 2.0, (), None, "", "zh").text == "中文"
    assert find_subtitle(clip(path), 2.0, (), None, "", "en").text == "english"


def test_a_file_that_is_no_film_is_a_reason(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"nothing of the kind" * 50)
    found = find_subtitle(clip(tmp_path / "a.mp4"), 2.0, (), None)
    assert found.source == "none" and "subtitle tracks could not be read: not a video" in found.reason


def test_the_language_of_a_track_counts_if_its_text_does_not_show_it(tmp_path):
    path = film(tmp_path / "a.mkv", Sub([(0, 1, "Ananas.")], "fre"))
    assert find_subtitle(clip(path), 2.0, (), None).language == "fr"


def test_every_source_is_known():
    files = tuple(suffix.removeprefix(".") for suffix in SUFFIXES)
    assert ("table", *files, "track", "picture", "speech", "human", "none") == SUBTITLE_SOURCES
