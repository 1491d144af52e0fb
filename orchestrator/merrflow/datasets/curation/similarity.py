"""How similar clips are in picture and sound: many pairs at once, in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

BATCH = 2048  # pairs at once; tens of megabytes
FEWEST_PIECES = 8  # of sound, half a second; fewer are not compared
CHANCE = 0.5  # share of bits that differ if two things have nothing in common
# Mirroring a picture turns the sign of every second column of its DCT, so it turns the bits of pHash's odd columns.
MIRROR = np.uint64(0x5555555555555555)
MIRRORED_BITS = (
    6.0  # mirrored copies measured 1.6 to 4.3; a frontal face is half its own mirror, so other clips come to 12
)


def frame_distance(frames: Sequence[np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Mean bits of 64 by which each picture differs from the nearest of the other clip's, also if one is mirrored.

    frames: for each clip its (n,) uint64 hashes. pairs: (pairs, 2) indices. (pairs,) float; NaN without pictures.
    """
    table = _padded(frames, np.uint64)
    counts = np.array([len(one) for one in frames], np.int64)
    result = np.full(len(pairs), np.nan)
    for start in range(0, len(pairs), BATCH):
        i, j = pairs[start : start + BATCH].T
        plain = _nearest(table[i], table[j], counts[i], counts[j])
        mirrored = _nearest(table[i], table[j] ^ MIRROR, counts[i], counts[j])
        result[start : start + BATCH] = np.where(mirrored <= MIRRORED_BITS, np.fmin(plain, mirrored), plain)
    return result


def _nearest(a: np.ndarray, b: np.ndarray, a_count: np.ndarray, b_count: np.ndarray) -> np.ndarray:
    bits = np.bitwise_count(a[:, :, None] ^ b[:, None, :])  # (pairs, frames, frames) uint8
    a_there = np.arange(a.shape[1]) < a_count[:, None]
    b_there = np.arange(b.shape[1]) < b_count[:, None]
    bits[~(a_there[:, :, None] & b_there[:, None, :])] = 255
    total = np.where(a_there, bits.min(axis=2, initial=255), 0).sum(axis=1, dtype=np.int64)
    total += np.where(b_there, bits.min(axis=1, initial=255), 0).sum(axis=1, dtype=np.int64)
    return np.where((a_count > 0) & (b_count > 0), total / np.maximum(a_count + b_count, 1), np.nan)


def sound_difference(sounds: Sequence[np.ndarray], pairs: np.ndarray, cover: float) -> np.ndarray:
    """Share of bits that differ if the two sounds are laid over each other at their best.

    sounds: for each clip its (n,) uint32 hashes, 0 for silence. cover: share of the shorter sound's pieces that
    must be compared. (pairs,) float in 0 to 1; NaN if a clip has no sound, or less than half a second of it.
    """
    lengths = np.array([len(one) for one in sounds], np.int64)
    longest = lengths[pairs].max(axis=1) if len(pairs) else np.zeros(0, np.int64)
    result = np.full(len(pairs), np.nan)
    for chosen in _batches(np.argsort(longest, kind="stable")):
        i, j = pairs[chosen].T
        result[chosen] = _laid_over(_padded([sounds[k] for k in i]), _padded([sounds[k] for k in j]), cover)
    return result


def _laid_over(a: np.ndarray, b: np.ndarray, cover: float) -> np.ndarray:
    """a, b: (pairs, pieces) uint32, of their own lengths."""
    width = max(a.shape[1], b.shape[1])
    a, b = (np.pad(one, ((0, 0), (0, width - one.shape[1]))) for one in (a, b))
    fewer = np.minimum((a != 0).sum(axis=1), (b != 0).sum(axis=1))
    needed = np.maximum(cover * fewer, FEWEST_PIECES)
    best = np.full(len(a), CHANCE)
    reach = int(np.ceil(width * (1 - cover)))
    for shift in range(-reach, reach + 1):
        left = a[:, max(0, shift) : width + min(0, shift)]
        right = b[:, max(0, -shift) : width - max(0, shift)]
        heard = (left != 0) & (right != 0)
        compared = heard.sum(axis=1)
        differing = np.where(heard, np.bitwise_count(left ^ right), 0).sum(axis=1, dtype=np.int32)
        share = differing / np.maximum(32 * compared, 1)
        best = np.where((compared >= needed) & (share < best), share, best)
    return np.where(fewer >= FEWEST_PIECES, best, np.nan)


def _padded(rows: Sequence[np.ndarray], kind: type = np.uint32) -> np.ndarray:
    """(rows, longest) with zeros behind."""
    table: np.ndarray = np.zeros((len(rows), max((len(row) for row in rows), default=0)), kind)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table


def _batches(order: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]
