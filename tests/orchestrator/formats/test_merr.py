"""MERR's files read back: what is published is read, what is wrong is named by file, clip, key and value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.core.errors import InputError
from merrflow.facs import load_rules
from merrflow.formats.merr import MerrAnnotation, read_annotations, read_labels, read_sentences
from tests.orchestrator.datasets.export.passes import write_merr
from tests.orchestrator.datasets.report.runs import record, run
from tests.paths import SHARED

PUBLISHED = SHARED / "merr" / "merr_fine_grained.half.json"
RECORD: dict[str, Any] = {
    "AU_list": ["AU05", "AU26"],
    "visual_prior_list": ["Eyes widened", "Wide-mouthed"],
    "audio_prior_list": "speaks with surprise.",
    "peak_index": "1",
    "peak_AU_list": ["AU05", "AU25", "AU26"],
    "pseu_emotion": "surprise",
    "text": "Oh, is it you?",
    "smp_reason_caption": "She is surprised.",
}


def written(path: Path, **clips: dict[str, Any]) -> Path:
    path.write_text(json.dumps(clips), encoding="utf-8")
    return path


def test_a_fine_record_is_read_key_by_key(tmp_path: Path) -> None:
    found = read_annotations(written(tmp_path / "fine.json", clip_1=RECORD))
    assert found == {
        "clip_1": MerrAnnotation(
            name="clip_1",
            label="surprise",
            sentence="Oh, is it you?",
            peak_index=1,
            peak_units=("AU05", "AU25", "AU26"),
            units=("AU05", "AU26"),
            phrases=("Eyes widened", "Wide-mouthed"),
            tone="speaks with surprise.",
            fine="She is surprised.",
        )
    }


def test_a_coarse_record_has_a_caption_and_no_text(tmp_path: Path) -> None:
    coarse = {key: value for key, value in RECORD.items() if key not in ("text", "smp_reason_caption")}
    found = read_annotations(written(tmp_path / "coarse.json", clip_1=coarse | {"caption": "A person."}))["clip_1"]
    assert (found.coarse, found.fine, found.sentence) == ("A person.", None, None)


@pytest.mark.parametrize(
    "quirk",
    [
        {"peak_index": 1},
        {"peak_AU_list": []},
        {"pseu_emotion": "sad", "AU_list": ["AU15", "AU15"], "visual_prior_list": ["Insecure", "Slight frown"]},
        {"visual_prior_list": ["A look of disapprroval", "Wide-mouthed"]},
        {"visual_objective_list": {"one": "more key"}},
        {"AU_list": [], "visual_prior_list": []},
    ],
)
def test_quirks_of_the_published_files_are_no_errors(tmp_path: Path, quirk: dict[str, Any]) -> None:
    found = read_annotations(written(tmp_path / "fine.json", clip_1=RECORD | quirk))["clip_1"]
    assert found.peak_index == 1
    assert found.units == tuple(quirk.get("AU_list", RECORD["AU_list"]))


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ({"AU_list": ["AU05", "AU99"]}, "AU_list", "AU99"),
        ({"peak_AU_list": ["AU5"]}, "peak_AU_list", "AU5"),
        ({"peak_AU_list": "AU05"}, "peak_AU_list", "AU05"),
        ({"peak_AU_list": ["AU05", 26]}, "peak_AU_list", "26"),
        ({"peak_index": "twelve"}, "peak_index", "twelve"),
        ({"peak_index": "-1"}, "peak_index", "-1"),
        ({"peak_index": 1.5}, "peak_index", "1.5"),
        ({"peak_index": True}, "peak_index", "True"),
        ({"peak_index": None}, "peak_index", "None"),
        ({"peak_index": "²"}, "peak_index", "²"),
        ({"peak_index": "9" * 5000}, "peak_index", "9999"),
        ({"visual_prior_list": ["Eyes widened"]}, "visual_prior_list", "1 phrases for the 2"),
        ({"pseu_emotion": " "}, "pseu_emotion", "blank"),
        ({"pseu_emotion": ["sad"]}, "pseu_emotion", "sad"),
        ({"text": {"en": "Hello"}}, "text", "JSON object"),
        ({"text": "\ud800"}, "text", "Unicode"),
        ({"smp_reason_caption": None}, "smp_reason_caption", "None"),
    ],
)
def test_a_wrong_value_is_named_by_file_clip_and_key(
    tmp_path: Path, change: dict[str, Any], key: str, value: str
) -> None:
    path = written(tmp_path / "fine.json", clip_1=RECORD, clip_2=RECORD | change)
    with pytest.raises(InputError) as error:
        read_annotations(path)
    message = str(error.value)
    assert message.startswith(f"{path}: clip 'clip_2', {key}: ")
    assert value in message
    assert "\n" not in message and len(message) < 400


@pytest.mark.parametrize("key", ["AU_list", "visual_prior_list", "peak_index", "peak_AU_list", "pseu_emotion"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = written(tmp_path / "fine.json", clip_1={name: value for name, value in RECORD.items() if name != key})
    with pytest.raises(InputError, match=f"clip 'clip_1', {key}: is missing"):
        read_annotations(path)


def test_a_label_outside_the_given_ones_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "fine.json", clip_1=RECORD | {"pseu_emotion": "suprise"})
    assert read_labels(path) == {"clip_1": "suprise"}
    with pytest.raises(InputError, match="fine.json: clip 'clip_1': unknown label 'suprise': the rule set merr 1 has"):
        read_labels(path, load_rules("merr").normal)


def test_a_clip_or_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "fine.json"
    one = json.dumps(RECORD)
    path.write_text(f'{{"clip_1": {one}, "clip_1": {one}}}')
    with pytest.raises(InputError, match="clip 'clip_1' occurs twice"):
        read_annotations(path)
    path.write_text(f'{{"clip_1": {one[:-1]}, "peak_index": "7"}}}}')
    with pytest.raises(InputError, match="clip 'clip_1', peak_index: the key occurs twice"):
        read_annotations(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "ends too early"),
        (b"name 1 happy", "line 1, column 1: not JSON"),
        (b'["clip_1"]', "must hold one JSON object"),
        (b"{}", "holds no clip"),
        (b'{"clip_1": "happy"}', "clip 'clip_1' must be a JSON object, not 'happy'"),
        (b'{" ": {}}', "is not a clip name"),
        (b"\xff\xfe{}", "not text in UTF-8"),
        (b"[" * 100_000, "not JSON that can be read|ends too early"),
    ],
)
def test_what_is_no_annotation_file_is_said(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "fine.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_annotations(path)


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_an_error(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "fine.json"
    text = json.dumps({"clip_1": RECORD, "clip_2": RECORD}, indent=1)
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(InputError, match="line .*ends too early"):
        read_annotations(path)


def test_a_txt_gives_frames_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "MERR_fine_grained.txt"
    path.write_bytes(b"clip_1 61 happy\r\nclip_2 7 sad\n\n")
    assert read_labels(path) == {"clip_1": "happy", "clip_2": "sad"}
    assert [one.frame_count for one in read_annotations(path).values()] == [61, 7]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("clip_2 61", "line 2: must be `name frame_count label`"),
        ("clip 2 61 happy", "line 2: must be"),
        ("clip_2 many happy", "line 2: clip 'clip_2': 'many' is not a number"),
        ("clip_1 61 happy", "clip 'clip_1' occurs twice"),
    ],
)
def test_a_wrong_line_of_a_txt_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "fine.txt"
    path.write_text(f"clip_1 61 happy\n{line}\n")
    with pytest.raises(InputError, match=told):
        read_annotations(path)


def test_a_csv_gives_sentences_or_labels(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    text = '\ufeffname, sentence ,label\nclip_1,"Oh, no.\u2028No!",sad\nclip_2,None,\nclip_3,,happy\n'
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert read_sentences(path) == {"clip_1": "Oh, no.\u2028No!"}
    assert read_labels(path) == {"clip_1": "sad", "clip_3": "happy"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,words\nclip_1,Hello\n", "needs the columns `name` and `sentence` or `label`; it has: name, words"),
        ("", "it has: none"),
        ("name,sentence\n", "holds no clip"),
        ("name,sentence\nclip_1,Oh, no\n", "line 2: 3 cells for 2 columns"),
        ("name,sentence\nclip_1\n", "line 2: 1 cells for 2 columns"),
        ("name,sentence\n ,Hello\n", "line 2: the name is blank"),
        ('name,sentence\nclip_1,"Hello\n', "not a CSV table"),
        ("name,sentence\nclip_1,a\nclip_1,b\n", "clip 'clip_1' occurs twice"),
        ("name,sentence,sentence\nclip_1,a,b\n", "'sentence' occurs twice"),
    ],
)
def test_a_wrong_csv_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_annotations(path)


def test_a_file_without_what_is_asked_for_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("name,sentence\nclip_1,Hello\n")
    with pytest.raises(InputError, match="holds no labels"):
        read_labels(path)
    path.write_text("name,label\nclip_1,happy\n")
    with pytest.raises(InputError, match="holds no subtitles"):
        read_sentences(path)
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        (tmp_path / "folder.json").mkdir()
        read_labels(tmp_path / "folder.json")
    with pytest.raises(InputError, match="end in .json, .txt or .csv"):
        read_labels(tmp_path / "labels.xlsx")


def test_what_merrflow_writes_is_read_back(tmp_path: Path) -> None:
    one = record("clip_1")
    ledger = run(tmp_path / "out", [one])
    write_merr(ledger, tmp_path)
    ledger.close()
    fine = read_annotations(tmp_path / "MERR_fine_grained.json")["clip_1"]
    coarse = read_annotations(tmp_path / "MERR_coarse_grained.json")["clip_1"]
    text = read_annotations(tmp_path / "MERR_fine_grained.txt")["clip_1"]
    assert fine.peak_index == one.peak.index
    assert fine.peak_units == one.peak.action_units
    assert (fine.units, fine.phrases) == (one.label.action_units, one.label.expressions)
    assert (fine.sentence, fine.fine) == (one.subtitle.text, one.reasoning.text)
    assert coarse.coarse == one.coarse
    assert (text.frame_count, text.label) == (one.probe.frame_count, one.label.label)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="no published annotations in ../shared/merr")
def test_the_published_file_is_read_whole() -> None:
    found = read_annotations(PUBLISHED)
    raw = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert len(found) == 2273
    assert found["samplenew_00051251"].peak_index == 13
    assert found["samplenew_00051251"].units == ("AU25",)
    assert sum(not one.peak_units for one in found.values()) == 2
    assert {name: one.label for name, one in found.items()} == {k: v["pseu_emotion"] for k, v in raw.items()}
    said = read_sentences(PUBLISHED)
    assert {name for name in raw if raw[name]["text"] == "None"} == raw.keys() - said.keys()
