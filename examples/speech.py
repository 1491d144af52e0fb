"""Speech for the clips: espeak-ng, a room, and how far the mouth opens with it.

espeak-ng is a program under the GPL; what it speaks is not covered by its licence and may be used freely.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, resample_poly, sosfiltfilt

Floats = npt.NDArray[np.floating[Any]]
RATE = 44100  # Hz
NOISE_DB = -62.0  # a quiet room's floor, dB of full scale
FULL_OPEN_DB = -16.0  # short-time level below the clip's loudest at which the mouth is nearly shut


def speak(voice: Mapping[str, Any]) -> Floats:
    """The spoken text alone, mono float64 at `RATE`. Raises `RuntimeError` if espeak-ng is missing or fails."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise RuntimeError("espeak-ng is not on PATH; on Debian or Ubuntu: apt-get install espeak-ng")
    ssml = f'<speak><prosody range="{voice["span"] * 2}%">{voice["text"]}</prosody></speak>'
    options = ["-m", "-v", voice["variant"], "-p", str(voice["pitch"]), "-s", str(voice["rate"]), "--stdout", ssml]
    done = subprocess.run([program, *options], capture_output=True, check=False)
    if done.returncode or len(done.stdout) < 100:
        raise RuntimeError(f"espeak-ng failed: {done.stderr.decode(errors='replace').strip()}")
    with wave.open(io.BytesIO(done.stdout)) as reader:
        rate = reader.getframerate()
        # To a pipe espeak-ng writes a length that is not the true one: take what is there.
        samples = np.frombuffer(reader.readframes(reader.getnframes()), "<i2") / 32768.0
    spoken = np.flatnonzero(np.abs(samples) > 0.004)
    return np.asarray(resample_poly(samples[max(0, spoken[0] - rate // 100) : spoken[-1] + rate // 50], RATE, rate))


def track(voice: Mapping[str, Any], seconds: float, rng: np.random.Generator) -> Floats:
    """The clip's sound: speech at its start time over a faint room tone, mono float32 of exactly `seconds`.

    voice: as in clips.yaml. Raises `ValueError` if the speech does not fit into the clip.
    """
    speech = sosfiltfilt(butter(2, voice.get("cutoff", 7000.0), fs=RATE, output="sos"), speak(voice))
    loud = np.abs(speech) > 0.1 * np.abs(speech).max()
    speech *= 10 ** (voice["level_db"] / 20) / np.sqrt(np.mean(speech[loud] ** 2))
    total, first = round(seconds * RATE), round(voice["start"] * RATE)
    if first + len(speech) > total:
        raise ValueError(f"{voice['text']!r} takes {len(speech) / RATE:.2f} s and does not fit from {voice['start']} s")
    out = np.pad(speech, (first, total - first - len(speech)))
    for delay, gain in ((0.019, 0.10), (0.031, 0.07), (0.047, 0.04)):  # first reflections of a furnished room
        shift = round(delay * RATE)
        out[shift:] += gain * out[:-shift]
    hiss = sosfiltfilt(butter(1, 2500.0, fs=RATE, output="sos"), rng.normal(size=total))
    out += hiss / np.sqrt(np.mean(hiss**2)) * 10 ** (NOISE_DB / 20)
    return np.asarray(np.clip(out, -0.99, 0.99), np.float32)


def mouth(sound: Floats, fps: int, frames: int) -> tuple[Floats, Floats]:
    """Mouth movement that fits the sound, frame by frame: how far the jaw opens, 0..1, and how much the lips are
    spread (+) or rounded (-). The level opens the jaw, bright vowels spread the lips."""
    hop = RATE // fps
    frequency = np.fft.rfftfreq(2 * hop, 1 / RATE)
    starts = hop // 2 + hop * np.arange(frames)[:, None]
    parts = np.pad(sound.astype(np.float64), hop)[starts + np.arange(2 * hop)] * np.hanning(2 * hop)
    power = np.abs(np.fft.rfft(parts)) ** 2
    vowel = power[:, (frequency > 200) & (frequency < 1000)].sum(axis=1) + 1e-9
    front = power[:, (frequency > 1700) & (frequency < 3200)].sum(axis=1) + 1e-9
    level, bright = 10 * np.log10(vowel), np.log10(front / vowel)
    opened = np.clip((level - level.max() - FULL_OPEN_DB) / -FULL_OPEN_DB, 0.0, 1.0)
    low, high = np.percentile(bright[opened > 0.05], [10, 90])
    spread = np.where(opened > 0.05, np.clip(2.0 * (bright - low) / max(high - low, 1e-6) - 1.0, -1.0, 1.0), 0.0)
    soften = np.array([0.2, 0.6, 0.2])
    return np.convolve(opened, soften, "same"), np.convolve(spread, soften, "same")
