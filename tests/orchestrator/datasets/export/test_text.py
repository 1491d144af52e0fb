"""Text that is not trusted, on its way into files."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow.datasets.export.text import CELL, _tokens, cell, clean, one_line, trainable

ANY = st.text(st.characters(), max_size=60)
SIGNS = st.text("<|>/[]s｜INSTimagevdoplu_ ", max_size=40)


@given(ANY)
def test_clean_text_can_be_written(text: str) -> None:
    assert clean(text).encode("utf-8").decode("utf-8") == clean(text)
    if not any(0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        assert clean(text) == text


@given(ANY)
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in line)
    assert one_line(line) == line


@given(SIGNS)
def test_no_control_token_is_left(text: str) -> None:
    safe = trainable(text)
    assert not _tokens().search(safe)
    assert trainable(safe) == safe
    assert safe.replace(" ", "") == text.replace(" ", "")  # nothing but blanks is added


TOKENS = (
    "</s> <s> <|im_end|> <|eot_id|> <image> <VIDEO> [/INST] <<SYS>> <VideoHere> <end_of_turn> <｜end▁of▁sentence｜> "
    "<pad> <<image>image> <|a<|b|>|> <AudioHere> <FaceHere> </Subtitle> ###Human ###Assistant:"
)


@pytest.mark.parametrize("token", TOKENS.split())
def test_tokens_of_models_become_words(token: str) -> None:
    assert token not in trainable(f"before {token} after")


@pytest.mark.parametrize("text", ["I <3 you", "a < b > c", "[laughs] no", "x|y", "2 </ 3", "<sigh>"])
def test_other_signs_stay(text: str) -> None:
    assert trainable(text) == text


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"])
def test_formulas_do_not_run(text: str) -> None:
    assert cell(text)[0].startswith("'")


@pytest.mark.parametrize("text", ["-5", "+3.2", "-0,5", "1", "a=b", "happy", ""])
def test_numbers_and_words_are_not_spoilt(text: str) -> None:
    assert cell(text) == (text, False)


@given(ANY)
def test_a_cell_is_read_back_as_one_cell(text: str) -> None:
    written = io.StringIO()
    value, _ = cell(text)
    csv.writer(written, quoting=csv.QUOTE_NONNUMERIC).writerow([value, 1])
    assert next(csv.reader(io.StringIO(written.getvalue()))) == [value, "1"]
    bare = value.replace(",", ".").removeprefix("+").removeprefix("-")
    assert not value.startswith(("=", "@", "\t", "\r")) and (not value.startswith(("+", "-")) or float(bare) >= 0)


def test_long_text_is_cut_to_what_a_cell_holds() -> None:
    for text in ("x" * 40_000, "\U0001f600" * 20_000, "x" + "\U0001f600" * 20_000):
        value, is_cut = cell(text)
        assert is_cut and value.endswith("…")
        assert CELL - 3 <= len(value.encode("utf-16-le")) // 2 <= CELL
    assert cell("x" * CELL) == ("x" * CELL, False)
