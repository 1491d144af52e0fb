"""Model files that are missing, cut short, of another version or made to do harm: one sentence, and what to do."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from merrflow_openface_au.engines.openface_predictors.model_files import fingerprint, read_model_files
from merrflow_serving.errors import NotReady
from tests.services.openface_au.predictor_files import VALUES, predictor_bytes, write

REAL = Path(__file__).resolve().parents[4] / "shared" / "openface-models"
PREDICTOR, SHAPES = "svr_combined/AU_12_1.dat", "In-the-wild_aligned_PDM_68.txt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "models")


def test_a_whole_folder_is_read(folder: Path) -> None:
    files = read_model_files(folder)
    assert files.action_units == ("AU06", "AU12", "AU28")
    assert [one.cutoff for one in files.predictors] == [None, None, 0.5, None, None]
    assert files.shapes.modes.shape == (204, 34) and files.triangles.shape == (27, 3)


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    return edit(name, lambda content: content.decode().replace(old, new, 1).encode())


HUGE = struct.pack("<i", 0) + struct.pack("<3i", 2**31 - 1, 2**31 - 1, 6)
FAULTS = {
    "nothing there": (lambda folder: shutil.rmtree(folder), "AU_all_best.txt"),
    "half of them missing": (lambda folder: shutil.rmtree(folder / "svm_combined"), "svm_combined/AU_6_4.dat"),
    "no triangulation": (lambda folder: (folder / "tris_68_full.txt").unlink(), "tris_68_full.txt"),
    "cut short": (edit(PREDICTOR, lambda content: content[:5000]), "ends after 5000 bytes"),
    "empty": (edit(PREDICTOR, lambda content: b""), "ends after 0 bytes"),
    "longer": (edit(PREDICTOR, lambda content: content + b"12345678"), "8 bytes more"),
    "huge counts": (edit(PREDICTOR, lambda content: HUGE), "2147483647 x 2147483647"),
    "negative counts": (edit(PREDICTOR, lambda content: struct.pack("<4i", 0, -1, -1, 6)), "-1 x -1"),
    "a huge file": (edit(PREDICTOR, lambda content: bytes(3 << 20)), "more than"),
    "another kind": (edit(PREDICTOR, lambda content: struct.pack("<i", 2) + content[4:]), "kind 2"),
    "other features": (edit(PREDICTOR, lambda content: predictor_bytes(0, np.ones(VALUES - 1))), f"1 x {VALUES - 1}"),
    "not a number": (edit(PREDICTOR, lambda content: predictor_bytes(0, np.full(VALUES, np.nan))), "not finite"),
    "a cutoff of 7": (edit(PREDICTOR, lambda content: predictor_bytes(1, np.ones(VALUES), cutoff=7.0)), "cutoff is 7"),
    "infinite bias": (edit(PREDICTOR, lambda content: predictor_bytes(0, np.ones(VALUES), bias=np.inf)), "no bias"),
    "no classes": (edit("svm_combined/AU_6_4.dat", lambda content: content[:-16] + bytes(16)), "two classes"),
    "a list of paths": (replaced("AU_all_best.txt", "svr_combined/AU_6_0", "../svr_combined/AU_6_0"), "line 1"),
    "an absolute path": (replaced("AU_all_best.txt", "svr_combined/AU_6_0", "/etc/AU_6_0"), "line 1"),
    "an older list": (replaced("AU_all_best.txt", "svm_combined/AU_12_5.dat AU12", ""), "no presence"),
    "a list twice": (replaced("AU_all_best.txt", "AU12", "AU06"), "two predictors"),
    "an empty list": (edit("AU_all_best.txt", lambda content: b""), "lists 0"),
    "a list that is no text": (edit("AU_all_best.txt", lambda content: b"\xff\xfe"), "no text"),
    "fewer points": (replaced(SHAPES, "204\n1\n6", "3\n1\n6"), "a matrix with its size"),
    "a huge matrix": (replaced(SHAPES, "204\n1\n6", "999999\n999999\n6"), "999999 x 999999"),
    "more digits than a number has": (replaced(SHAPES, "204\n1\n6", "9" * 5000 + "\n1\n6"), "a matrix with its size"),
    "a word in a row": (replaced(SHAPES, "400", "four"), "no number"),
    "no variance": (replaced(SHAPES, "\n400 ", "\n0 "), "not above 0"),
    "a model cut short": (edit(SHAPES, lambda content: content[:20000]), "row"),
    "corners of no triangle": (replaced("tris_68_full.txt", "30 0 1", "30 0 68"), "no triangulation"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_sentence_with_the_file_and_what_to_do(folder: Path, name: str) -> None:
    damage, said = FAULTS[name]
    damage(folder)
    with pytest.raises(NotReady) as caught:
        read_model_files(folder)
    text = str(caught.value)
    assert said in text and str(folder) in text and "merrflow models pull openface-predictors" in text
    assert "\n" not in text and len(text) < 600
    assert caught.value.reason in ("MODEL_MISSING", "MODEL_DAMAGED")


def test_the_fingerprint_changes_with_any_file(folder: Path) -> None:
    before = fingerprint(folder)
    edit(PREDICTOR, lambda content: content[:-1] + bytes([content[-1] ^ 1]))(folder)
    assert len(before) == 64 and fingerprint(folder) not in ("", before)
    shutil.rmtree(folder)
    assert fingerprint(folder) == ""


def test_openfaces_own_files_are_read() -> None:
    if not REAL.is_dir():
        pytest.skip("no OpenFace model files in ../shared")
    files = read_model_files(REAL)
    assert len(files.action_units) == 18 and len(files.predictors) == 35
    assert {one.action_unit for one in files.predictors if not one.is_presence} == set(files.action_units) - {"AU28"}
