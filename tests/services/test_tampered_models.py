"""Model files in packages, changed after installation: refused by each engine in a line that says what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from merrflow.core.errors import InputError
from merrflow_llama3.gguf_files import PACKAGED
from merrflow_minigpt_v2.engines.measured.people import HAND_LANDMARKER
from merrflow_minigpt_v2.engines.measured.persons import PERSON_DETECTOR
from merrflow_qwen_audio.engines.acoustics.vad import MODEL_FILE
from merrflow_serving.__main__ import load_spec, read_settings
from merrflow_serving.errors import NotReady
from merrflow_serving.media.ocr import DETECTION, RECOGNITION, TextReader
from merrflow_serving.packaged import FACE_LANDMARKER, MISMATCH, PackagedFile
from tests.orchestrator.fakes import fake_services, make_video
from tests.orchestrator.pipeline.test_pipeline import annotate

USES = [
    ("openface-au", FACE_LANDMARKER),
    ("minigpt-v2", FACE_LANDMARKER),
    ("minigpt-v2", HAND_LANDMARKER),
    ("minigpt-v2", PERSON_DETECTOR),
    ("minigpt-v2", DETECTION),
    ("minigpt-v2", RECOGNITION),
    ("qwen-audio", MODEL_FILE),
    ("llama3", PACKAGED),
]


def flipped(path: Path) -> None:
    """One bit in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


TAMPERED: dict[str, Callable[[Path], object]] = {
    "a bit flipped": flipped,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "empty": lambda path: path.write_bytes(b""),
    "no model": lambda path: path.write_bytes(b"<html>moved</html>" * 1000),
}


@contextmanager
def installed(file: PackagedFile, site: Path, change: Callable[[Path], object]) -> Iterator[Path]:
    """The package as if it was installed with this file changed, in another folder: the real one stays as it is."""
    path = site / file.file
    path.parent.mkdir(parents=True)
    for one in {one for _, one in USES if one.package == file.package}:
        shutil.copyfile(one.find(), site / one.file)
    change(path)
    info = site / f"{file.package.replace('-', '_')}-{file.version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {file.package}\nVersion: {file.version}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", str(site))  # for engines that work in a process of their own
        yield path


def assert_says_what_to_do(error: Exception, path: Path, file: PackagedFile) -> None:
    said = str(error)
    assert str(path) in said and f"{file.package}=={file.version} --force-reinstall" in said and "\n" not in said


@pytest.mark.parametrize("how", TAMPERED)
@pytest.mark.parametrize(("service", "file"), USES, ids=lambda value: getattr(value, "package", value))
def test_an_engine_refuses_a_changed_file(tmp_path: Path, service: str, file: PackagedFile, how: str) -> None:
    spec = load_spec(service)
    engine = spec.make_engine(read_settings(spec))
    with installed(file, tmp_path, TAMPERED[how]) as path:
        engine.info()  # a run asks for it before the engine is loaded
        with pytest.raises(NotReady) as caught:
            engine.load()
    assert caught.value.reason == MISMATCH
    assert_says_what_to_do(caught.value, path, file)


@pytest.mark.parametrize("file", [DETECTION, RECOGNITION], ids=["detection", "recognition"])
async def test_a_run_refuses_changed_models_for_subtitles(tmp_path: Path, file: PackagedFile) -> None:
    """They are read by the run itself, and another model would make every subtitle anew without a word."""
    make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        with installed(file, tmp_path / "site", flipped) as path:
            with pytest.raises(NotReady):
                TextReader().detect(np.zeros((64, 64, 3), np.uint8))
            with pytest.raises(InputError) as caught:
                await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
            assert_says_what_to_do(caught.value, path, file)


def test_a_package_that_is_needed_as_a_whole_is_installed_as_a_whole() -> None:
    assert DETECTION.install == "pip install rapidocr==3.10.0"
    with pytest.raises(NotReady, match="pip install no-such-package==3.10.0"):
        replace(DETECTION, package="no-such-package").path()
