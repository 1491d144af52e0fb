"""The picture of a real film: the peak frame or one near it, read in one pass."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from merrflow.core.measurements import Peak, Probe, Shot
from merrflow.facs import load_rules
from merrflow.stages import peak_frame
from merrflow.stages.peak_frame import read_peak_frame, read_picture
from merrflow.stages.shown import Candidate, Choice
from merrflow_serving.errors import UnreadableMedia
from merrflow_serving.media.images import decode_image
from merrflow_serving.media.video import read_frames

PICTURE = load_rules("default").peak.picture
BOX = (80.0, 40.0, 100.0, 100.0)
PROBE = Probe(256, 192, 25.0, 50, 2.0, (Shot(0, 40), Shot(40, 50)), None)
PEAK = Peak(25, 1.0, (), {}, (), 0.0, "")
BLURRED = 35


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 frames of a chequered square, as grey around it as the frame's number; that of one frame is blurred."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    squares = np.kron(np.indices((10, 10)).sum(axis=0) % 2, np.ones((10, 10))).astype(np.uint8) * 200
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 256, 192, "yuv420p"
        for number in range(50):
            image = np.full((192, 256), 4 * number, np.uint8)
            image[40:140, 80:180] = cv2.GaussianBlur(squares, (0, 0), 6) if number == BLURRED else squares
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.dstack([image] * 3), format="rgb24")))
        container.mux(video.encode())
    return path


def choice(**expressive: float) -> Choice:
    """By frame number, `f30=0.9`."""
    numbers = {int(name[1:]): value for name, value in expressive.items()}
    return Choice(tuple(Candidate(n, (n - 25) // 5, n / 25, BOX, value) for n, value in numbers.items()), 0.2)


def number_of(image: bytes) -> int:
    return round(float(decode_image(image)[5:20].mean()) / 4)


def test_the_more_expressive_frame_is_read_with_its_own_neighbours(film: Path) -> None:
    frame = read_peak_frame(film, PROBE, PEAK, choice(f25=0.2, f30=0.9), PICTURE)
    assert frame.shown and frame.shown.index == 30 == number_of(frame.image)
    assert [(after, number_of(image)) for after, image in frame.context] == [
        (-0.4, 20), (-0.2, 25), (0.2, 35)  # 40 is in another shot
    ]  # fmt: skip
    assert read_picture(film, 30) == frame.picture, "so that a lost picture can be made again"


def test_models_see_the_pixels_that_were_decoded(film: Path) -> None:
    frame, decoded = read_peak_frame(film, PROBE, PEAK), read_frames(film, {25})[25].image
    assert np.array_equal(decode_image(frame.image), decoded)
    assert not np.array_equal(decode_image(frame.picture), decoded) and len(frame.picture) < decoded.size / 5


def test_a_blurred_frame_is_not_shown(film: Path) -> None:
    frame = read_peak_frame(film, PROBE, PEAK, choice(f25=0.2, f30=0.5, f35=0.9), PICTURE)
    assert frame.shown and frame.shown.index == 30


def test_with_nothing_to_choose_it_is_the_peak_frame(film: Path) -> None:
    for nothing in (None, Choice()):
        frame = read_peak_frame(film, PROBE, PEAK, nothing, PICTURE)
        assert frame.shown is None and number_of(frame.image) == 25
        assert [number_of(image) for _, image in frame.context] == [15, 20, 30, 35]


def test_the_choice_takes_no_further_pass_over_the_clip(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []

    def counted(*arguments, **limits):
        passes.append(arguments)
        return read_frames(*arguments, **limits)

    read_frames = peak_frame.read_frames
    monkeypatch.setattr(peak_frame, "read_frames", counted)
    read_peak_frame(film, PROBE, PEAK, choice(f25=0.2, f30=0.9), PICTURE)
    assert len(passes) == 1


def test_a_frame_that_is_not_there_has_no_picture(film: Path) -> None:
    with pytest.raises(UnreadableMedia, match="frame 70 cannot be decoded"):
        read_picture(film, 70)
