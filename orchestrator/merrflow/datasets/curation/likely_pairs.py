"""Which pairs of clips are worth a closer look: those that share a piece of a hash or a subtitle.

All pairs of 100,000 clips are five billion. Two hashes that differ in few bits agree wholly in at least one of some
pieces (multi-index hashing: Norouzi, Punjani & Fleet, CVPR 2012), so that sorting finds them. Where very many clips
share a piece (a title card, a fixed camera), each is compared with its next neighbours in the sorted order alone
(sorted neighbourhood: Hernandez & Stolfo 1995), which keeps copies together, as they sort alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEIGHBOURS = 64  # how far apart in the sorted order two clips may be
BANDS = (0, 16, 32, 48)  # bits; each picture's hash is cut into four pieces of 16
FRAME_BITS = 14  # of 64; pictures further apart do not make a pair


def likely_pairs(
    frames: Sequence[np.ndarray], sounds: Sequence[np.ndarray], texts: Sequence[str], seconds: np.ndarray, length: float
) -> np.ndarray:
    """(pairs, 2) indices, first below second, each once, ascending.

    frames, sounds: as in similarity.py. texts: plain subtitles, "" if they do not count. seconds: (clips,) lengths;
    pairs whose lengths' ratio is below `length` are left out.
    """
    found = []
    owner, words = _flat(frames, np.uint64)
    for band in BANDS:
        piece = (words >> np.uint64(band)) & np.uint64(0xFFFF)
        found.append(_shared(owner, piece, words, seconds, length, FRAME_BITS))
    owner, words = _flat(sounds, np.uint32)
    heard = words != 0
    found.append(_shared(owner[heard], words[heard], words[heard], seconds, length))
    spoken = np.array([index for index, text in enumerate(texts) if text], np.int64)
    _, number = np.unique([texts[index] for index in spoken], return_inverse=True)
    found.append(_shared(spoken, number, number, seconds, length))
    codes = np.unique(np.concatenate(found))
    return np.stack(np.divmod(codes, max(1, len(frames))), axis=1)


def _flat(rows: Sequence[np.ndarray], kind: type) -> tuple[np.ndarray, np.ndarray]:
    """Owner of each hash, and the hashes, each once for each owner."""
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    words = np.concatenate([np.zeros(0, kind), *rows])
    return owner, words


def _shared(
    owner: np.ndarray, piece: np.ndarray, words: np.ndarray, seconds: np.ndarray, length: float, bits: int | None = None
) -> np.ndarray:
    """Pairs of owners that share a piece, as first * clips + second, each once.

    bits: only if their whole words are no further apart.
    """
    order = np.lexsort((owner, words, piece))
    owner, piece, words = owner[order], piece[order], words[order]
    first = np.ones(len(owner), bool)  # an owner counts once for each word
    first[1:] = (owner[1:] != owner[:-1]) | (words[1:] != words[:-1]) | (piece[1:] != piece[:-1])
    owner, piece, words = owner[first], piece[first], words[first]
    found = [np.zeros(0, np.int64)]
    for distance in range(1, NEIGHBOURS + 1):
        same = np.flatnonzero(piece[:-distance] == piece[distance:]) if distance < len(piece) else piece[:0]
        if not len(same):
            break
        i, j = owner[same], owner[same + distance]
        near = (i != j) & (np.minimum(seconds[i], seconds[j]) >= length * np.maximum(seconds[i], seconds[j]))
        if bits is not None:
            near &= np.bitwise_count(words[same] ^ words[same + distance]) <= bits
        i, j = i[near], j[near]
        found.append(np.unique(np.minimum(i, j) * len(seconds) + np.maximum(i, j)))
    return np.unique(np.concatenate(found))
