"""The subtitle of a clip: which source wins, and what counts as a subtitle in a picture. OCR is the real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.core.measurements import Clip
from merrflow.formats.subtitle_files import find_sidecars, read_cues
from merrflow.formats.text_encoding import decode
from merrflow.stages.language import language
from merrflow.stages.subtitle import find_subtitle
from merrflow_serving.errors import NotReady
from tests.orchestrator.stages.film import film, subtitle
from tests.paths import SHARED

CLIPS = SHARED / "clips"


def clip(path: Path, sentence: str | None = None) -> Clip:
    return Clip("a", path, "0" * 64, sentence)


def srt(*cues: tuple[str, str, str]) -> str:
    return "\n".join(f"{i}\n{start} --> {end}\n{text}\n" for i, (start, end, text) in enumerate(cues, 1))


# --- which source wins


def test_table_then_sidecar_then_picture_then_none(tmp_path, reader):
    path = tmp_path / "a.mp4"
    samples = film(1.5, [subtitle("in the picture")])
    (tmp_path / "a.srt").write_text(srt(("00:00:00,000", "00:00:01,000", "beside the clip")))
    assert find_subtitle(clip(path, " In the\n table. "), 1.5, samples, reader).text == "In the table."
    beside = find_subtitle(clip(path, "  "), 1.5, samples, reader)
    assert (beside.text, beside.source, beside.language) == ("beside the clip", "srt", "en")
    assert find_subtitle(clip(path), 1.5, pytest.fail, reader) == beside  # nothing is decoded for it
    (tmp_path / "a.srt").unlink()
    picture = find_subtitle(clip(path), 1.5, samples, reader)
    assert (picture.text, picture.source, picture.language) == ("in the picture", "picture", "en")
    assert find_subtitle(clip(path), 1.5, lambda: samples, reader) == picture
    nothing = find_subtitle(clip(path), 1.5, film(1.5, []), reader)
    assert (nothing.text, nothing.source) == (None, "none")
    assert "table" in nothing.reason and "nothing is written" in nothing.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02\xff" * 50, "not a subtitle file|no subtitle"),
        (b"just some words\n", "not a subtitle file|no subtitle"),
        (srt(("00:00:09,000", "00:00:10,000", "later")).encode(), "none of its 1 spoken lines"),
        (srt(("00:00:00,000", "00:00:01,000", "[door slams]")).encode(), "none of its 0 spoken lines"),
    ],
)
def test_a_sidecar_without_use_is_a_reason_and_the_picture_is_read(tmp_path, reader, content, reason):
    (tmp_path / "a.srt").write_bytes(content)
    found = find_subtitle(clip(tmp_path / "a.mp4"), 1.5, film(1.5, [subtitle("in the picture")]), reader)
    assert found.text == "in the picture"
    without = find_subtitle(clip(tmp_path / "a.mp4"), 1.5, [], None)
    assert without.text is None
    assert re.search(f"a.srt: .*({reason})", without.reason), without.reason


def test_ocr_that_cannot_run_is_a_reason(tmp_path):
    class Broken:
        def detect(self, image):
            raise NotReady("install rapidocr")

    found = find_subtitle(clip(tmp_path / "a.mp4"), 1.5, film(1.0, []), Broken())
    assert found.text is None and "install rapidocr" in found.reason


# --- sidecars


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"])
def test_sidecar_in_any_encoding(tmp_path, encoding):
    text = srt(("00:00:00,000", "00:00:02,000", "<i>您真这么认为啊</i>"))
    (tmp_path / "a.srt").write_bytes(text.encode(encoding))
    found = find_subtitle(clip(tmp_path / "a.mp4"), 2.0, [], None)
    assert (found.text, found.language, found.source) == ("您真这么认为啊", "zh", "srt")


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("gb18030", "糟了 我手机钱包都在包里呢", "zh"),
        ("big5", "你們這樣一而再再而三地", "zh"),
        ("shift_jis", "どうしてそんなことを言うの", "ja"),
        ("euc_kr", "정말 그렇게 생각해요?", "ko"),
        ("cp1251", "Ты правда так думаешь?", "ru"),
        ("cp1252", "Où êtes-vous allé, mon ami ?", "fr"),
        ("cp1252", "It’s “fine” – really…", "en"),
        ("cp1252", "Mädchen auf der Straße", "de"),
    ],
)
def test_legacy_encodings_are_told_apart(encoding, text, expected):
    assert decode(text.encode(encoding)) == text
    assert language(text) == expected


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00\ufeff"), max_size=80))
@settings(deadline=None)
def test_unicode_survives_every_unicode_encoding(text):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert decode(text.encode(encoding)).lstrip("\ufeff") == text


def test_vtt_tags_entities_and_voices_are_stripped(tmp_path):
    (tmp_path / "A.VTT").write_text(
        "WEBVTT\n\nNOTE a remark\n\n00:00.000 --> 00:01.000 line:0\n<v Ann>Salt &amp; <c.red>pepper</c></v>\n\n"
        "00:01.000 --> 00:02.000\n(laughs)\n\n00:01.500 --> 00:02.500\n<00:00:01.600>Yes, <b>please</b>.\n"
    )
    found = find_subtitle(clip(tmp_path / "A.mp4"), 3.0, [], None)
    assert (found.text, found.source) == ("Salt & pepper Yes, please.", "vtt")


def test_only_lines_within_the_clip_count_and_rolled_over_ones_count_once(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text(
        srt(
            ("00:00:00,500", "00:00:01,000", "first"),
            ("00:00:01,000", "00:00:01,500", "first"),
            ("00:00:01,900", "00:00:03,000", "second"),
            ("00:00:02,000", "00:00:03,000", "too late"),
        )
    )
    assert len(read_cues(path)) == 4
    assert find_subtitle(clip(tmp_path / "a.mp4"), 2.0, [], None).text == "first second"


def test_sidecars_belong_to_their_clip_only(tmp_path):
    for name in ("a.srt", "a.mp4.srt", "a.zh.srt", "a.en.srt", "ab.srt", "a.draft7.srt", "a.txt", "[a].srt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "a.vtt").mkdir()
    assert [path.name for path in find_sidecars(tmp_path / "a.mp4")] == [
        "a.srt",
        "a.mp4.srt",
        "a.en.srt",
        "a.zh.srt",
    ]
    assert [path.name for path in find_sidecars(tmp_path / "[a].mp4")] == ["[a].srt"]


# --- the picture
