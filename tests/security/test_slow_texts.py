"""Text of files, models and clients takes no parser long: as long as it may be, and made to be slow.

The interpreter's lock is held by a regular expression, so that one text would stop a whole run, deaf to signals. Media
have a test of their own, subtitle files too (orchestrator/formats/test_subtitle_files.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from _pytest.mark import ParameterSet

from merrflow.core.datafile import MOST_BYTES
from merrflow.core.settings_file import load_settings
from merrflow.datasets.evaluation.texts import measure_sides
from merrflow.datasets.export import text as export_text
from merrflow.facs import load_rules
from merrflow.formats.clip_list import find_clips
from merrflow.formats.merr import read_annotations
from merrflow.formats.openface_csv import read_openface
from merrflow.stages import coarse, tone_claims
from merrflow.stages.grounding import load_grounding
from merrflow.stages.language import language
from merrflow.stages.validation import MAX_CHARACTERS
from merrflow_llama3 import checks, grammar, prompt
from merrflow_llama3 import text as llama_text
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import Clues
from merrflow_serving.media.tracks import matroska_seconds
from tests.fuzz.targets import FACTS

MOST_SECONDS = 2.0  # of the process; a quadratic expression takes minutes for most of these
SUBTITLE = 256 << 10  # characters: what a subtitle file may have
CLUES = Llama3Settings.model_fields["max_clue_characters"].default
TABLE = 1 << 20  # of tables, which have no bound: ten times this takes ten times as long
ANSWER = 20_000  # of a language model, whose longest answer is set by tokens

OPENERS = (
    *(
        "[",
        "![",
        "[a](",
        "- [",
        "(",
        "{",
        "{a: ",
        "<",
        "<a ",
        "</a",
        "<|a",
        "*",
        "*a ",
        "**a ",
        "__a ",
        "_a ",
        "`",
        "# ",
    ),
    *(
        '"',
        '"a ',
        "'",
        "'a ",
        "“",
        "‘a",
        "a",
        "a ",
        "a-",
        "a'",
        "a.",
        "A. ",
        ". ",
        '." ',
        "!",
        "。",
        "a。",
        " ",
        "\n",
        "\t",
    ),
    *(
        "\n ",
        "\n\n",
        "- ",
        "\n- ",
        "1",
        "1.",
        "\n1. ",
        "1e",
        ": ",
        ", ",
        ", A ",
        "a and a b and ",
        "not ",
        "loud, ",
        "the ",
    ),
    *(
        "her a ",
        "she feels ",
        "the voice is very ",
        "&a [",
        "*a ",
        "|\n",
        "a: b\n",
        "a,b\n",
        '"a\n',
        '""',
        "\\",
        '{"a":',
    ),
    *("é", "一", "\u0301", "\u200b", "ﬀ"),
)


def answer(text: str) -> checks.Answer:
    return checks.Answer(text, Clues("a man", ("smile",), "calm", "hi", "happy"), "what?")


def clues(text: str) -> Clues:
    part = text[: len(text) // 4]
    return Clues(part, (part,), part, part, "happy")


def prepared(text: str) -> object:
    return grammar.answer_grammar(prompt.load_prompt("small").prepare(clues(text)))


TEXTS: dict[str, tuple[int, Callable[[str], object]]] = {
    "scene": (MAX_CHARACTERS, lambda text: coarse.compose(text, ["smile"], None, None)),
    "tone": (MAX_CHARACTERS, lambda text: coarse.compose(None, None, text, None)),
    "claims": (MAX_CHARACTERS, lambda text: tone_claims.mentions(text, load_grounding())),
    "subtitle": (SUBTITLE, lambda text: coarse.compose(None, [], None, text)),
    "language": (SUBTITLE, language),
    "training file": (SUBTITLE, export_text.trainable),
    "cell": (SUBTITLE, export_text.cell),
    "compared": (MAX_CHARACTERS, lambda text: measure_sides({"a": {"x": text, "y": text}})),
    "duration": (SUBTITLE, lambda text: matroska_seconds(SimpleNamespace(metadata={"DURATION": text}))),
    "prompt": (CLUES, prepared),
    "quotable": (CLUES, llama_text.quotable),
    "checks": (ANSWER, lambda text: checks.failures(answer(text))),
    "checks of clues": (CLUES, lambda text: checks.failures(checks.Answer("She is happy.", clues(text), text))),
}
FILES: dict[str, tuple[int, str, Callable[[Path], object]]] = {
    "settings": (MOST_BYTES, "a.yaml", load_settings),
    "rules": (MOST_BYTES, "a.yaml", load_rules),
    "labels as JSON": (TABLE, "a.json", read_annotations),
    "labels as TXT": (TABLE, "a.txt", read_annotations),
    "transcripts": (TABLE // 16, "a.csv", read_annotations),
    "list of clips": (TABLE // 8, "a.csv", lambda path: find_clips([path])),
    "OpenFace": (TABLE // 16, "a.csv", lambda path: read_openface(path, probe=FACTS)),
}
HEADERS = {"transcripts": "name,sentence\n", "list of clips": "path\n", "OpenFace": "frame,confidence,success,AU01_r\n"}


QUICK = (
    "subtitle",
    "training file",
    "cell",
    "duration",
    "prompt",
    "quotable",
    "labels as JSON",
    "transcripts",
    "OpenFace",
)


def some(kinds: Iterable[str]) -> list[ParameterSet]:
    """As parameters: what takes more than some seconds in all is slow."""
    return [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in kinds]


def slowest(run: Callable[[str], object], length: int) -> tuple[float, str]:
    """Seconds and the opener of the text that takes longest."""
    worst = (0.0, "")
    for opener in OPENERS:
        for text in ((opener * length)[:length], (opener * length)[: length - 4] + "\nx. "):
            began = time.process_time()
            with suppress(Exception):  # a refusal is as good as an answer
                run(text)
            worst = max(worst, (time.process_time() - began, opener))
            if worst[0] > MOST_SECONDS:
                return worst
    return worst


@pytest.mark.parametrize("kind", some(TEXTS))
def test_no_text_takes_long(kind):
    length, run = TEXTS[kind]
    run("The woman speaks calmly.")  # what is read or compiled once
    seconds, opener = slowest(run, length)
    assert seconds < MOST_SECONDS, f"{opener!r} takes {seconds:.1f} s"


@pytest.mark.parametrize("kind", some(FILES))
def test_no_file_takes_long(kind, tmp_path):
    length, name, read = FILES[kind]
    header = HEADERS.get(kind, "")

    def run(text: str) -> object:
        (tmp_path / name).write_text((header + text)[:length], encoding="utf-8", newline="")
        return read(tmp_path / name)

    seconds, opener = slowest(run, length)
    assert seconds < MOST_SECONDS, f"{opener!r} takes {seconds:.1f} s"


def test_a_larger_yaml_file_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("# " + "x" * MOST_BYTES)
    for read in (load_settings, load_rules):
        with pytest.raises(Exception, match="larger than 128 KiB"):
            read(tmp_path / "a.yaml")
