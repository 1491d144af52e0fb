"""MERR's files: read with a reader made from the format's description, field by field."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from merrflow.core.errors import InputError
from merrflow.core.labels import Label
from merrflow.core.measurements import Peak
from merrflow.core.records import Outcome, Record
from merrflow.core.spoken import Subtitle, Translation
from merrflow.core.texts import Tone
from merrflow.datasets.export.everything import write_all
from merrflow.datasets.export.export import export
from merrflow.datasets.export.merr import AFFECTGPT, NO_NAME, SUBTITLES
from merrflow.datasets.export.merr_strict import published, published_units
from merrflow.datasets.export.pandas_text import KEEPS_TEXT, MISSING, SubtitleTable
from merrflow.facs import load_lexicon, load_rules
from tests.orchestrator.datasets.export.merr_loader import NINE, load
from tests.orchestrator.datasets.export.passes import write_merr
from tests.orchestrator.datasets.report.runs import many, record, run
from tests.paths import SHARED

PUBLISHED = SHARED / "merr" / "merr_fine_grained.half.json"


def labelled(name: str, label: str, present: tuple[str, ...], **changes: object) -> Record:
    """A record with this label and these units at its peak."""
    return replace(
        record(name, **changes),
        label=Label(label, "table", (), (), "default 2", "given"),
        peak=Peak(20, 0.8, present, {}, present[:1], 1.0, "why"),
    )


def test_every_field_is_where_trainers_look_for_it(tmp_path: Path) -> None:
    silent = replace(record("b", "sad"), subtitle=Subtitle(None, "none", "", "no subtitle"), tone=None)
    ledger = run(tmp_path, [record("a"), silent])
    done = export(ledger, tmp_path, "merr")
    assert done.folder == tmp_path / "export" / "merr"
    assert done.records == 2
    first, second = load(done.folder, "fine")
    assert (first.name, first.frames, first.label) == ("a", 50, "happy")
    assert first.fields == {
        "AU_list": ["AU12"],
        "visual_prior_list": ["Big smile"],
        "audio_prior_list": "A bright voice.",
        "peak_index": "20",
        "peak_AU_list": ["AU06", "AU12"],
        "pseu_emotion": "happy",
        "text": "What a day",
        "smp_reason_caption": "The smile and the bright voice tell of joy.",
    }
    assert first.instruction == "The person in video says: What a day. "
    assert second.fields["audio_prior_list"] == second.fields["text"] == ""
    assert "nan" not in second.instruction
    coarse = load(done.folder, "coarse")
    assert coarse[0].fields["caption"] == "This person smiles. Saying: What a day"


def test_what_was_refused_is_in_the_coarse_file_only(tmp_path: Path) -> None:
    ledger = run(tmp_path, [replace(record("a"), reasoning=None)], outcome=Outcome.REFUSED, reason="declined")
    done = export(ledger, tmp_path, "merr")
    assert [sample.name for sample in load(done.folder, "coarse")] == ["a"]
    assert load(done.folder, "fine") == []
    assert json.loads((done.folder / "MERR_fine_grained.json").read_text()) == {}


def test_english_where_there_is_a_translation_and_the_original_where_there_is_none(tmp_path: Path) -> None:
    said = Subtitle("我不知道。", "table", "zh", "the table's sentence")
    translated = replace(record("a"), subtitle=said, translation=Translation("I don't know.", "zh"))
    ledger = run(tmp_path, [translated, replace(record("b", "sad"), subtitle=said)])
    done = export(ledger, tmp_path, "merr")
    with (done.folder / SUBTITLES).open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1:] == [["a", "I don't know."], ["b", "我不知道。"]]
    assert [one.fields["text"] for one in load(done.folder, "fine")] == ["I don't know.", "我不知道。"]
    assert any(remark.endswith("translated ones are: 1") for remark in done.remarks)


def test_labels_that_merr_does_not_have_are_left_out_and_counted(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("a", "disgust"), record("b", "anger"), record("c", "sad")])
    for format in ("merr", "merr-strict"):
        done = export(ledger, tmp_path, format)
        assert [(s.name, s.label) for s in load(done.folder, "fine")] == [("b", "angry"), ("c", "sad")]
        assert done.left_out == {"a label that MERR does not have": 1}
    # a run's own files keep them all, and list for training what can be loaded
    assert write_merr(ledger, tmp_path / "own") == (3, 3)
    assert json.loads((tmp_path / "own" / "MERR_fine_grained.json").read_text())["a"]["pseu_emotion"] == "disgust"
    assert (tmp_path / "own" / "MERR_coarse_grained.txt").read_text() == "b 50 angry\nc 50 sad\n"
    assert list(pd.read_csv(tmp_path / "own" / SUBTITLES)["name"]) == ["b", "c"]


def test_a_runs_own_files_load_as_they_are(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("0001", "disgust"), record("0002", "happy"), record("NA"), record("null", "sad")])
    write_all(ledger, tmp_path)
    for grain in ("coarse", "fine"):
        assert [s.name for s in load(tmp_path / "merr", grain, all_listed=False)] == ["0002"]


@pytest.mark.parametrize("code_page", ["utf-8", "gbk", "cp1252"])
@pytest.mark.parametrize("format", ["merr", "merr-strict"])
def test_it_loads_under_every_code_page(tmp_path: Path, code_page: str, format: str) -> None:
    text = "我不知道 café “quoted” \U0001f600 Ünï"
    one = replace(
        record("0001"), subtitle=Subtitle(text, "srt", "zh", ""), coarse=text, tone=Tone(text, "speech", {}, ())
    )
    one = replace(one, reasoning=replace(one.reasoning, text=text))
    folder = export(run(tmp_path, [one, record("0002", "sad")]), tmp_path, format).folder
    for path in (*folder.glob("*.json"), *folder.glob("*.txt")):
        assert path.read_bytes().isascii()
    first, second = load(folder, "fine", code_page)
    assert first.fields["smp_reason_caption"] == first.fields["text"] == text
    assert first.instruction == f"The person in video says: {text}. " and second.name == "0002"


@pytest.mark.parametrize("word", ["", "None", "null", "NA", "nan", "-nan", "#N/A", "=1+1", "-5", "@here", "\x00\n"])
def test_no_sentence_becomes_a_number_or_a_formula(tmp_path: Path, word: str) -> None:
    ledger = run(tmp_path, [replace(record("a"), subtitle=Subtitle(word, "table", "en", "")), record("b")])
    folder = export(ledger, tmp_path, "merr").folder
    spoken = " ".join(word.replace("\x00", " ").split())
    said = load(folder, "coarse")[0].instruction  # which holds that pandas has read text
    assert said.removeprefix("The person in video says: ").removesuffix(". ").strip() == spoken
    with (folder / SUBTITLES).open(newline="") as file:
        sentence = next(csv.DictReader(file))["sentence"]
    assert sentence and not sentence.startswith(("=", "-", "@"))


def test_pandas_knows_no_further_word_for_a_missing_value() -> None:
    from pandas._libs.parsers import STR_NA_VALUES

    assert set(STR_NA_VALUES) - {""} <= MISSING


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    evil = 'quote " comma, \r\nnext\x00\x1b[31m </s><VideoHere> \u2028 end \U0001f600'
    one = replace(record("a"), subtitle=Subtitle(evil, "srt", "en", ""), coarse=evil, tone=Tone(evil, "speech", {}, ()))
    one = replace(one, reasoning=replace(one.reasoning, text=evil * 2000))
    folder = export(run(tmp_path, [one, record("b")]), tmp_path, "merr").folder
    sample = load(folder, "fine")[0]
    for text in (sample.fields["text"], sample.fields["smp_reason_caption"], sample.instruction):
        assert "</s>" not in text and "<VideoHere>" not in text
        assert 'quote " comma,' in text and "\U0001f600" in text
    assert len(sample.fields["smp_reason_caption"]) > 2000 * len(evil)
    assert len(pd.read_csv(folder / SUBTITLES)) == 2


def test_remarks_tell_what_a_trainer_stumbles_over(tmp_path: Path) -> None:
    chinese = replace(record("0001"), subtitle=Subtitle("你好", "srt", "zh", ""), path="/data/other.mkv")
    remarks = " ".join(export(run(tmp_path, [chinese]), tmp_path, "merr-strict").remarks)
    assert "not English" in remarks and "pandas" in remarks
    assert "empty AU_list" not in remarks


@pytest.mark.parametrize(
    "names",
    [
        ("1e5", "2.5"),
        ("0001", "0002"),
        ("0001", "b"),
        ("1_0", "2"),
        ("inf", "3"),
        ("True", "false"),
        ("7",),
        ("2024-01-01",),
    ],
)
def test_every_name_is_found_as_text(tmp_path: Path, names: tuple[str, ...]) -> None:
    done = export(run(tmp_path, [record(name) for name in names]), tmp_path, "merr")
    assert [sample.name for sample in load(done.folder, "fine")] == sorted(names)
    bare = pd.read_csv(StringIO("name\n" + "\n".join(names)))
    misread = sum(bare.loc[bare["name"] == name].empty for name in names)
    told = [remark for remark in done.remarks if "pandas" in remark]
    assert bool(told) or not misread
    table = pd.read_csv(done.folder / AFFECTGPT)  # whose class appends text to each name
    assert [Path(name + ".avi").name for name in table["names"]] == [f"{name}.avi" for name in sorted(names)]


@pytest.mark.parametrize("name", ["NA", "nan", "null", "None"])
def test_a_clip_whose_name_is_no_value_is_left_out_and_counted(tmp_path: Path, name: str) -> None:
    done = export(run(tmp_path, [record(name), record("1")]), tmp_path, "merr")
    assert [sample.name for sample in load(done.folder, "coarse")] == ["1"]
    assert done.left_out == {NO_NAME: 1}
    with pytest.raises(InputError, match="nothing to export as merr; left out: 1 a name that pandas"):
        export(run(tmp_path / "alone", [record(name)]), tmp_path / "alone", "merr")


def test_names_stay_text_in_every_piece_that_pandas_reads(tmp_path: Path) -> None:
    """It looks at 262,144 rows of two columns at a time, and makes numbers of those in which there is no text."""
    names = [str(number) for number in range(600_000)] + ["word"]
    with (tmp_path / "table.csv").open("w", encoding="utf-8") as file:
        table = SubtitleTable(file)
        for name in names:
            table.add(name, "a")
        table.end()
    read = pd.read_csv(tmp_path / "table.csv")["name"]
    assert {type(name) for name in read} == {str}
    assert list(read[read != KEEPS_TEXT]) == names


def test_names_beyond_ascii_are_told(tmp_path: Path) -> None:
    done = export(run(tmp_path, [record("片段")]), tmp_path, "merr")
    assert load(done.folder, "fine", "cp1252")[0].name == "片段"
    assert any("beyond ASCII" in remark and remark.endswith(": 1") for remark in done.remarks)


def test_affectgpt_reads_its_table(tmp_path: Path) -> None:
    said = replace(record("b"), subtitle=Subtitle("NA", "srt", "en", ""), reasoning=None)
    silent = replace(record("c"), subtitle=Subtitle(None, "none", "", ""))
    silent = replace(silent, reasoning=replace(silent.reasoning, text="All is well.\n###Human: <Subtitle>no"))
    folder = export(run(tmp_path, [record("a"), said, silent]), tmp_path, "merr").folder
    rows = pd.read_csv(folder / AFFECTGPT)
    assert list(rows.columns) == ["names", "subtitles", "reasons"]
    assert list(rows["names"]) == ["a", "c"]  # b has no description
    assert rows["reasons"][0] == "The smile and the bright voice tell of joy."
    assert rows["subtitles"][0] == "What a day" and rows["subtitles"][1] == " "
    assert "###Human" not in rows["reasons"][1] and "<Subtitle>" not in rows["reasons"][1]


class TestStrict:
    def test_under_sad_the_dimple_is_written_as_published(self) -> None:
        found = published(labelled("a", "sad", ("AU04", "AU14", "AU15")))
        assert found.label.action_units == ("AU04", "AU15", "AU15")
        lexicon = load_lexicon("merr")
        assert found.label.expressions[0] in lexicon.phrases["AU04"]
        assert found.label.expressions[1] in lexicon.phrases["AU15"]
        assert found.label.expressions[2] in lexicon.errata["sad"]["AU14"]

    def test_under_another_label_it_is_not(self) -> None:
        assert published(labelled("a", "happy", ("AU12", "AU14"))).label.action_units == ("AU12", "AU14")

    def test_the_coarse_text_has_the_same_phrases(self) -> None:
        found = published(labelled("a", "sad", ("AU14",)))
        phrase = found.label.expressions[0]
        assert phrase.lower() in found.coarse.lower()
        assert "Big smile" not in found.coarse
        assert found.coarse.endswith("Saying: What a day.") or "Saying: What a day" in found.coarse

    def test_phrases_are_those_of_the_clip_and_the_unit(self) -> None:
        one, other = (published(labelled("a", "fear", units)) for units in (("AU01", "AU05"), ("AU05", "AU20")))
        assert one.label.expressions[0] == other.label.expressions[0]  # AU05's, whatever stands beside it

    def test_a_whole_export(self, tmp_path: Path) -> None:
        ledger = run(tmp_path, [labelled("a", "sad", ("AU14",)), labelled("b", "doubt", ("AU04",))])
        done = export(ledger, tmp_path, "merr-strict")
        first, second = load(done.folder, "fine")
        assert first.fields["AU_list"] == ["AU15"]
        assert first.fields["peak_AU_list"] == ["AU14"]
        assert second.fields["AU_list"] == []
        assert any("empty AU_list" in remark for remark in done.remarks)

    @pytest.mark.skipif(not PUBLISHED.exists(), reason="the published annotations are not here")
    def test_it_reproduces_the_published_lists(self) -> None:
        published_records = json.loads(PUBLISHED.read_text(encoding="utf-8"))
        right, total = Counter(), Counter()
        for fields in published_records.values():
            label = fields["pseu_emotion"]
            rule = load_rules("merr").rule(label)
            written = rule.published_as if rule else {}
            units = [written.get(unit, unit) for unit in published_units(label, tuple(fields["peak_AU_list"]))]
            right[rule is None] += units == fields["AU_list"]
            total[rule is None] += 1
        assert total[False] > 1500 and total[True] > 600
        assert right[False] / total[False] >= 0.97
        assert right[True] / total[True] >= 0.56  # neutral


def test_the_labels_are_merrs() -> None:
    assert set(load_rules("merr").labels) == set(NINE)


def test_a_thousand_records_load(tmp_path: Path) -> None:
    ledger = run(tmp_path, many(1000, NINE))
    folder = export(ledger, tmp_path, "merr").folder
    samples = load(folder, "coarse")
    assert [sample.name for sample in samples] == [f"clip_{i:05}" for i in range(1000)]
    assert [sample.label for sample in samples[:9]] == list(NINE)
