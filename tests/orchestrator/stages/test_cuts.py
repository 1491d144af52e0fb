"""Cuts between scenes are found; flashes, lights, jolts, pans and fades within one are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from merrflow.core.measurements import Shot
from merrflow.stages import cuts as cuts_module
from merrflow.stages.cuts import Cuts
from merrflow_serving.media.video import VideoFrame, iter_frames
from tests.paths import ROOT

Pictures = list[np.ndarray]
CLIPS = sorted((ROOT / "examples" / "clips").glob("*.mp4"))


def starts(pictures: Pictures, *, fps: float = 25.0) -> list[int]:
    """Where shots begin, after the first."""
    cuts = Cuts()
    for index, picture in enumerate(pictures):
        raw = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        cuts.add(VideoFrame(index, index / fps, raw))
    shots = list(cuts.shots(len(pictures)))
    assert shots[0].start == 0 and shots[-1].end == len(pictures)
    return [shot.start for shot in shots][1:]


@pytest.fixture(scope="module", params=CLIPS, ids=lambda path: path.stem)
def scene(request) -> Pictures:
    """60 frames of one scene."""
    return [cv2.resize(frame.scaled(160), (160, 90)) for frame in iter_frames(request.param)][:60]


def lit(picture: np.ndarray, factor: float, more: float = 0.0) -> np.ndarray:
    return np.clip(picture.astype(float) * factor + more, 0, 255).astype(np.uint8)


def moved(picture: np.ndarray, across: float, down: float) -> np.ndarray:
    height, width = picture.shape[:2]
    matrix = np.array([[1, 0, across * width], [0, 1, down * height]])
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


def changed(change: Callable[[int, np.ndarray], np.ndarray]) -> Callable[[Pictures], Pictures]:
    return lambda pictures: [change(index, picture) for index, picture in enumerate(pictures)]


def hand(index: int, picture: np.ndarray) -> np.ndarray:
    """Something large passes before the camera."""
    picture, place = picture.copy(), (index - 15) * 40
    if 10 < index < 24:
        cv2.rectangle(picture, (place - 50, 0), (place + 50, 90), (90, 60, 50), -1)
    return picture


def shaken(pictures: Pictures) -> Pictures:
    source = np.random.default_rng(3)
    return [moved(picture, *source.normal(0, 0.04, 2)) for picture in pictures]


def flickering(pictures: Pictures) -> Pictures:
    source = np.random.default_rng(3)
    return [lit(picture, source.uniform(0.4, 1.6)) for picture in pictures]


def broken(index: int, picture: np.ndarray) -> np.ndarray:
    """Half of a picture is green, as decoders fill what they could not read."""
    picture = picture.copy()
    if index in (14, 30):
        picture[45:] = [0, 130, 0]
    return picture


RED = np.array([1, 0.35, 0.35])
DISTURBANCES = {
    "nothing": changed(lambda index, picture: picture),
    "flash of one frame": changed(lambda index, picture: lit(picture, 0.3, 200) if index in (12, 24, 31) else picture),
    "flash of six": changed(lambda index, picture: lit(picture, 0.3, 200) if index // 6 in (2, 5) else picture),
    "white": changed(lambda index, picture: np.full_like(picture, 255) if index in (12, 13, 30) else picture),
    "flash that fades": changed(lambda index, picture: lit(picture, 1, max(0, 220 - 40 * (index % 25)))),
    "lights switched": changed(lambda index, picture: lit(picture, 0.35 if 12 <= index < 28 else 1)),
    "red lights": changed(lambda index, picture: (picture * (RED if index // 6 % 2 else 1)).astype(np.uint8)),
    "flicker": flickering,
    "fade in": changed(lambda index, picture: lit(picture, min(1.0, index / 12))),
    "dip to black": changed(lambda index, picture: lit(picture, min(1.0, abs(index - 20) / 5))),
    "jolts": changed(lambda index, picture: moved(picture, 0.08, 0.05) if index in (15, 30) else picture),
    "shakes": shaken,
    "a fast pan": changed(lambda index, picture: np.roll(picture, 20 * min(10, max(0, index - 15)), axis=1)),
    "a hand": changed(hand),
    "broken pictures": changed(broken),
}


@pytest.mark.parametrize("fps", [25.0, 50.0])
@pytest.mark.parametrize("disturbance", DISTURBANCES.values(), ids=DISTURBANCES.keys())
def test_one_scene_is_one_shot(scene, disturbance, fps):
    assert starts(disturbance(scene), fps=fps) == []


def scenes() -> Iterator[tuple[Pictures, Pictures]]:
    pictures = [[cv2.resize(frame.scaled(160), (160, 90)) for frame in iter_frames(path)][:25] for path in CLIPS]
    return ((one, other) for one in pictures for other in pictures if one is not other)


@pytest.mark.parametrize("speed", [0, 1, 2], ids="{} pixels a frame".format)
def test_cuts_between_scenes_are_found(speed):
    """speed: of a pan through both scenes."""
    pan = changed(lambda index, picture: np.roll(picture, speed * index, axis=1))
    for one, other in scenes():
        assert starts(pan(one) + pan(other)) == [25]
        assert starts(pan(one) + pan(other) + pan(one)) == [25, 50]


def test_a_scene_shown_for_a_moment_is_no_shot():
    one, other = next(scenes())
    assert starts(one + other[:6] + one) == [] and starts(one + other[:15] + one) == [25, 40]


def test_short_clips_are_one_shot():
    one, _ = next(scenes())
    for count in (1, 2, 9):
        assert starts(one[:count]) == []


def test_a_cut_from_one_plain_colour_to_another(tmp_path: Path):
    red, blue = (np.full((90, 160, 3), colour, np.uint8) for colour in ((200, 30, 30), (30, 30, 200)))
    cuts = Cuts()
    for index in range(50):
        raw = av.VideoFrame.from_ndarray(red if index < 20 else blue, format="rgb24")
        cuts.add(VideoFrame(index, index / 25, raw))
    assert list(cuts.shots(50)) == [Shot(0, 20), Shot(20, 50)]


def test_pictures_are_compared_only_around_a_sudden_change(scene: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    coarse = cuts_module._coarse
    monkeypatch.setattr(cuts_module, "_coarse", lambda picture: compared.append(1) or coarse(picture))
    starts(scene)
    assert not compared
    starts(scene[:30] + [255 - picture for picture in scene[30:]])
    assert 0 < len(compared) < 30
