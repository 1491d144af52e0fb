"""The parts of the `openface` engine that one clip meets: the binary, its input, what is read."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from merrflow_openface_au.engines.openface.binary import extra_arguments, find_binary
from merrflow_openface_au.engines.openface.clip import VideoFacts, inspect_clip, link_clip, rewrite_lossless
from merrflow_openface_au.engines.openface.engine import OpenFaceEngine
from merrflow_openface_au.engines.openface.results import read_result
from merrflow_openface_au.service import warmup_item
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.errors import EngineFault, NotReady, TooLarge, UnreadableMedia
from merrflow_serving.media.openface_csv import OpenFaceError, read_faces
from merrflow_serving.media.video import iter_frames
from tests.services.openface_au.fake_openface import install
from tests.services.openface_au.videos import encode, noise


def facts(frames: int, **more) -> VideoFacts:
    return VideoFacts(64, 48, tuple(i / 25 for i in range(frames)), **({"plain": True} | more))


def test_the_binary_is_found_by_path_and_by_name(tmp_path, monkeypatch) -> None:
    for version in (1, 2):
        binary = install(tmp_path / str(version), version=version)
        found = find_binary(str(binary))
        assert found.path == binary and found.model == f"OpenFace {version}"
        monkeypatch.setenv("PATH", str(binary.parent))
        assert find_binary("FeatureExtraction") == found
    (tmp_path / "link").symlink_to(binary)
    assert find_binary(str(tmp_path / "link")) == found  # its models lie beside the file itself


def test_the_revision_is_of_binary_and_models(tmp_path) -> None:
    binary = install(tmp_path)
    before = find_binary(str(binary)).revision
    assert before.startswith("sha256:")
    (tmp_path / "model" / "patch_experts").mkdir()
    (tmp_path / "model" / "patch_experts" / "cen.dat").write_bytes(b"12")
    more = find_binary(str(binary)).revision
    binary.write_text(binary.read_text() + "# changed\n")
    assert len({before, more, find_binary(str(binary)).revision}) == 3
    wrapped = tmp_path / "wrapped"
    wrapped.mkdir()
    (wrapped / "run").write_text("#!/bin/sh\n")
    (wrapped / "run").chmod(0o755)
    assert find_binary(str(wrapped / "run")).model == "OpenFace"
    assert find_binary(str(wrapped / "run")).revision.endswith("models:none")


def test_a_binary_that_cannot_be_run_says_what_to_do(tmp_path) -> None:
    with pytest.raises(NotReady, match="academic, non-commercial.*OPENFACE_IMAGE"):
        find_binary(str(tmp_path / "none"))
    with pytest.raises(NotReady, match="there is no"):
        find_binary("no-such-openface-anywhere")
    with pytest.raises(NotReady, match="there is no"):
        find_binary("")
    binary = install(tmp_path)
    binary.chmod(0o644)
    with pytest.raises(NotReady, match="chmod"):
        find_binary(str(binary))
    engine = OpenFaceEngine(OpenFaceAuSettings(openface_binary=str(tmp_path / "none")))
    assert engine.info().engine == "openface" and engine.info().revision == ""
    assert isinstance(engine.run([b""])[0], NotReady)
    with pytest.raises(NotReady):
        engine.load()
    engine.close()


def test_a_file_that_is_no_program_is_told_at_the_first_clip(tmp_path) -> None:
    binary = tmp_path / "FeatureExtraction"
    binary.write_bytes(b"\x7fELF no program")
    binary.chmod(0o755)
    engine = OpenFaceEngine(OpenFaceAuSettings(openface_binary=str(binary), openface_folder=tmp_path))
    engine.load()
    (error,) = engine.run([warmup_item()])
    engine.close()
    assert isinstance(error, EngineFault) and "cannot be started: Exec format error" in str(error)


def test_arguments_that_are_the_engines_own_are_refused() -> None:
    assert extra_arguments(" -wild  -mloc 'a b' ") == ("-wild", "-mloc", "a b")
    for bad in ("-out_dir /tmp", "-wild -f x", "-of a", "-nocsv"):
        with pytest.raises(NotReady, match="is not yours to set"):
            extra_arguments(bad)
    with pytest.raises(NotReady, match="cannot be split"):
        extra_arguments("'")


def test_looking_at_a_clip() -> None:
    seen = inspect_clip(encode([noise()] * 5), max_pixels=0, max_frames=0)
    assert (seen.width, seen.height, len(seen.timestamps)) == (320, 240, 5)
    assert seen.fps == pytest.approx(25) and not seen.needs_rewrite
    assert inspect_clip(
        warmup_item(), max_pixels=0, max_frames=0
    ).needs_rewrite  # a picture's name is a pattern to OpenCV
    with pytest.raises(TooLarge):
        inspect_clip(encode([noise()] * 5), max_pixels=0, max_frames=4)
    with pytest.raises(UnreadableMedia):
        inspect_clip(b"", max_pixels=0, max_frames=0)


def test_a_clip_written_anew_has_the_same_frames(tmp_path) -> None:
    source = encode([noise(seed=i) for i in range(4)])
    seen = inspect_clip(source, max_pixels=0, max_frames=0)
    again = rewrite_lossless(source, seen, tmp_path, "clip-aa")
    assert inspect_clip(again, max_pixels=0, max_frames=0) == seen
    for one, other in zip(iter_frames(source), iter_frames(again), strict=True):
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize("odd", [{"rotation": 90}, {"rotation": 180, "mirrored": True}, {"pixel_ratio": Fraction(2)}])
def test_a_clip_that_opencv_would_misread_is_written_as_it_is_shown(tmp_path, odd) -> None:
    source = encode([noise(seed=i) for i in range(3)], **odd)
    seen = inspect_clip(source, max_pixels=0, max_frames=0)
    shown = [frame.image for frame in iter_frames(source)]
    assert (seen.height, seen.width) == shown[0].shape[:2] and seen.needs_rewrite
    again = rewrite_lossless(source, seen, tmp_path, "clip-aa")
    assert not inspect_clip(again, max_pixels=0, max_frames=0).needs_rewrite
    for image, other in zip(shown, iter_frames(again), strict=True):
        np.testing.assert_array_equal(image, other.image)


def test_clips_get_names_that_are_no_options_and_no_patterns(tmp_path) -> None:
    for name in ("-f.mp4", "a%03d.avi", "x.we ird", "noending", "片段.MP4"):
        (tmp_path / name).write_bytes(b"1")
        (tmp_path / "in").mkdir(exist_ok=True)
        placed = link_clip(tmp_path / name, tmp_path / "in", "clip-aa")
        assert placed.stem == "clip-aa" and placed.read_bytes() == b"1"
        placed.unlink()


def test_an_action_unit_that_merrflow_does_not_know_is_read(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,timestamp,confidence,success,AU38_r,AU12_c\n1,0,0.98,1,2.50,1\n2,0.04,0.2,0,0,0\n")
    got = read_result(path, facts(2))
    assert got.action_units == ("AU12", "AU38") and not got.frames[1].faces
    face = got.frames[0].faces[0]
    assert face.action_units["AU38"].intensity == 2.5 and face.action_units["AU38"].present
    assert face.action_units["AU12"].intensity is None and face.action_units["AU12"].present
    assert face.box == (0, 0, 64, 48) and face.mouth_opening is None and not face.second_pass
    with pytest.raises(OpenFaceError, match="unknown Action Unit 'AU38'; known are AU12, each"):
        read_faces(path, width=64, height=48, frame_count=2, known=["AU12"])
