"""Tables as spreadsheets, pandas and people write them: read as they are meant, or refused with line and value."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.core.errors import InputError
from merrflow.core.inputs import Found, assign_names, table_keys, with_tables
from merrflow.facs import load_rules
from merrflow.formats.clip_list import find_clips
from merrflow.formats.merr import read_annotations, read_labels, read_sentences
from merrflow.formats.table import MAX_BREAKS, MAX_LINE, read_table
from tests.paths import SHARED

HARD = SHARED / "hard-inputs"
SAID = {"clip_1": "你怎么能这样对我？", "007": "Oh; no, not\tagain", "NA": 'She said "no"', "x 4": "Two\nlines, both"}
needs_shared = pytest.mark.skipif(not HARD.is_dir(), reason="no ../shared/hard-inputs")


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def as_csv(rows: list[list[str]], **how: object) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, **how).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_every_way_of_writing_a_table_reads_the_same(
    tmp_path: Path, encoding: str, delimiter: str, line_end: str, quoting: int
) -> None:
    rows = [[" Name ", "SENTENCE"], *map(list, SAID.items())]
    text = as_csv(rows, delimiter=delimiter, lineterminator="\n", quoting=quoting).replace("\n", line_end)
    path = written(tmp_path / "table.csv", text.encode(encoding))
    assert read_sentences(path) == SAID
    assert read_sentences(written(tmp_path / "table.tsv", text.encode(encoding))) == SAID
    assert read_sentences(path, encoding=encoding) == SAID


@pytest.mark.parametrize(
    "text",
    [
        "name,sentence,,\na,Hello,,\n",  # trailing empty columns
        "name,sentence\na,Hello,,\n",
        "name,sentence,notes\na,Hello\n",  # Excel leaves out what is empty at the end of rows
        "\n,,\nname,sentence\n\n,\na,Hello\n,,,\n\n",  # empty rows
        "sep=;\nname;sentence\na;Hello\n",
        '"sep=;"\r\nname;sentence\r\na;Hello\r\n',
        "sep=\t\nname\tsentence\na\tHello\n",
        "sep=|\nname|sentence\na|Hello\n",
        ",name,sentence\n0,a,Hello\n",  # pandas' index
        'name, sentence\na, "Hello"\n',
        "name,sentence\na,Hello",  # no line end
        "\ufeffName\tSentence\na\tHello\n",
        "NAME,Sen tence\n".replace("Sen tence", "sentence ") + "a, Hello \n",
        "other,sentence,name\n1,Hello,a\n",
    ],
)
def test_what_spreadsheets_add_does_not_matter(tmp_path: Path, text: str) -> None:
    assert read_sentences(written(tmp_path / "table.csv", text)) == {"a": "Hello"}


def test_excels_unicode_text_is_a_txt_with_tabs(tmp_path: Path) -> None:
    text = "name\tsentence\tlabel\r\na\tHello\thappy\r\n"
    path = written(tmp_path / "table.txt", text.encode("utf-16"))
    assert read_sentences(path) == {"a": "Hello"}
    assert read_labels(path) == {"a": "happy"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('a,Hello\nb,"Oh no\nc,fine\nd,ok\n', r"line 3: not a CSV table.*double quote not closed"),
        ('a,"Oh no\nb,"fine"\n', r"line 2: not a CSV table.*double quote not closed"),
        ('a,"Oh no\nb,fine\nc,ok"\nd,x\n', r"line 2: a cell holds 'b,fine', which is a row; is a double quote not"),
        ('a,"He said \\"no\\" to me"\n', r'line 2: .*write each double quote twice \(""\)'),
        ("a,Oh no, not again\n", r"line 2: 3 cells for 2 columns: 'not again' is one too many.*double quotes"),
        ('a,"two\nlines"\nb,x,y\n', r"line 4: 3 cells for 2 columns: 'y'"),
        ("a,Hello\nb\n", r"line 3: 1 cells for 2 columns: the cell of 'sentence' is missing"),
        ("a,Hello\nb,fine\na,Hello\n", r"line 4: clip 'a' occurs twice \(first in line 2\)"),
        ("a,Hello\na,Goodbye\n", r"line 3: clip 'a' occurs twice \(first in line 2\)"),
        ("a,Hel\0lo\n", r"line 2: holds a zero byte"),
        ("a," + "x" * (MAX_LINE + 1) + "\n", r"line 2: longer than 100000 characters"),
        ('a,"' + "x\n" * (MAX_BREAKS + 1) + '"\n', r"line 2: a cell of more than 20 lines; is a double quote not"),
        ("a,#NAME?\n", r"line 2, column sentence: #NAME\? is an error of a spreadsheet.*apostrophe"),
        (",Hello\n", r"line 2: the name is blank"),
    ],
)
def test_what_can_be_meant_in_two_ways_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path / "table.csv", "name,sentence\n" + text)
    with pytest.raises(InputError, match=told) as caught:
        read_sentences(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"file,words\na,Hello\n", "needs the columns `name` and `sentence` or `label`; it has: file, words"),
        (b"name,sentence,Name\na,b,c\n", "line 1: the column 'Name' occurs twice; it has: name, sentence, Name"),
        (b"\nname,label, Label\na,b,c\n", "line 2: the column 'Label' occurs twice"),
        (b"PK\x03\x04" + bytes(100), "a workbook or ZIP archive .save a workbook as `CSV UTF-8`., not text"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "an old Excel"),
        ("name,sentence\na,Ναι\n".encode("cp1253"), r"name its encoding \(setting table_encoding\), perhaps .*cp1253"),
        (b"sep=;\n", "it has: none"),
        (b"", "it has: none"),
    ],
)
def test_what_is_no_such_table_is_said(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_sentences(written(tmp_path / "table.csv", content))


def test_a_workbook_is_named_by_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="end in .json, .txt or .csv .*save a workbook as `CSV UTF-8`"):
        read_labels(tmp_path / "labels.xlsx")


@pytest.mark.parametrize("nothing", ["", "None", "none", "nan", "NaN", "NULL", "null", "NA", "N/A", "<NA>", " nan "])
def test_a_cell_that_says_no_value_is_no_subtitle(tmp_path: Path, nothing: str) -> None:
    path = written(tmp_path / "table.csv", f"name,sentence,label\nNA,{nothing},sad\nnull,None of us,\n")
    assert read_sentences(path) == {"null": "None of us"}
    assert read_labels(path) == {"NA": "sad"}
    if nothing.casefold() != "none":  # which rule sets take for neutral
        path = written(tmp_path / "labels.csv", f"name,label\na,{nothing}\nb,happy\n")
        assert read_labels(path, load_rules("default").normal) == {"b": "happy"}


def test_an_unknown_label_is_named_with_line_and_the_known_ones(tmp_path: Path) -> None:
    path = written(tmp_path / "labels.csv", "name,label\na,happy\n\nb,hapy\n")
    with pytest.raises(InputError, match=r"labels.csv, line 4: clip 'b': unknown label 'hapy': the rule set .* happy"):
        read_labels(path, load_rules("default").normal)


@pytest.mark.parametrize("score", ["", " -1.17", "\t0.98", " 1e-3", " nan"])
def test_merrs_txt_may_have_a_score(tmp_path: Path, score: str) -> None:
    path = written(tmp_path / "MERR_fine_grained.txt", f"a 85 happy{score}\nb 7 sad{score}\n")
    assert read_labels(path) == {"a": "happy", "b": "sad"}
    with pytest.raises(InputError, match="line 2: must be `name frame_count label`, perhaps with a score"):
        read_labels(written(tmp_path / "other.txt", "a 85 happy 0.1\nb 7 sad again\n"))


def test_lists_of_clips_are_read_as_strictly(tmp_path: Path) -> None:
    table = tmp_path / "list.tsv"
    written(table, "Path\tName\tSentence\na.mp4\t007\tnan\nb.mp4\tNA\tOh, no\n".encode("utf-16"))
    assert find_clips([table]) == [Found(tmp_path / "a.mp4", "007"), Found(tmp_path / "b.mp4", "NA", "Oh, no")]
    for text, told in (
        ("path,sentence\na.mp4,Oh no, no\n", "line 2: 3 cells for 2 columns"),
        ("path\na.mp4\n./a.mp4\n", r"line 3: 'a.mp4' occurs twice \(first in line 2\)"),
        ('path,sentence\na.mp4,"Oh\n', "line 2: not a CSV table"),
        ("path,path\na.mp4,b.mp4\n", "line 1: the column 'path' occurs twice"),
        ("path,name\n,a\n", "line 2: the path is blank"),
        ("Utterance,Emotion,Dialogue_ID,Utterance_ID\nHi,joy,0,0\n", "needs a column `path`; .*the layout meld"),
    ):
        with pytest.raises(InputError, match=told):
            find_clips([written(tmp_path / "list.csv", text)])
    with pytest.raises(InputError, match="no layout 'medl'; there are: .*meld"):
        find_clips([table], layout="medl")
    with pytest.raises(InputError, match="'utf9' is not an encoding"):
        find_clips([table], encoding="utf9")


def test_a_table_may_call_a_clip_by_its_files_name_or_with_its_folder() -> None:
    found = [Found(Path(f"/x/{name}")) for name in ("a.mp4", "s1/b.mp4", "s2/b.mp4", "s2/c d.mp4")]
    names = assign_names(found, {})
    said = {"a.mp4": "A", "s1/b": "B1", "s2/b.mp4": "B2", "c d": "C", "b": "whose?"}
    assert [clip.sentence for clip in with_tables(found, names, said, {})] == ["A", "B1", "B2", "C"]
    every = [key for keys in table_keys(found, names).values() for key in keys]
    assert len(set(every)) == len({(key, path) for path, keys in table_keys(found, names).items() for key in keys})


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20).map(str.strip)
WORDS = CELLS.filter(lambda text: text and not text.startswith("#"))


@settings(max_examples=80, deadline=None)
@given(
    rows=st.dictionaries(WORDS, CELLS.filter(lambda text: not text.startswith("#")), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    trailing=st.integers(0, 2),
    writer=st.sampled_from(["csv", "pandas", "pandas with index"]),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: dict[str, str],
    delimiter: str,
    encoding: str,
    trailing: int,
    writer: str,
) -> None:
    path = tmp_path_factory.mktemp("table") / "table.csv"
    if writer == "csv":
        text = as_csv([[*row, *[""] * trailing] for row in (("name", "sentence"), *rows.items())], delimiter=delimiter)
        path.write_bytes(text.encode(encoding))
    else:
        frame = pandas.DataFrame({"name": list(rows), "sentence": list(rows.values())})
        frame.to_csv(path, sep=delimiter, encoding=encoding, index=writer.endswith("index"))
    found = {row.cells["name"]: row.cells["sentence"] for row in read_table(path).rows}
    assert found == rows


@needs_shared
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tr_gbk.csv", {"clip_1": "你怎么能这样对我？", "clip_2": "我太高兴了！"}),
        ("tr_tab.csv", {"a": "Hello, you"}),
        ("tr_semi.csv", {"a": "Hello, you", "b": "Oh; no"}),
        ("tr_trail2.csv", {"a": "Hello"}),
    ],
)
def test_the_tables_that_people_reported_are_read(name: str, said: dict[str, str]) -> None:
    assert read_sentences(HARD / name) == said


@needs_shared
def test_the_lists_that_people_reported_are_refused_or_read() -> None:
    for name, told in (
        ("in_unquoted.csv", "in_unquoted.csv, line 2: 3 cells for 2 columns: 'not again'"),
        ("in_openq.csv", "in_openq.csv, line 2: not a CSV table"),
        ("in_dup.csv", "in_dup.csv, line 1: the column 'path' occurs twice"),
    ):
        with pytest.raises(InputError, match=told):
            find_clips([HARD / name])
    assert [clip.sentence for clip in find_clips([HARD / "in_none.csv"])] == [None, None]
    assert read_labels(HARD / "labels4.txt") == {"good_news": "happy", "surprise_visit": "surprise"}


def test_a_table_is_not_logged_about_without_need(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert len(read_annotations(written(tmp_path / "t.csv", "name,sentence\na,Hello\n"))) == 1
    assert not caplog.records
