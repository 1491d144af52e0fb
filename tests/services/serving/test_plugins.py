"""Plug-ins that cannot be used: each is reported in one line that names the distribution at fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from merrflow_serving import __main__ as command
from merrflow_serving import plugins
from merrflow_serving.describe import describe
from merrflow_serving.errors import EngineFault, InvalidInput, NotReady
from merrflow_serving.service import Service
from tests.services.serving.toy import SPEC

ENGINE = """
from grpc import StatusCode
from merrflow_serving import EngineInfo, InvalidInput, Limits

class Good:
    def __init__(self, settings): self.settings = settings
    def load(self): pass
    def run(self, batch): return [str(item) for item in batch]
    def close(self): pass
    def info(self): return EngineInfo("good", "acme", "1")

class Half:
    def __init__(self, settings): pass
    def load(self): pass
    def info(self): return None

class Picky(Good):
    def __init__(self, settings): raise ValueError("no luck\\ntoday")

class Leaving(Good):
    def __init__(self, settings): raise SystemExit(3)

class Mute(Good):
    def info(self): raise ValueError("no model")

class Vague(Good):
    def info(self): return EngineInfo("vague", 7, "1")

class Endless(Good):
    def info(self): return EngineInfo("endless", "acme", "1", limits=Limits(max_batch_size="many"))

class Unwritable(Good):
    def info(self): return EngineInfo("odd", "\\ud800", "1")

class Speechless(Exception):
    def __str__(self): raise ValueError

class Silent(Good):
    def __init__(self, settings): raise Speechless

class Sideways(Good):
    lanes = 0

class Unloadable(Good):
    def load(self): raise ValueError("no file")

class Failing(Good):
    def run(self, batch): raise SystemExit(3)

class Short(Good):
    def run(self, batch): return []

class Lost(Good):
    def run(self, batch): return None

class Numbers(Good):
    def run(self, batch): return [5 for item in batch]

class Adrift(Good):
    def endpoint(self): return "http://x"

class Stranded(Good):
    def endpoint(self): raise RuntimeError("no address")

class Forgetful(Good):
    def memory(self): return {"used_bytes": 1}

class Greedy(Good):
    def need(self): raise ValueError("no plan")

class Needless(Good):
    def need(self): return -1

class Garbled(Good):
    def run(self, batch): return [InvalidInput("two\\nlines \\udcff") for item in batch]

class Untrue(Good):
    def run(self, batch): return [InvalidInput("hm", code=StatusCode.OK) for item in batch]

class Late(Good):
    calls = 0
    def run(self, batch):
        self.calls += 1
        return ["text" if self.calls == 1 else 5 for item in batch]

class Nameless(Good):
    def info(self): return None

def absent(settings):
    from merrflow_serving import NotReady
    raise NotReady("acme.bin is missing: pip install acme-model")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a distribution with one entry point."""
    (tmp_path / "acme_engine.py").write_text(ENGINE)
    (tmp_path / "acme_gone_generator.py").write_text("raise GeneratorExit")
    (tmp_path / "acme_exit.py").write_text("raise SystemExit('no licence')")
    monkeypatch.syspath_prepend(tmp_path)

    def install(distribution: str, name: str, value: str = "acme_engine:Good", group: str = plugins.GROUP) -> None:
        folder = tmp_path / f"{distribution.replace('-', '_')}-0.1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")

    return install


def refused(engine: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        SPEC.make_engine(SPEC.settings(engine=engine))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plug_in_gets_the_services_settings(install) -> None:
    install("acme-good", "qwen-audio.good")
    settings = SPEC.settings(engine="good")
    assert SPEC.make_engine(settings).settings is settings
    assert plugins.problems(SPEC.name, SPEC.engines) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "acme_gone:Engine",
            "cannot be imported from 'acme_gone:Engine': ModuleNotFoundError: No module named 'acme_gone'",
        ),
        (
            "acme_engine:Gone",
            "cannot be imported from 'acme_engine:Gone': AttributeError: module 'acme_engine' has no attribute 'Gone'",
        ),
        ("acme_engine:Picky", "cannot be created by 'acme_engine:Picky': ValueError: no luck today"),
        ("acme_exit:Engine", "cannot be imported from 'acme_exit:Engine': SystemExit: no licence"),
        (
            "acme_gone_generator:Engine",
            "cannot be imported from 'acme_gone_generator:Engine': GeneratorExit",
        ),
        ("acme_engine:Silent", "cannot be created by 'acme_engine:Silent': Speechless: it cannot say how"),
        ("acme_engine:Sideways", "has 0 lanes; a whole number from 1 on is wanted"),
        ("acme_engine:Vague", "cannot say what it is: its info() says model=7; a text is wanted"),
        (
            "acme_engine:Endless",
            "cannot say what it is: its info() says limits.max_batch_size='many'; "
            "a number from 0 to 4294967295 is wanted",
        ),
        (
            "acme_engine:Unwritable",
            "cannot say what it is: its info() says model='\\ud800', which is not valid Unicode",
        ),
        ("acme_engine:Leaving", "cannot be created by 'acme_engine:Leaving': SystemExit: 3"),
        ("acme_engine:Mute", "cannot say what it is: its info() raised ValueError: no model"),
        ("acme_engine:Nameless", "cannot say what it is: its info() returned NoneType, not EngineInfo"),
        ("acme_engine:Half", "is not an engine: Half has no run() and no close()"),
    ],
)
def test_one_that_cannot_be_made_is_named_with_the_error(install, value: str, message: str) -> None:
    install("acme-bad", "qwen-audio.bad", value)
    assert refused("bad") == f"the engine plug-in qwen-audio.bad of acme-bad 0.1.0 {message}"
    assert SPEC.make_engine(SPEC.settings()), "the service's own engines do not need it"


def test_what_an_engine_itself_says_is_kept(install) -> None:
    install("acme-absent", "qwen-audio.absent", "acme_engine:absent")
    with pytest.raises(NotReady, match="^acme.bin is missing: pip install acme-model$"):
        SPEC.make_engine(SPEC.settings(engine="absent"))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Unloadable", "cannot be used: ValueError: no file"),
        ("Failing", "cannot be used: SystemExit: 3"),
        ("Short", "gave 0 results for 1 items"),
        ("Lost", "gave no list of results, but NoneType"),
        ("Numbers", "gave int for this input, not str"),
        ("Adrift", "cannot be used: its endpoint() returned 'http://x', not an Endpoint with a host and a Reach"),
        ("Stranded", "cannot be used: its endpoint() raised RuntimeError: no address"),
        ("Forgetful", "cannot be used: its memory() returned {'used_bytes': 1}, not Memory with sizes in bytes"),
        ("Garbled", "cannot be used: two lines \\udcff"),
        ("Untrue", "gave an error of the code <StatusCode.OK: (0, 'ok')>: InvalidInput: hm"),
    ],
)
async def test_one_that_cannot_warm_up_is_named(install, name: str, fault: str) -> None:
    install("acme-bad", "qwen-audio.bad", f"acme_engine:{name}")
    service = Service(SPEC, SPEC.settings(engine="bad"))
    await service.warm_up()
    assert not service.ready
    assert service.problem == f"the engine plug-in qwen-audio.bad of acme-bad 0.1.0 {fault}"
    assert service.describe().problem == service.problem
    assert await service.close()


async def test_one_that_answers_with_something_else_later_is_named(install) -> None:
    install("acme-late", "qwen-audio.late", "acme_engine:Late")
    service = Service(SPEC, SPEC.settings(engine="late"))
    await service.warm_up()
    with pytest.raises(EngineFault, match="^the engine plug-in qwen-audio.late of acme-late 0.1.0 gave int for this"):
        await service.run(b"sound")
    assert await service.close()


@pytest.mark.parametrize(
    ("name", "fault"),
    [("Greedy", "ValueError: no plan"), ("Needless", "its need() returned -1, not a Need of bytes")],
)
def test_one_that_does_not_say_what_it_needs(install, name: str, fault: str) -> None:
    install("acme-bad", "qwen-audio.bad", f"acme_engine:{name}")
    assert fault in describe(SPEC, SPEC.settings(engine="bad"))["problem"]


@pytest.mark.parametrize("file", ["entry_points.txt", "METADATA"])
def test_a_distribution_that_cannot_be_read_is_passed_over(install, tmp_path: Path, file: str, caplog) -> None:
    install("acme-good", "qwen-audio.good")
    install("damaged", "qwen-audio.other")
    (tmp_path / "damaged-0.1.0.dist-info" / file).write_bytes(b"[merrflow.engines]\nName: \xff = no\xff\n\xff")
    assert SPEC.make_engine(SPEC.settings(engine="good")).info().engine == "good"
    if file == "entry_points.txt":
        assert "damaged-0.1.0.dist-info cannot be read, and is passed over" in caplog.text


def test_two_of_one_name_are_both_named(install) -> None:
    install("acme-one", "qwen-audio.good")
    install("acme-two", "qwen-audio.good")
    message = refused("good")
    assert message == (
        "the engine plug-in qwen-audio.good of acme-one 0.1.0 and that of acme-two 0.1.0 have the same name; "
        "uninstall one of them"
    )
    assert plugins.problems(SPEC.name, SPEC.engines) == [message]
    assert SPEC.make_engine(SPEC.settings(engine="toy"))


def test_one_with_the_name_of_a_built_in_engine(install) -> None:
    install("acme-toy", "qwen-audio.toy")
    message = (
        "the engine plug-in qwen-audio.toy of acme-toy 0.1.0 has the name of a built-in engine of qwen-audio; "
        "uninstall or rename it"
    )
    assert refused("toy") == refused("") == message, "never a guess which of the two is meant"
    assert plugins.problems(SPEC.name, SPEC.engines) == [message]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (
            "qwen_audio.good",
            "is for a service that does not exist; the services are: openface-au, minigpt-v2, qwen-audio, llama3, "
            "whisper",
        ),
        ("good", "is not named SERVICE.ENGINE"),
    ],
)
def test_one_for_no_service(install, capsys, name: str, fault: str) -> None:
    install("acme-lost", name)
    message = f"the engine plug-in {name} of acme-lost 0.1.0 {fault}"
    assert refused("good") == f"qwen-audio has no engine 'good'; it has: toy; {message}"
    assert plugins.problems(SPEC.name, SPEC.engines) == [message]
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert f"not usable: {message}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("acme_exit:SPEC", "cannot be imported from 'acme_exit:SPEC': SystemExit: no licence"),
        ("acme_engine:Good", "cannot be used: 'acme_engine:Good' is no ServiceSpec"),
    ],
)
def test_a_service_that_cannot_be_used_is_named(install, capsys, value: str, fault: str) -> None:
    install("acme-laughter", "laughter", value, "merrflow.services")
    assert command.main(["laughter"]) == 2
    assert capsys.readouterr().err == f"merrflow-serve: the service laughter of acme-laughter 0.1.0 {fault}\n"


def test_two_distributions_with_one_service_are_both_named(install, capsys) -> None:
    install("acme-one", "laughter", group="merrflow.services")
    install("acme-two", "laughter", group="merrflow.services")
    assert command.main(["laughter"]) == 2
    said = capsys.readouterr().err
    assert said == "merrflow-serve: the service laughter is in acme-one 0.1.0 and in acme-two 0.1.0; uninstall one\n"
