"""A curation filter of another distribution: built, installed, found by entry point and used by the real command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.datasets.curation.config import load_config, packaged
from merrflow.datasets.curation.curate import curate
from merrflow.datasets.curation.registry import BUILT_IN, GROUP
from tests.forks import merrflow
from tests.orchestrator.datasets.curation.corpus import write
from tests.orchestrator.datasets.report.runs import record
from tests.plugins.installing import importable, install, plant, refused

ORDER = list(BUILT_IN)
WITH_IT = [*ORDER[: ORDER.index("quality") + 1], "too_short", *ORDER[ORDER.index("quality") + 1 :]]
TO_EXACT = ORDER[: ORDER.index("exact") + 1]
EMPTY = """
from merrflow.datasets.curation import Filter, Verdict

class {name}(Filter):
    name = "{filter}"
    about = "nothing"
    {more}

    def judge(self, clips):
        return Verdict({{}})
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(Path(__file__).parent / "filter", tmp_path_factory.mktemp("filter"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished run of two clips, one of them half a second long."""
    short = record("short", sha256="cd" * 32)
    return write(tmp_path / "out", [record("long"), replace(short, probe=replace(short.probe, seconds=0.5))])


def test_the_command_drops_clips_by_it(installed: Path, out: Path) -> None:
    ended = merrflow("curate", "--out", out, path=installed)
    assert ended.returncode == 0, ended.stderr
    found = json.loads((out / "curation.json").read_text())
    assert found["kept"] == ["long"]
    assert found["dropped"] == [{"name": "short", "filter": "too_short", "reason": "0.5 s long, below 1"}]
    assert [step["filter"] for step in found["counts"]] == found["config"]["order"] == WITH_IT
    assert found["config"]["too_short"] == {"least_seconds": 1.0}


def test_its_settings_are_a_section_under_its_name(installed: Path, out: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("too_short:\n  least_seconds: 0.4\n")
    assert merrflow("curate", "--out", out, "--config", own, path=installed).returncode == 0
    assert json.loads((out / "curation.json").read_text())["kept"] == ["long", "short"]
    own.write_text("seed: 1\ntoo_short:\n  least_seconds: -1\n")
    said = refused("curate", "--out", out, "--config", own, path=installed)
    assert f"{own}, line 3: too_short least_seconds: " in said
    own.write_text("order: [exact, too_long]\n")
    said = refused("curate", "--out", out, "--config", own, path=installed)
    assert f"{own}, line 1: " in said
    assert f"'too_long' is not a filter; the filters are: {', '.join([*ORDER, 'too_short'])}" in said


def test_without_it_its_section_is_named_with_line_and_known_filters(out: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("seed: 1\ntoo_short:\n  least_seconds: 0.4\n")
    said = refused("curate", "--out", out, "--config", own, path=tmp_path)
    assert f"{own}, line 2: too_short: unknown key" in said
    assert ", ".join(ORDER) in said


def test_help_lists_it_and_the_printed_file_has_it(installed: Path, out: Path, tmp_path: Path) -> None:
    said = merrflow("curate", "--help", path=installed).stdout
    listed = [line.split()[0] for line in said.splitlines() if line.split()[:1] and line.split()[0] in WITH_IT]
    assert listed == WITH_IT
    assert "the clip is shorter than `least_seconds`" in said
    own = tmp_path / "own.yaml"
    own.write_text(merrflow("curate", "--print-config", path=installed).stdout)
    assert own.read_text().endswith("too_short:\n  least_seconds: 1.0\n")
    assert merrflow("curate", "--out", out, "--config", own, path=installed).returncode == 0
    assert json.loads((out / "curation.json").read_text())["config"]["order"] == WITH_IT


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, [*ORDER[:-2], "one", *ORDER[-2:]]),  # before the filters that balance labels
        ({"one": "balances = True"}, [*ORDER, "one"]),
        ({"one": "after = 'exact'", "two": "after = 'one'"}, [*TO_EXACT, "one", "two", *ORDER[len(TO_EXACT) :]]),
        ({"one": "after = 'exact'", "two": "after = 'exact'"}, [*TO_EXACT, "one", "two", *ORDER[len(TO_EXACT) :]]),
    ],
)
def test_its_place(tmp_path: Path, more: dict[str, str], expected: list[str]) -> None:
    for name in [one for one in ("one", "two") if one in expected]:
        source = EMPTY.format(name="Empty", filter=name, more=more.get(name, ""))
        plant(tmp_path / "site", f"acme_{name}", GROUP, {name: f"acme_{name}:Empty"}, source)
    with importable(tmp_path / "site", "acme_one", "acme_two"):
        assert list(packaged().order) == expected
        assert [type(one).__name__ for one in packaged().filters()].count("Empty") == len(expected) - len(ORDER)


@pytest.mark.parametrize(
    ("point", "source", "said"),
    [
        ("odd", "import nowhere", "cannot be imported from 'acme:Odd': ModuleNotFoundError: No module named 'nowhere'"),
        ("odd", "", "cannot be imported from 'acme:Odd': AttributeError: module 'acme' has no attribute 'Odd'"),
        ("odd", "raise SystemExit('no licence')", "cannot be imported from 'acme:Odd': SystemExit: no licence"),
        ("odd", "Odd = 5", "cannot be used: 'acme:Odd' is not a subclass of merrflow.datasets.curation.base.Filter"),
        ("odd", "from merrflow.datasets.curation import Filter as Odd", "'acme:Odd' does not define judge"),
        ("odd", EMPTY.format(name="Odd", filter="even", more=""), "calls itself 'even'"),
        ("odd", EMPTY.format(name="Odd", filter="odd", more="about = None"), "does not define about"),
        (
            "odd",
            EMPTY.format(name="Odd", filter="odd", more="after = 'none'"),
            "runs after 'none', which is not a filter",
        ),
        ("odd", EMPTY.format(name="Odd", filter="odd", more="after = 'odd'"), "'acme:Odd' runs after itself"),
        ("odd", EMPTY.format(name="Odd", filter="odd", more="rules_type = dict"), "is not a subclass of"),
        ("odd", EMPTY.format(name="Odd", filter="odd", more="rules_type = None"), "has a rules_type that is not a sub"),
        (
            "odd",
            EMPTY.format(name="Odd", filter="odd", more="after = ['exact']"),
            "runs after ['exact']; the name of one",
        ),
        ("no", EMPTY.format(name="Odd", filter="no", more=""), "or that YAML takes for a value"),
        ("odd", EMPTY.format(name="Odd", filter="odd", more="balances = 5"), "says balances = 5; True or False"),
        (
            "odd",
            EMPTY.format(name="Odd", filter="odd", more="about = 'a\\nb'"),
            "other than one line of text",
        ),
        ("odd", "raise GeneratorExit", "cannot be imported from 'acme:Odd': GeneratorExit"),
        ("odd", "class Own(BaseException): pass\nraise Own('no')", "cannot be imported from 'acme:Odd': Own: no"),
        ("seed", EMPTY.format(name="Odd", filter="seed", more=""), "has the name of another part of curation.yaml"),
        ("exact", EMPTY.format(name="Odd", filter="exact", more=""), "has the name of a built-in filter"),
        ("Odd one", EMPTY.format(name="Odd", filter="Odd one", more=""), "small letters"),
    ],
)
def test_one_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, point: str, source: str, said: str) -> None:
    site = plant(tmp_path / "site", "acme", GROUP, {point: "acme:Odd"}, source)
    with importable(site, "acme"), pytest.raises(InputError) as error:
        load_config()
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"the filter {point!r} of acme 1.0 ")
    assert said in line


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_it_raises_while_it_judges_names_it_in_one_line(out: Path, tmp_path: Path, dry_run: bool) -> None:
    source = EMPTY.format(name="Odd", filter="odd", more="").replace("return Verdict({})", "raise ValueError('a\\nb')")
    site = plant(tmp_path / "site", "acme", GROUP, {"odd": "acme:Odd"}, source)
    with importable(site, "acme"), pytest.raises(InputError) as error:
        curate(out, load_config(), dry_run=dry_run)
    assert str(error.value) == "the filter 'odd' of acme 1.0 failed: ValueError: a b"
    assert not (out / "curation.json").exists()


RULES = """
from typing import Any
from pydantic import Field, model_validator
from merrflow.datasets.curation import Filter, FilterRules, Verdict

class Own(FilterRules):
    {body}

class Odd(Filter):
    name = "odd"
    about = "nothing"
    rules_type = Own

    def judge(self, clips):
        return Verdict({{}})
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("_check = model_validator(mode='after')(lambda self: 1 / 0)", "ZeroDivisionError: division by zero"),
        ("a: int = Field(default_factory=lambda: 1 / 0)", "ZeroDivisionError: division by zero"),
        ("a: 'Nowhere' = 1", "PydanticUserError"),
        ("def labels(self): return [1, 2]", "TypeError"),
        ("def labels(self): return [((), 5)]", "names the label 5 at (); a text and a tuple are wanted"),
        ("a: float = float('nan')", "ValueError: Out of range float values are not JSON compliant"),
        ("a: Any = object()", "PydanticSerializationError"),
        ("a: str = '\\udcff'", "UnicodeEncodeError"),
        ("a: bytes = b'\\xff'", "UnicodeDecodeError"),
    ],
)
def test_settings_that_cannot_be_used_name_it_in_one_line(tmp_path: Path, body: str, said: str) -> None:
    site = plant(tmp_path / "site", "acme", GROUP, {"odd": "acme:Odd"}, RULES.format(body=body))
    with importable(site, "acme"), pytest.raises(InputError) as error:
        load_config()
    (line,) = str(error.value).splitlines()
    assert line.startswith("the filter 'odd' of acme 1.0 ") and said in line


def test_what_it_prints_is_not_among_the_results(out: Path, tmp_path: Path) -> None:
    source = "print('hello')\n" + EMPTY.format(name="Odd", filter="odd", more="")
    source = source.replace("return Verdict", "print('good bye'); return Verdict")
    site = plant(tmp_path / "site", "acme", GROUP, {"odd": "acme:Odd"}, source)
    ended = merrflow("curate", "--out", out, "--json", path=site)
    assert json.loads(ended.stdout)["kept"] == 2 and "hello" in ended.stderr and "good bye" in ended.stderr


ALONE = """
from merrflow.datasets.curation import ClipFilter

class Odd(ClipFilter):
    name = "odd"
    about = "nothing"

    def knows(self, clip):
        return True

    def reason(self, clip):
        return {reason}
"""


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("None", "judge() returned None, not a Verdict with a mapping of clips to reasons"),
        ("Verdict(['long'])", "judge() returned Verdict(drops=['long'], unjudged=0), not a Verdict with a mapping"),
        ("Verdict({'gone': 'no'})", "judge() drops 'gone', which it was not shown"),
        ("Verdict({5: 'no'})", "judge() drops 5, which it was not shown"),
        ("Verdict({'long': None})", "the reason why 'long' is dropped is None; a sentence is wanted"),
        ("Verdict({'long': ' '})", "the reason why 'long' is dropped is ' '; a sentence is wanted"),
        ("Verdict({'long': '\\ud800'})", "the reason why 'long' is dropped is '\\ud800'; a sentence is wanted"),
        ("Verdict({}, -1)", "judge() says that it did not judge -1 of 2 clips"),
        ("Verdict({}, 3)", "judge() says that it did not judge 3 of 2 clips"),
        ("Verdict({}, 0.5)", "judge() says that it did not judge 0.5 of 2 clips"),
    ],
)
def test_a_verdict_that_is_none_names_it_in_one_line(out: Path, tmp_path: Path, verdict: str, said: str) -> None:
    source = EMPTY.format(name="Odd", filter="odd", more="").replace("Verdict({})", verdict)
    assert said in failed(source, out, tmp_path)


@pytest.mark.parametrize("reason", ["5", "False", "['no']"])
def test_a_reason_that_is_no_sentence_names_it_in_one_line(out: Path, tmp_path: Path, reason: str) -> None:
    assert f"is dropped is {reason}; a sentence is wanted" in failed(ALONE.format(reason=reason), out, tmp_path)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("def __init__(self, rules, shared): raise ValueError('no')", "ValueError: no"),
        ("needs_sharpness = property(lambda self: 1 / 0)", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_it_raises_before_it_judges_names_it_in_one_line(out: Path, tmp_path: Path, more: str, said: str) -> None:
    assert said in failed(EMPTY.format(name="Odd", filter="odd", more=more), out, tmp_path)


def failed(source: str, out: Path, tmp_path: Path) -> str:
    """What curation with this filter says; nothing is written."""
    site = plant(tmp_path / "site", "acme", GROUP, {"odd": "acme:Odd"}, source)
    with importable(site, "acme"), pytest.raises(InputError) as error:
        curate(out, load_config())
    (line,) = str(error.value).splitlines()
    assert line.startswith("the filter 'odd' of acme 1.0 failed: ")
    assert not (out / "curation.json").exists()
    return line


def test_the_command_says_so_and_writes_nothing(out: Path, tmp_path: Path) -> None:
    site = plant(tmp_path / "site", "acme", GROUP, {"odd": "acme:Odd"}, "import nowhere")
    line = refused("curate", "--out", out, path=site)
    assert line.startswith("merrflow: the filter 'odd' of acme 1.0 cannot be imported")
    assert not (out / "curation.json").exists()


def test_two_of_one_name_are_both_named(out: Path, tmp_path: Path) -> None:
    for name in ("acme", "zenith"):
        site = plant(tmp_path / "site", name, GROUP, {"odd": f"{name}:Odd"})
    line = refused("curate", "--out", out, path=site)
    assert line.endswith(
        "the filter 'odd' of acme 1.0 and that of zenith 1.0 have the same name; uninstall one of them"
    )


def test_help_lists_the_others_beside_one_that_cannot_be_used(tmp_path: Path) -> None:
    plant(tmp_path, "acme_broken", GROUP, {"broken": "acme_broken:Gone"})
    ended = merrflow("curate", "--help", path=tmp_path)
    assert ended.returncode == 0 and "Usage: " in ended.stdout
    said = " ".join(ended.stdout.split())
    assert "overabundance " in said and "broken" in said and "cannot be imported from 'acme_broken:Gone'" in said


def test_help_names_two_of_one_name(tmp_path: Path) -> None:
    plant(tmp_path, "acme_twin", GROUP, {"overabundance": "acme_twin:Twin"})
    ended = merrflow("curate", "--help", path=tmp_path)
    said = " ".join(ended.stdout.split())
    assert ended.returncode == 0 and "Usage: " in said and "has the name of a built-in" in said
