"""A blurred face is less sharp than the same face in focus, at any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from merrflow.datasets.curation.config import packaged
from merrflow.datasets.curation.curate import curate
from merrflow.datasets.curation.sharpness import face_sharpness
from tests.orchestrator.datasets.curation.corpus import write
from tests.orchestrator.datasets.report.runs import record

BOX = (40.0, 20.0, 120.0, 160.0)


def picture(path: Path, blur: float, scale: float = 1.0) -> Path:
    """Edges as a face has them, in a flat picture."""
    image = np.full((240, 320), 90, np.uint8)
    for x in range(50, 150, 25):
        cv2.rectangle(image, (x, 30), (x + 12, 170), 200, -1)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if blur:
        image = cv2.GaussianBlur(image, (0, 0), blur * scale)
    cv2.imwrite(str(path), image)
    return path


def test_blur_lowers_it_step_by_step(tmp_path: Path) -> None:
    found = [face_sharpness(picture(tmp_path / f"{blur}.png", blur), BOX) for blur in (0, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 20 * found[3]


def test_a_larger_picture_of_the_same_face_is_about_as_sharp(tmp_path: Path) -> None:
    one = face_sharpness(picture(tmp_path / "one.png", 2), BOX)
    double = face_sharpness(picture(tmp_path / "two.png", 2, scale=2.0), tuple(2 * value for value in BOX))
    assert 0.7 < double / one < 1.4


def test_what_cannot_be_seen_is_not_known(tmp_path: Path) -> None:
    there = picture(tmp_path / "there.png", 0)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert face_sharpness(tmp_path / "gone.jpg", BOX) is None
    assert face_sharpness(tmp_path / "broken.jpg", BOX) is None
    assert face_sharpness(there, None) is None
    assert face_sharpness(there, (900.0, 900.0, 10.0, 10.0)) is None


def test_a_run_is_curated_by_its_peak_pictures(tmp_path: Path) -> None:
    first = record("sharp")
    seen = replace(first.peak, box=BOX)
    names = {"sharp": 0.0, "blurred": 6.0}
    write(tmp_path, [replace(first, name=name, sha256=name, peak=seen) for name in names])
    (tmp_path / "peaks").mkdir()
    for name, blur in names.items():
        picture(tmp_path / "peaks" / f"{name}.jpg", blur)
    quality = packaged().quality.model_copy(update={"sharpness": 100.0})
    steps = curate(tmp_path, packaged().model_copy(update={"quality": quality, "order": ("quality",)})).steps
    assert [drop.name for drop in steps[0].drops] == ["blurred"]
