"""Perceptual hashes of what is seen and heard in a clip, by which curation finds duplicates.

Pictures: the 64-bit DCT hash of the ImageHash library (pHash: Zauner 2010, "Implementation and benchmarking of
perceptual image hash functions"). Sound: 32-bit sub-fingerprints of Haitsma & Kalker (ISMIR 2002, "A highly robust
audio fingerprinting system"): the signs of differences of energy between neighbouring bands and moments, which
loudness, encoding and equalisers hardly change. Chromaprint would do as well, but no wheel brings its C library.

Half of the bits differ by chance if two things are unlike. How far copies and other clips are apart, as measured:
docs/curation.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
from PIL import Image

from merrflow.core.measurements import PerceptualHashes
from merrflow.stages.arrays import Floats, Picture, Sound
from merrflow_serving.media.audio import SAMPLE_RATE
from merrflow_serving.media.video import VideoFrame

VERSION = "3"  # change it with anything that changes a hash

FRAME_SECONDS = 0.25  # between two hashed frames, at first
MOST_FRAMES = 16  # beyond, every second one is kept and the spacing doubles
FLAT = 4.0  # standard deviation of grey values, 0 to 255, below which a picture (black, white) says nothing

WINDOW = 6144  # samples, 0.384 s; as long as Haitsma & Kalker's 0.37 s
HOP = 1024  # samples, 64 ms; theirs is 11.6 ms, which makes one near-exact match among many, and long records
BANDS = 33  # between 300 and 2,000 Hz, as theirs
LOWEST, HIGHEST = 300.0, 2000.0  # Hz
LOUD_RANGE = 50.0  # dB below the loudest window; quieter windows say nothing
SILENT = 1e-4  # root mean square of samples in [-1, 1] (-80 dBFS), below which the same holds
MOST_PIECES = 512  # about 33 seconds of sound


@dataclass(frozen=True)
class _Sample:
    timestamp: float  # seconds
    picture: Picture


class HashSampler:
    """Collects evenly spaced frames while a clip is decoded once, although its length is not known.

    They are hashed at the end, all together: between two frames the decoder has pushed all that a hash needs out of the
    processor's caches, which doubles its time.
    """

    def __init__(self) -> None:
        self._samples: list[_Sample] = []
        self._spacing = FRAME_SECONDS
        self._due = 0.0  # seconds; a frame at this time or later is the next to be hashed

    def add(self, frame: VideoFrame) -> None:
        """Takes the frame if its time has come; other frames cost nothing."""
        if frame.timestamp < self._due - 1e-6:
            return
        self._due = (np.floor(frame.timestamp / self._spacing + 1e-6) + 1) * self._spacing
        self._samples.append(_Sample(frame.timestamp, frame.small))
        if len(self._samples) > MOST_FRAMES:
            self._samples = self._samples[::2]
            self._spacing *= 2
            self._due = self._samples[-1].timestamp // self._spacing * self._spacing + self._spacing

    def finish(self, audio: Sound | None) -> PerceptualHashes:
        """The clip's hashes. audio: (samples,) float32 at 16 kHz, None without a sound track.

        Flat pictures, and silent or missing sound, have no hash.
        """
        digests = (frame_hash(sample.picture) for sample in self._samples)
        return PerceptualHashes(tuple(filter(None, digests)), () if audio is None else sound_hashes(audio))


def frame_hash(image: Picture) -> str:
    """16 hex digits of a (height, width, 3) uint8 RGB picture; "" if it is flat."""
    red, green, blue = cv2.split(image)
    _, spread = cv2.meanStdDev(red.astype(np.uint16) + green + blue)
    if spread[0, 0] < 3 * FLAT:
        return ""
    return str(imagehash.phash(Image.fromarray(image)))


def sound_hashes(audio: Sound) -> tuple[str, ...]:
    """8 hex digits for each 64 ms of (samples,) float32 at 16 kHz; "" for a silent piece; () if all are."""
    pieces = min((audio.size - WINDOW) // HOP + 1, MOST_PIECES + 1)
    if pieces < 2:
        return ()
    windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[: pieces * HOP : HOP]
    energy = np.concatenate([_band_energy(windows[at : at + _AT_ONCE]) for at in range(0, pieces, _AT_ONCE)])
    level = np.sqrt(energy.sum(axis=1))
    loud = (level > level.max() * 10 ** (-LOUD_RANGE / 20)) & (np.sqrt((windows**2).mean(axis=1)) > SILENT)
    bands = np.diff(energy, axis=1)
    bits = np.diff(bands, axis=0) > 0  # (pieces - 1, 32); equation (1) of the paper
    words = np.packbits(bits, axis=1).view(">u4")[:, 0]
    hashes = tuple(
        f"{word:08x}" if heard else "" for word, heard in zip(words.tolist(), loud[1:] & loud[:-1], strict=True)
    )
    return hashes if any(hashes) else ()


_AT_ONCE = 8  # windows: as many as scipy computes together, and the processor's caches hold
_TAPER = np.hanning(WINDOW).astype(np.float32)
_EDGES = np.round(np.geomspace(LOWEST, HIGHEST, BANDS + 1) * WINDOW / SAMPLE_RATE).astype(int)


def _band_energy(windows: Sound) -> Floats:
    """(n, BANDS) energy in each band of (n, WINDOW) samples."""
    from scipy.fft import rfft

    spectrum = rfft(windows * _TAPER)[:, : _EDGES[-1]]
    return np.add.reduceat(spectrum.real**2 + spectrum.imag**2, _EDGES[:-1], axis=1)
