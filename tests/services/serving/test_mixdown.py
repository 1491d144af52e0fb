"""Of several channels one, in which what is said can be heard, at its level."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_serving.media.audio import SAMPLE_RATE, decode_audio, read_sound
from tests.services.serving.sounds import Piece, Track, clip, rms, voice

SAID = voice(3.0, seed=1)
OTHER = voice(3.0, seed=2)
STILL = np.zeros_like(SAID)
HUM = (0.3 * np.sin(2 * np.pi * 50 * np.arange(SAID.size) / SAMPLE_RATE)).astype(np.float32)


def mixed(*channels: np.ndarray, layout: str = "stereo", **options) -> tuple[np.ndarray, str]:
    data = clip(Track([Piece(0.0, np.stack(channels))], layout=layout, **({"codec": "pcm_f32le"} | options)))
    found = read_sound(data)
    assert abs(found.samples.size - SAID.size) <= 2
    return found.samples, found.note


def said(samples: np.ndarray) -> float:
    """How much of `SAID` is in it: the factor by least squares."""
    size = min(samples.size, SAID.size)
    return float(samples[:size] @ SAID[:size] / (SAID[:size] @ SAID[:size]))


# What the channels hold, and how loud the voice is to be in the mix: a range of factors.
# fmt: off
STEREO = {
    "the same in both": ((SAID, SAID), (0.99, 1.01)),
    "antiphase": ((SAID, -SAID), (0.99, 1.01)),
    "antiphase, one quieter": ((SAID, -0.7 * SAID), (0.99, 1.01)),
    "antiphase under a hum that is in phase": ((SAID + HUM, HUM - SAID), (0.99, 1.01)),
    "antiphase with an offset": ((SAID + 0.2, 0.2 - SAID), (0.99, 1.01)),
    "antiphase for a second": ((SAID, np.r_[SAID[:16_000], -SAID[16_000:32_000], SAID[32_000:]]), (0.99, 1.01)),
    "a dead channel": ((STILL, SAID), (0.99, 1.01)),
    "one channel all but dead": ((SAID, 0.001 * OTHER), (0.99, 1.01)),
    "one at -6 dB": ((SAID, 0.5 * SAID), (0.74, 1.01)),
    "mid and side": ((SAID, 0.3 * OTHER), (0.49, 1.01)),
    "side and mid, all on the right": ((0.5 * SAID, -0.5 * SAID), (0.49, 0.51)),
    "two voices": ((SAID, OTHER), (0.45, 0.55)),
}
# fmt: on


@pytest.mark.parametrize("name", STEREO)
def test_stereo(name):
    channels, (low, high) = STEREO[name]
    samples, _ = mixed(*channels)
    assert low <= said(samples) <= high


def test_the_choice_is_told_and_holds_for_the_clip():
    samples, note = mixed(SAID, -0.8 * SAID)
    assert note == "the channels cancel each other, so only number 1 (FL) is heard"
    assert np.abs(samples - SAID[: samples.size]).max() < 1e-4  # nothing changes on the way
    assert mixed(SAID, SAID)[1] == ""
    assert mixed(STILL, SAID)[1] == "of 2 channels only these have sound: number 2 (FR)"


def five_one(**channels: np.ndarray) -> tuple[np.ndarray, str]:
    names = ("FL", "FR", "FC", "LFE", "BL", "BR")
    return mixed(*(channels.get(name, STILL) for name in names), layout="5.1")


def test_the_centre_of_surround_sound_has_the_dialogue():
    loud = dict.fromkeys(("FL", "FR", "BL", "BR"), 2 * OTHER)
    samples, _ = five_one(FC=SAID, LFE=HUM, **loud)
    assert said(samples) == pytest.approx(1, abs=0.02)
    assert rms(samples - said(samples) * SAID[: samples.size]) < 0.01


def test_surround_sound_with_a_dead_centre_is_that_of_the_others():
    samples, _ = five_one(FL=SAID, FR=SAID, LFE=HUM)
    assert said(samples) == pytest.approx(1, abs=0.02) and rms(samples) < 0.11
    samples, _ = five_one(FL=SAID, FR=-SAID)
    assert said(samples) == pytest.approx(1, abs=0.02)
    samples, _ = five_one(LFE=HUM)
    assert rms(samples) == 0


def test_four_microphones_of_which_one_hears_the_voice():
    samples, _ = mixed(0.001 * OTHER, 0.001 * OTHER, SAID, STILL, layout="4.0")
    assert said(samples) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 9, 16, 64])
def test_any_number_of_channels_without_names(channels):
    """As in WAV files of recorders. PyAV crashes on planes of eight channels, and ffmpeg cannot mix nine."""
    import io
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.tile(SAID[:, None], channels) * 32767).astype("<i2").tobytes())
    samples = decode_audio(buffer.getvalue())
    assert said(samples) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("codec", "form"),
    [
        *((codec, "matroska") for codec in ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le")),
        *((codec, "mov") for codec in ("pcm_s16be", "pcm_alaw", "alac")),
        *((codec, "matroska") for codec in ("flac", "ac3", "libopus", "libmp3lame")),
    ],
)
def test_formats_of_samples(codec, form):
    try:
        track = Track([Piece(0.0, np.tile(SAID, (2, 1)))], layout="stereo", codec=codec, rate=_rate(codec))
        data = clip(_at(track), form=form)
    except (ValueError, KeyError) as error:
        pytest.skip(f"no encoder: {error}")
    samples = decode_audio(data)
    assert rms(samples) == pytest.approx(0.1, rel=0.15)


def _rate(codec: str) -> int:
    return 48_000 if codec in ("ac3", "libopus") else SAMPLE_RATE


def _at(track: Track) -> Track:
    """The same sound at the track's rate, by repeating samples: the level is what counts."""
    times = track.rate // SAMPLE_RATE
    pieces = [Piece(piece.time, np.repeat(piece.channels, times, axis=1)) for piece in track.pieces]
    return Track(pieces, track.layout, track.rate, track.codec)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_rates(rate):
    time = np.arange(2 * rate) / rate
    tone = (0.4 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    samples = decode_audio(clip(Track([Piece(0.0, np.stack([tone, -tone]))], layout="stereo", rate=rate)))
    assert abs(samples.size - 2 * SAMPLE_RATE) <= 2
    assert rms(samples) == pytest.approx(0.4 / np.sqrt(2), rel=0.02)


def test_an_offset_is_taken_off_and_clipping_stays_as_it_is():
    samples, _ = mixed(SAID + 0.3, SAID + 0.3)
    assert abs(samples.mean()) < 1e-3 and said(samples) == pytest.approx(1, abs=0.01)
    clipped = np.clip(12 * SAID, -1, 1)
    samples, _ = mixed(clipped, clipped)
    assert np.abs(samples - clipped[: samples.size]).max() < 1e-3
    over = 1.3 * np.sin(np.arange(SAID.size) / 5).astype(np.float32)  # as a decoder overshoots
    assert np.abs(mixed(over, over)[0] - np.clip(over, -1, 1)).max() < 1e-2


def test_floats_on_another_scale_are_no_square_waves():
    samples, _ = mixed(32767 * SAID, 32767 * SAID)
    assert np.corrcoef(samples, SAID[: samples.size])[0, 1] > 0.99
    wrong = SAID.copy()
    wrong[1000] = np.nan
    wrong[2000] = 1e30
    samples, _ = mixed(wrong, wrong)
    assert np.isfinite(samples).all() and said(samples) == pytest.approx(1, abs=0.1)
