"""The sound of a clip is that which belongs to its pictures: by their clock, and from the right track."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from merrflow.core.errors import InputError
from merrflow.core.measurements import Probe
from merrflow.core.settings import RunSettings
from merrflow.core.settings_file import load_settings
from merrflow.stages import tone, transcript
from merrflow.stages.probe import STAGE, decode
from tests.paths import ROOT, SHARED
from tests.services.serving.sounds import Piece, Track, burst, clip, onset, rms, voice

LIMITS = {"max_seconds": 60.0, "max_pixels": 10**7, "with_text": False}
PICTURE = [index / 25 for index in range(50)]
GOOD_NEWS = ROOT / "examples" / "clips" / "good_news.mp4"
HARD = SHARED / "hard-inputs"


def moved(target: Path, *, sound_from: float = 0.0, picture_delay: float = 0.0) -> Path:
    """`GOOD_NEWS` without encoding: its sound from a moment on, its pictures shown later by some seconds."""
    with av.open(str(GOOD_NEWS)) as whole, av.open(str(target), "w") as part:
        streams = {stream.index: part.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            audible = packet.stream.type == "audio"
            if packet.dts is None or (audible and packet.pts * packet.time_base < sound_from):
                continue
            if not audible:
                packet.pts += round(picture_delay / packet.time_base)
                packet.dts += round(picture_delay / packet.time_base)
            packet.stream = streams[packet.stream.index]
            part.mux(packet)
    return target


def energy(path: Path) -> np.ndarray:
    return np.array(decode(path, **LIMITS).probe.voice_energy)


def speech(energy: np.ndarray) -> float:
    """Seconds to the first loud 40 ms."""
    return float(np.argmax(energy > -45)) * 0.04


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_late_sound_track_is_as_late_for_who_speaks(tmp_path, suffix):
    whole, late = energy(GOOD_NEWS), energy(moved(tmp_path / f"late{suffix}", sound_from=0.6))
    assert speech(whole) == speech(late) == pytest.approx(0.76, abs=0.05)
    assert np.corrcoef(whole[20:80], late[20:80])[0, 1] > 0.99


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sound_before_the_first_picture_is_cut(tmp_path, suffix):
    path = moved(tmp_path / f"late{suffix}", picture_delay=0.4)
    decoded = decode(path, **LIMITS)
    assert (decoded.probe.frame_count, decoded.times[0]) == (85, 0.0)
    assert speech(np.array(decoded.probe.voice_energy)) == pytest.approx(0.36, abs=0.05)
    assert decoded.probe.sound.startswith("the sound begins 0.4")


def test_the_tone_and_recognition_are_given_the_sound_on_the_pictures_time(tmp_path):
    path = tmp_path / "late.mkv"
    path.write_bytes(clip(Track([Piece(0.75, burst(2, at=1)[None])]), picture=PICTURE))
    decoded = decode(path, **LIMITS)
    assert onset(decoded.audio) == pytest.approx(1.75, abs=0.002)
    assert decoded.probe.audio_seconds == pytest.approx(2.75, abs=0.01)
    assert decoded.probe.sound == "the sound begins 0.75 s after the picture"


def test_the_language_that_is_named_is_heard(tmp_path, monkeypatch):
    path = tmp_path / "two.mkv"
    tracks = (Track([Piece(0.0, voice(2, seed)[None])], language=name) for seed, name in ((1, "eng"), (2, "chi")))
    path.write_bytes(clip(*tracks, picture=PICTURE))
    english, chinese = (decode(path, **LIMITS, language=language) for language in ("", "zh"))
    assert np.abs(english.audio[:1600] - chinese.audio[:1600]).max() > 0.05
    assert (english.probe.sound, chinese.probe.sound) == (
        "sound track 1 of 2 (eng, default)",
        "sound track 2 of 2 (chi, default)",
    )
    monkeypatch.setenv("MERRFLOW_AUDIO_LANGUAGE", "zho")
    assert load_settings().audio_language == "zh"
    assert "audio_language" in STAGE.settings
    for wrong in ("chinese please", "und", "xx", "12"):
        monkeypatch.setenv("MERRFLOW_AUDIO_LANGUAGE", wrong)
        with pytest.raises(InputError, match="AUDIO_LANGUAGE: is no code of a language"):
            load_settings()


@pytest.mark.parametrize("stage", [tone.STAGE, transcript.STAGE])
def test_another_track_or_clock_is_another_key(stage):
    def key(sound: str) -> object:
        probe = Probe(8, 8, 25.0, 2, 0.08, (), 1.0, sound=sound)
        run = SimpleNamespace(identities={stage.service: {"engine": "x"}}, settings=RunSettings())
        return stage.key(SimpleNamespace(run=run), *[probe, None][: len(stage.needs)])

    assert key("") != key("sound track 2 of 2 (chi)")


def test_a_clip_whose_sound_cannot_be_decoded_goes_on_and_says_so(tmp_path):
    path = tmp_path / "broken.mkv"
    data = clip(Track([Piece(0.0, voice(2)[None])]), picture=PICTURE)
    path.write_bytes(data.replace(b"A_PCM/INT/LIT", b"A_PCM/XXX/LIT"))
    probe = decode(path, **LIMITS).probe
    assert (probe.frame_count, probe.audio_seconds) == (50, 0)
    missing = tone.STAGE.without(None, probe)
    assert missing.reason == "the sound cannot be decoded: the audio track is in a codec that cannot be decoded"


@pytest.mark.skipif(not HARD.is_dir(), reason="no inputs in ../shared/hard-inputs")
@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("m08_audio_late.mp4", 0.76),
        ("m08c_video_late.mkv", 0.36),
        ("m12_two_audio.mp4", 0.76),
        ("m10_antiphase.mp4", 0.76),
        ("m06_mkv_cover.mkv", 0.76),
    ],
)
def test_the_hard_inputs(name, at):
    """Of m08c the first 10 pictures are missing, so that speech comes 0.4 s sooner."""
    decoded = decode(HARD / name, **LIMITS)
    assert speech(np.array(decoded.probe.voice_energy)) == pytest.approx(at, abs=0.05)
    assert rms(decoded.audio) == pytest.approx(0.05, abs=0.01)


@pytest.mark.skipif(not HARD.is_dir(), reason="no inputs in ../shared/hard-inputs")
def test_a_late_clock_makes_no_other_person_speak():
    sync, late = (energy(HARD / f"p3_two_{kind}_swapped.mp4") for kind in ("sync", "late"))
    assert np.corrcoef(sync[19:80], late[19:80])[0, 1] > 0.99
