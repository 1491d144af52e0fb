"""The embedded engine as a whole, on real and drawn frames."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from merrflow_minigpt_v2.engines.measured import phrases
from merrflow_minigpt_v2.engines.measured.engine import MeasuredEngine
from merrflow_minigpt_v2.engines.measured.persons import PERSON_DETECTOR
from merrflow_minigpt_v2.service import warmup_item
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_minigpt_v2.types import ContextFrame, Scene, SceneItem
from merrflow_serving.errors import InvalidInput, NotReady, TooLarge
from merrflow_serving.media.video import iter_frames
from tests.services.minigpt_v2.pictures import flat, pattern, person_in_room, person_without_a_face, portrait

CLIPS = Path(__file__).resolve().parents[4] / "shared" / "clips"


@pytest.fixture(scope="module")
def engine():
    made = MeasuredEngine(MiniGptSettings(max_pixels=4_000_000))
    made.load()
    yield made
    made.close()


def one(engine: MeasuredEngine, image: np.ndarray, *context: ContextFrame) -> Scene:
    (result,) = engine.run([SceneItem(image, context)])
    assert isinstance(result, Scene), result
    return result


def values(scene: Scene) -> dict[str, float]:
    return {one.name: one.value for one in scene.measurements}


def test_a_real_face(engine):
    scene = one(engine, portrait())
    assert scene.text.startswith("A person is shown in a ")
    assert values(scene)["faces"] == 1 and 0.05 < values(scene)["face_height"] < 1
    assert "moves" not in scene.text  # without context nothing is said of movement
    assert "camera_speed" not in values(scene)


def test_the_text_follows_the_picture(engine):
    image = portrait()
    height, width = image.shape[:2]
    small = flat(128, 128, 128, (height, width))
    small[height // 4 : height // 4 + height // 2, : width // 2] = cv2.resize(image, (width // 2, height // 2))
    near, far = one(engine, image), one(engine, small)
    assert values(far)["face_height"] == pytest.approx(values(near)["face_height"] / 2, rel=0.15)
    assert values(far)["face_x"] == pytest.approx(values(near)["face_x"] / 2, abs=0.03)
    assert "left of centre" in far.text
    blue = np.clip(image * np.array([0.6, 0.8, 1.3]), 0, 255).astype(np.uint8)
    assert "cool colours" in one(engine, blue).text and values(one(engine, blue))["warmth"] < -4


def test_context_tells_movement_in_whatever_order(engine):
    image = person_in_room()
    still = one(engine, image, ContextFrame(-0.2, image), ContextFrame(0.2, image))
    assert "the camera is still and the person hardly moves" in still.text
    left, right = person_in_room(-30), person_in_room(30)
    moving = one(engine, image, ContextFrame(-0.2, left), ContextFrame(0.2, right))
    mixed = one(engine, image, ContextFrame(0.2, right), ContextFrame(-0.2, left))
    assert "the camera moves slowly and the person" in moving.text
    assert values(moving)["camera_speed"] == pytest.approx(30 / 960 / 0.2, rel=0.25)
    assert moving == mixed


def test_text_on_screen_is_read(engine):
    image = flat(60, 70, 80, (360, 640))
    cv2.putText(image, "Ward Eighteen", (200, 330), (255, 255, 255), cv2.FontFace("sans"), 30)
    scene = one(engine, image)
    assert scene.on_screen_text == ("Ward Eighteen",)
    assert 'the text "Ward Eighteen" is shown' in scene.text


def test_a_person_without_a_face_is_counted(engine):
    scene = one(engine, person_without_a_face())
    assert scene.text.startswith("A person is visible, but no face.")
    assert values(scene)["people"] == 1 and values(scene)["faces"] == 0


def test_without_the_detector_the_engine_counts_faces_and_says_so(monkeypatch):
    missing = replace(PERSON_DETECTOR, package="no-such-package")
    monkeypatch.setattr("merrflow_minigpt_v2.engines.measured.engine.PERSON_DETECTOR", missing)
    engine = MeasuredEngine(MiniGptSettings())
    engine.load()
    scene = one(engine, person_without_a_face())
    assert scene.text.startswith("No face is visible.") and "people" not in values(scene)
    monkeypatch.undo()
    told, usual = engine.info(), MeasuredEngine(MiniGptSettings()).info()
    assert "without a visible face are not counted" in told.note and "no-such-package==0.2" in told.note
    assert told.revision != usual.revision and "person none" in told.revision and "not counted" not in usual.note
    engine.close()


def test_nobody_black_and_one_pixel(engine):
    assert one(engine, pattern()).text.startswith("No face is visible.")
    assert one(engine, flat(0, 0, 0)).text == "The picture is black."
    assert "too small" in one(engine, flat(9, 9, 9, (1, 1))).text
    assert "too small" in one(engine, flat(9, 9, 9, (2, 900))).text


def test_one_bad_item_does_not_hurt_its_neighbours(engine):
    good = SceneItem(flat(90, 90, 90))
    batch = [
        good,
        SceneItem(flat(9, 9, 9, (2100, 2000))),
        SceneItem(np.zeros((20, 20), np.uint8)),
        SceneItem(flat(90, 90, 90), (ContextFrame(0.1, np.zeros((9, 9, 4), np.uint8)),)),
        good,
    ]
    results = engine.run(batch)
    assert isinstance(results[1], TooLarge) and "2000x2100" in str(results[1])
    assert isinstance(results[2], InvalidInput) and isinstance(results[3], InvalidInput)
    assert results[0] == results[4] and isinstance(results[0], Scene)


def test_the_same_frame_gives_the_same_answer(engine):
    assert one(engine, portrait()) == one(engine, portrait())


def test_an_engine_that_is_not_loaded_says_so():
    engine = MeasuredEngine(MiniGptSettings())
    (result,) = engine.run([warmup_item()])
    assert isinstance(result, NotReady)


def test_info_names_models_and_versions_without_loading():
    info = MeasuredEngine(MiniGptSettings()).info()
    assert info.engine == "measured" and info.revision.count("sha256:") == 4
    assert (
        re.fullmatch(r"measured-\d+\+[0-9a-f]{8}", info.prompt_version) and "not a vision-language model" in info.note
    )
    assert info.limits.max_pixels == MiniGptSettings().max_pixels


def test_another_word_or_threshold_is_another_prompt_version(tmp_path, monkeypatch):
    versions = []
    text = phrases.PHRASES.read_text(encoding="utf-8")
    try:
        for name, content in (
            ("same", text),
            ("comment", f"# mine\n{text}"),
            ("word", text.replace("a medium shot", "a waist shot")),
            ("threshold", text.replace("below: 0.30", "below: 0.31")),
        ):
            file = tmp_path / f"{name}.yaml"
            file.write_text(content, encoding="utf-8")
            monkeypatch.setattr(phrases, "PHRASES", file)
            phrases.phrases.cache_clear()
            versions.append(MeasuredEngine(MiniGptSettings()).info().prompt_version)
    finally:
        phrases.phrases.cache_clear()
    assert versions[0] == versions[1] and len(set(versions)) == 3


def test_warm_up_goes_through_every_part(engine):
    assert isinstance(engine.run([warmup_item()])[0], Scene)


@pytest.mark.parametrize(
    ("name", "index", "people", "words"),
    [
        ("sample_00000338", 57, 2, ["medium shot, left of centre", "warm colours", "eyes lowered or closed"]),
        pytest.param(
            "sample_00000669",
            93,
            1,
            ["medium close-up", "facing the camera", "eyes lowered or closed", "cool colours"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "sample_00002422",
            21,
            1,
            ["medium close-up", "head turned left", "low key", "warm colours"],
            marks=pytest.mark.slow,
        ),
        ("sample_00003462", 25, 3, ["medium shot", "head turned slightly right, eyes right", "one hand raised"]),
        pytest.param(
            "sample_00004671", 59, 1, ["medium close-up", "right", "one hand at the face"], marks=pytest.mark.slow
        ),
        pytest.param(
            "samplenew_00051251", 26, 1, ["medium shot", "head turned slightly left", "low key"], marks=pytest.mark.slow
        ),
    ],
)
def test_real_television_frames(engine, name, index, people, words):
    if not CLIPS.is_dir():
        pytest.skip("research clips are not here (../shared/clips)")
    frames = {frame.index: frame for frame in iter_frames(CLIPS / f"{name}.mp4")}
    context = [ContextFrame(step / 25, frames[index + step].image) for step in (-10, -5, 5, 10)]
    scene = one(engine, frames[index].image, *context)
    assert [word for word in words if word not in scene.text] == [], scene.text
    assert values(scene)["people"] == people  # in 51251 a second man, with his back to the camera, is out of focus
    assert len(scene.text.split()) <= 70
