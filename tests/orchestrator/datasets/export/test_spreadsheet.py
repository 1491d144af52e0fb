"""The CSV for spreadsheets."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from merrflow.core.records import Record
from merrflow.core.spoken import Subtitle, Translation
from merrflow.core.texts import Tone
from merrflow.datasets.export.export import export
from tests.orchestrator.datasets.report.runs import record, run


def rows(tmp_path: Path, *records: Record) -> list[dict[str, str]]:
    folder = export(run(tmp_path, records), tmp_path, "csv").folder
    with (folder / "clips.csv").open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in found)
    return found


def test_a_row_has_what_the_record_has(tmp_path: Path) -> None:
    loud = Tone("Loud.", "speech", {"level": (-12.5, "dBFS"), "pitch_mean": (200.0, "Hz")}, ())
    one, other = rows(tmp_path, record("a"), record("b", "sad", tone=loud, reasoning=None))
    assert (one["name"], one["label"], one["AU_list"], one["peak_AU_list"]) == ("a", "happy", "AU12", "AU06 AU12")
    assert (one["AU06_intensity"], one["AU12_intensity"], one["peak_frame"]) == ("1.5", "3.0", "20")
    assert (one["voice_pitch_mean (Hz)"], one["voice_level (dBFS)"]) == ("212.4", "")
    assert other["voice_level (dBFS)"] == "-12.5"  # a number, minus and all
    assert (one["fine"], other["fine"]) == ("The smile and the bright voice tell of joy.", "")
    assert one["action_units_by"].startswith("mediapipe face_landmarker sha256:")


def test_a_translation_has_its_column(tmp_path: Path) -> None:
    said = Subtitle("我不知道", "srt", "zh", "")
    one, other = rows(tmp_path, record("a", subtitle=said, translation=Translation("I don't know.", "zh")), record("b"))
    assert (one["subtitle"], one["subtitle_en"], other["subtitle_en"]) == ("我不知道", "I don't know.", "")


def test_excel_and_pandas_see_utf8(tmp_path: Path) -> None:
    folder = export(run(tmp_path, [record("a", coarse="Überraschung 你好")]), tmp_path, "csv").folder
    assert (folder / "clips.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    table = pd.read_csv(folder / "clips.csv")
    assert table.columns[0] == "name"
    assert table["coarse"][0] == "Überraschung 你好"
    assert table["AU12_intensity"].dtype == float


@pytest.mark.parametrize(
    "evil", ['=HYPERLINK("http://h")', "@SUM(1)", "+1+cmd", "-1+1", "\t=1", "\r\n=1", "a\0\nb\x1b[1m"]
)
def test_no_cell_runs_and_no_row_breaks(tmp_path: Path, evil: str) -> None:
    one = record("a", coarse=evil, subtitle=Subtitle(evil, "srt", "en", ""), missing={"tone": evil})
    one = replace(one, tone=Tone(evil, "speech", {evil: (1.0, evil)}, ()))
    (row,) = rows(tmp_path, one)
    for name, text in row.items():
        assert not name.startswith(("=", "+", "@", "\t", "\r"))
        assert not text.startswith(("=", "+", "@", "\t", "\r"))
        assert not text.startswith("-") or float(text)
        assert text.isprintable()
    raw = (tmp_path / "export" / "csv" / "clips.csv").read_bytes()
    assert raw.count(b"\n") == 2


def test_what_a_cell_cannot_hold_is_cut_and_counted(tmp_path: Path) -> None:
    done = export(run(tmp_path, [record("a", coarse="x" * 100_000)]), tmp_path, "csv")
    assert any(remark.endswith(": 1") and "cut" in remark for remark in done.remarks)


def test_values_that_are_no_numbers_are_empty(tmp_path: Path) -> None:
    from merrflow.core.records import Outcome
    from merrflow.datasets.entries import Entry
    from merrflow.datasets.export.spreadsheet import Spreadsheet
    from merrflow.datasets.export.vocabulary import vocabulary

    odd = {"nan": (float("nan"), "Hz"), "inf": (float("inf"), ""), "pitch_mean": (1 / 3, "Hz")}
    words = vocabulary(run(tmp_path, [record("a", tone=Tone("", "speech", dict.fromkeys(odd, (1.0, "")), ()))]))
    with Spreadsheet(tmp_path, words) as writer:
        writer.add(Entry(record("a", tone=Tone("", "speech", odd, ())), Outcome.DONE, ""))
    table = pd.read_csv(tmp_path / "clips.csv")
    assert table["voice_nan"].isna().all() and table["voice_inf"].isna().all()
    assert table["voice_pitch_mean"][0] == 0.333333
