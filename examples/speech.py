"""Speech for the clips: espeak-ng, a room, and how far the mouth opens with it.

espeak-ng is a program under the GPL; what it speaks is not covered by its licence and may be used freely.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, resample_poly, sosfiltfilt

RATE = 44100  # Hz
NOISE_DB = -62.0  # a quiet room's floor, dB of full scale
FULL_OPEN_DB = -16.0  # short-time level below the clip's loudest at which the mouth is nearly shut


@dataclass(frozen=True)
class Voice:
    """What espeak-ng is asked for. `pitch` and `span` (pitch range) are 0..99, `rate` words a minute."""

    text: str
    variant: str
    pitch: int
    span: int
    rate: int
    level_db: float  # root-mean-square of the voiced parts, dB of full scale
    start: float  # seconds into the clip
    cutoff: float = 7000.0  # Hz; a low one is a soft, tired voice


@dataclass(frozen=True)
class Mouth:
    """Frame by frame, 0..1: how far the jaw opens, and how much the lips are spread (+) or rounded (-)."""

    open: np.ndarray
    spread: np.ndarray


def speak(voice: Voice) -> np.ndarray:
    """The spoken text alone, mono float64 at `RATE`.

    Raises:
        RuntimeError: espeak-ng is not installed or failed.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise RuntimeError("espeak-ng is not on PATH; on Debian or Ubuntu: apt-get install espeak-ng")
    ssml = f'<speak><prosody range="{voice.span * 2}%">{voice.text}</prosody></speak>'
    command = [
        program,
        "-m",
        "-v",
        voice.variant,
        "-p",
        str(voice.pitch),
        "-s",
        str(voice.rate),
        "--stdout",
        ssml,
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or len(done.stdout) < 100:
        raise RuntimeError(f"espeak-ng failed: {done.stderr.decode(errors='replace').strip()}")
    with wave.open(io.BytesIO(done.stdout)) as reader:
        rate = reader.getframerate()
        # To a pipe espeak-ng writes a length that is not the true one: take what is there.
        samples = np.frombuffer(reader.readframes(reader.getnframes()), "<i2") / 32768.0
    spoken = np.flatnonzero(np.abs(samples) > 0.004)
    samples = samples[max(0, spoken[0] - rate // 100) : spoken[-1] + rate // 50]
    return np.asarray(resample_poly(samples, RATE, rate))


def track(voice: Voice, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """The clip's sound: speech at its start time over a faint room tone, mono float32 of exactly `seconds`.

    Raises:
        ValueError: the speech does not fit into the clip.
    """
    speech = sosfiltfilt(butter(2, voice.cutoff, fs=RATE, output="sos"), speak(voice))
    loud = np.abs(speech) > 0.1 * np.abs(speech).max()
    speech *= 10 ** (voice.level_db / 20) / np.sqrt(np.mean(speech[loud] ** 2))
    total, first = round(seconds * RATE), round(voice.start * RATE)
    if first + len(speech) > total:
        raise ValueError(f"{voice.text!r} takes {len(speech) / RATE:.2f} s and does not fit from {voice.start} s")
    out = np.zeros(total)
    out[first : first + len(speech)] = speech
    for delay, gain in ((0.019, 0.10), (0.031, 0.07), (0.047, 0.04)):  # first reflections of a furnished room
        shift = round(delay * RATE)
        out[shift:] += gain * out[:-shift]
    hiss = sosfiltfilt(butter(1, 2500.0, fs=RATE, output="sos"), rng.normal(size=total))
    out += hiss / np.sqrt(np.mean(hiss**2)) * 10 ** (NOISE_DB / 20)
    return np.clip(out, -0.99, 0.99).astype(np.float32)


def mouth(sound: np.ndarray, fps: int, frames: int) -> Mouth:
    """Mouth movement that fits the sound: its level opens the jaw, bright vowels spread the lips."""
    hop = RATE // fps
    level, bright = np.zeros(frames), np.zeros(frames)
    frequency = np.fft.rfftfreq(2 * hop, 1 / RATE)
    padded = np.pad(sound.astype(np.float64), hop)
    for k in range(frames):
        part = padded[k * hop + hop // 2 : k * hop + hop // 2 + 2 * hop] * np.hanning(2 * hop)
        power = np.abs(np.fft.rfft(part)) ** 2
        vowel = power[(frequency > 200) & (frequency < 1000)].sum()
        level[k] = 10 * np.log10(vowel + 1e-9)
        front = power[(frequency > 1700) & (frequency < 3200)].sum()
        bright[k] = np.log10((front + 1e-9) / (vowel + 1e-9))
    opened = np.clip((level - level.max() - FULL_OPEN_DB) / -FULL_OPEN_DB, 0.0, 1.0)
    voiced = opened > 0.05
    spread = np.zeros(frames)
    if voiced.any():
        low, high = np.percentile(bright[voiced], [10, 90])
        spread[voiced] = np.clip(2.0 * (bright[voiced] - low) / max(high - low, 1e-6) - 1.0, -1.0, 1.0)
    soften = np.array([0.2, 0.6, 0.2])
    return Mouth(np.convolve(opened, soften, "same"), np.convolve(spread, soften, "same"))
