"""An export format of another distribution: built, installed, found by entry point and used by the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.datasets.export.export import Exported, export
from merrflow.datasets.export.registry import BUILT_IN, GROUP, make_format
from merrflow.store import existing_ledger
from tests.forks import merrflow
from tests.orchestrator.datasets.report.runs import record, run
from tests.plugins.installing import importable, install, plant, refused

EMPTY = """
from merrflow.datasets.export import Format

class {name}(Format):
    name = "{format}"
    about = "nothing"

    def writer(self, target):
        raise NotImplementedError
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(Path(__file__).parent / "export", tmp_path_factory.mktemp("export"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished run of two clips, one of them without a fine-grained description."""
    run(tmp_path / "out", [record("a"), record("b", reasoning=None)]).close()
    return tmp_path / "out"


def test_the_command_writes_it(installed: Path, out: Path) -> None:
    ended = merrflow("export", "--out", out, "--format", "captions", path=installed)
    assert ended.returncode == 0, ended.stderr
    assert "1 record as captions; left out: 1 (no fine-grained description)" in ended.stdout
    file = out / "export" / "captions" / "captions.txt"
    assert file.read_text() == "a: The smile and the bright voice tell of joy.\n"
    ended = merrflow("export", "--out", out, "--format", "captions", "--option", "upper=yes", path=installed)
    assert ended.returncode == 0, ended.stderr
    assert file.read_text() == "a: THE SMILE AND THE BRIGHT VOICE TELL OF JOY.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--option", "upper=perhaps"], "the format captions, option upper: Input should be a valid boolean"),
        (["--option", "lower=yes"], "the format captions has no option 'lower' (it has: upper)"),
        (["--option", "upper"], "--option upper: give an option and its value"),
        (["--option", "upper=1", "--option", "upper=0"], "upper is given twice"),
        (["--split", "test=0.1"], "has no option 'split' (it has: upper), which is for huggingface"),
    ],
)
def test_options_that_it_does_not_take(installed: Path, out: Path, arguments: list[str], said: str) -> None:
    assert said in refused("export", "--out", out, "--format", "captions", *arguments, path=installed)


def test_help_and_the_error_for_an_unknown_format_list_it(installed: Path, out: Path) -> None:
    said = merrflow("export", "--help", path=installed).stdout
    formats = [*BUILT_IN, "captions"]
    assert [line.split()[0] for line in said.splitlines() if line.split()[:1] and line.split()[0] in formats] == formats
    assert "a text file with a caption a line. Options: upper (in capital letters)" in said
    line = refused("export", "--out", out, "--format", "subtitles", path=installed)
    assert line.endswith(f"the format 'subtitles' is not known; there are: {', '.join(formats)}")


@pytest.mark.parametrize(
    ("point", "source", "said"),
    [
        ("odd", "import nowhere", "cannot be imported from 'acme:Odd': ModuleNotFoundError: No module named 'nowhere'"),
        ("odd", "raise SystemExit('no licence')", "cannot be imported from 'acme:Odd': SystemExit: no licence"),
        ("odd", EMPTY.format(name="Odd", format="odd") + "    options_type = None", "has an options_type that is not"),
        (
            "odd",
            "from merrflow.datasets.export import FormatOptions\n"
            "class Level(FormatOptions):\n    level: int\n"
            + EMPTY.format(name="Odd", format="odd")
            + "    options_type = Level",
            "cannot be used: 'acme:Odd' has options without a default: level",
        ),
        ("odd", "Odd = 5", "cannot be used: 'acme:Odd' is not a subclass of merrflow.datasets.export.format.Format"),
        ("odd", "from merrflow.datasets.export import Format as Odd", "'acme:Odd' does not define writer"),
        ("odd", EMPTY.format(name="Odd", format="even"), "calls itself 'even'"),
        ("../odd", EMPTY.format(name="Odd", format="../odd"), "small letters"),
        ("csv", EMPTY.format(name="Odd", format="csv"), "has the name of a built-in export format"),
    ],
)
def test_one_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, point: str, source: str, said: str) -> None:
    site = plant(tmp_path / "site", "acme", GROUP, {point: "acme:Odd"}, source)
    with importable(site, "acme"), pytest.raises(InputError) as error:
        make_format(point, {})
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"the export format {point!r} of acme 1.0 ")
    assert said in line


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('a\\nb')", "ValueError: a b"),
        ("return None", "TypeError: "),
        ("return Odd.Bad()", "ZeroDivisionError: division by zero"),
        ("return Odd.Late()", "OSError: the socket is gone"),
    ],
)
def test_what_it_raises_while_it_writes_names_it_in_one_line(out: Path, tmp_path: Path, body: str, said: str) -> None:
    source = EMPTY.format(name="Odd", format="odd").replace("raise NotImplementedError", body)
    source += "\n    class Bad(__import__('merrflow.datasets.export', fromlist=['Writer']).Writer):\n"
    source += "        def add(self, entry): return 1 / 0\n"
    source += "    class Late(Bad):\n"
    source += "        def add(self, entry): return ''\n"
    source += "        def __exit__(self, *error): raise OSError('the socket is gone')\n"
    site = plant(tmp_path / "site", "acme", GROUP, {"odd": "acme:Odd"}, source)
    with importable(site, "acme"), pytest.raises(InputError) as error:
        ledger = existing_ledger(out)
        try:
            export(ledger, out, "odd")
        finally:
            ledger.close()
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"the export format 'odd' of acme 1.0 failed: {said}")
    assert not (out / "export" / "odd").exists()


WRITES = """
from merrflow.datasets.export import Format, Writer

class Lines(Writer):
    def add(self, entry):
        {add}

    def finish(self):
        {finish}

class Odd(Format):
    name = "odd"
    about = "nothing"

    def writer(self, target):
        return Lines()
"""


def written(out: Path, site: Path, add: str, finish: str) -> Exported:
    plant(site, "acme", GROUP, {"odd": "acme:Odd"}, WRITES.format(add=add, finish=finish))
    ledger = existing_ledger(out)
    try:
        with importable(site, "acme"):
            return export(ledger, out, "odd")
    finally:
        ledger.close()


@pytest.mark.parametrize(
    ("add", "finish", "said"),
    [
        ("return 7", "return ()", "returns int from `add`, not text"),
        ("return False", "return ()", "returns bool from `add`, not text"),
        ("return ''", "return 'written'", "returns something other than a tuple of texts from `finish`"),
        ("return ''", "return ['written', 2]", "returns something other than a tuple of texts from `finish`"),
        ("return ''", "return ''", "returns something other than a tuple of texts from `finish`"),
    ],
)
def test_what_it_returns_is_checked(out: Path, tmp_path: Path, add: str, finish: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        written(out, tmp_path / "site", add, finish)
    assert str(error.value) == f"the export format 'odd' of acme 1.0 cannot be used: 'acme:Odd' {said}"
    assert not (out / "export" / "odd").exists()


@pytest.mark.parametrize(
    ("add", "finish", "remarks"),
    [("pass", "pass", ()), ("return ''", "return ['a', 'b']", ("a", "b")), ("return ''", "yield 'a'", ("a",))],
)
def test_what_it_may_return(out: Path, tmp_path: Path, add: str, finish: str, remarks: tuple[str, ...]) -> None:
    done = written(out, tmp_path / "site", add, finish)
    assert (done.records, done.remarks) == (2, remarks)


def test_one_that_cannot_be_imported_is_no_obstacle_to_the_others(out: Path, tmp_path: Path) -> None:
    site = plant(tmp_path / "site", "acme", GROUP, {"odd": "acme:Odd"}, "import nowhere")
    line = refused("export", "--out", out, "--format", "odd", path=site)
    assert line.startswith("merrflow: the export format 'odd' of acme 1.0 cannot be imported")
    assert not (out / "export").exists()
    assert merrflow("export", "--out", out, "--format", "csv", path=site).returncode == 0


def test_two_of_one_name_are_both_named(out: Path, tmp_path: Path) -> None:
    for name in ("acme", "zenith"):
        site = plant(tmp_path / "site", name, GROUP, {"odd": f"{name}:Odd"})
    line = refused("export", "--out", out, "--format", "csv", path=site)
    assert line.endswith(
        "the export format 'odd' of acme 1.0 and that of zenith 1.0 have the same name; uninstall one of them"
    )


def test_help_lists_the_others_beside_one_that_cannot_be_used(tmp_path: Path) -> None:
    plant(tmp_path, "acme_broken", GROUP, {"broken": "acme_broken:Gone"})
    ended = merrflow("export", "--help", path=tmp_path)
    assert ended.returncode == 0 and "Usage: " in ended.stdout
    said = " ".join(ended.stdout.split())
    assert "csv " in said and "broken" in said and "cannot be imported from 'acme_broken:Gone'" in said


def test_help_names_two_of_one_name(tmp_path: Path) -> None:
    plant(tmp_path, "acme_twin", GROUP, {"csv": "acme_twin:Twin"})
    ended = merrflow("export", "--help", path=tmp_path)
    said = " ".join(ended.stdout.split())
    assert ended.returncode == 0 and "Usage: " in said and "has the name of a built-in" in said


ENDS = """
import contextlib, os
from merrflow.datasets.export import Format, FormatOptions, Writer

class Lines(Writer):
    folder = None

    def add(self, entry):
        {add}
        return ""

    def finish(self):
        {finish}

    def __exit__(self, *error):
        {end}

class Own(FormatOptions):
    {options}

class Odd(Format):
    name = "odd"
    about = "nothing"
    options_type = Own

    def writer(self, target):
        made = Lines()
        made.folder = target.folder
        return made
"""
FINE = {"add": "pass", "finish": "return ()", "end": "pass", "options": "pass"}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"add": "1 / 0", "end": "return True"}, "failed: ZeroDivisionError: division by zero"),
        ({"finish": "1 / 0", "end": "return True"}, "failed: ZeroDivisionError: division by zero"),
        ({"finish": "1 / 0", "end": "raise OSError('gone')"}, "failed: OSError: gone"),
        ({"finish": "os.mkfifo(self.folder / 'pipe')"}, "leaves something that is no file: 'pipe'"),
        ({"finish": "(self.folder / 'link').symlink_to('nowhere')"}, "leaves something that is no file: 'link'"),
        ({"finish": "(self.folder / '\\udcff').touch()"}, "leaves a file whose name is not valid Unicode"),
        ({"finish": "self.folder.rmdir()"}, "removes the folder that it writes into"),
        ({"options": "a: 'Nowhere' = 1"}, "failed: PydanticUserError"),
    ],
)
def test_whatever_it_does_the_earlier_export_stays(out: Path, tmp_path: Path, parts: dict[str, str], said: str) -> None:
    earlier = out / "export/odd"
    plant(
        tmp_path / "a",
        "acme",
        GROUP,
        {"odd": "acme:Odd"},
        ENDS.format(**FINE | {"finish": "(self.folder / 'a').touch()"}),
    )
    plant(tmp_path / "b", "acme", GROUP, {"odd": "acme:Odd"}, ENDS.format(**FINE | parts))
    ledger = existing_ledger(out)
    try:
        with importable(tmp_path / "a", "acme"):
            export(ledger, out, "odd")
        with importable(tmp_path / "b", "acme"), pytest.raises(InputError) as error:
            export(ledger, out, "odd")
    finally:
        ledger.close()
    (line,) = str(error.value).splitlines()
    assert line.startswith("the export format 'odd' of acme 1.0 ") and said in line
    assert sorted(path.name for path in earlier.iterdir()) == [".merrflow-export.json", "a"]
    assert not list(earlier.parent.glob(".odd.part"))
