"""Of several video tracks, the film is decoded."""

from __future__ import annotations

import pytest
from av.stream import Disposition

from merrflow_serving.errors import MissingStream
from merrflow_serving.media.video import iter_frames
from tests.services.serving.odd_containers import Track, many_tracks

NOTHING = Disposition(0)
FILM = Track(20, grey=200)
TRACKS = {
    "an unmarked thumbnail before the film": [Track(1, (48, 32), "mjpeg", NOTHING), FILM],
    "a large thumbnail that says it is the default": [Track(1, (480, 320), "mjpeg"), FILM],
    "a still in the film's own codec": [Track(1, (480, 320)), FILM],
    "the default after another": [Track(20, (192, 128), disposition=NOTHING), FILM],
    "a smaller one first": [Track(20, (48, 32)), FILM],
    "a shorter one first": [Track(5), FILM],
    "a cover behind the film": [FILM, Track(1, (480, 320), "mjpeg", Disposition.attached_pic)],
    "previews before the film": [Track(4, (48, 32), "mjpeg"), FILM],
}


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("tracks", TRACKS.values(), ids=TRACKS.keys())
def test_the_film_is_decoded(tmp_path, tracks, suffix):
    frames = list(iter_frames(many_tracks(tmp_path / f"film.{suffix}", tracks)))
    assert (len(frames), frames[0].size) == (20, (96, 64))
    assert frames[0].image.mean() == pytest.approx(200, abs=4)


def test_a_png_is_no_film(tmp_path):
    path = many_tracks(tmp_path / "film.mp4", [Track(1, (480, 320), "png"), FILM])
    assert len(list(iter_frames(path))) == 20


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("disposition", [NOTHING, Disposition.default, Disposition.attached_pic])
def test_a_cover_and_sound_are_no_film(tmp_path, suffix, disposition):
    covers = [Track(1, size, "mjpeg", disposition) for size in ((48, 32), (96, 64))]
    path = many_tracks(tmp_path / f"song.{suffix}", covers)
    with pytest.raises(MissingStream, match="no video track: only a cover"):
        list(iter_frames(path))


def test_a_camera_of_single_jpegs_is_a_film_and_so_is_one_picture_without_sound(tmp_path):
    assert len(list(iter_frames(many_tracks(tmp_path / "camera.avi", [Track(20, codec="mjpeg")])))) == 20
    assert len(list(iter_frames(many_tracks(tmp_path / "one.mp4", [Track(1, codec="mjpeg")], sound=False)))) == 1
