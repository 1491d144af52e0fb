"""Subtitles that are part of the picture: sampled, read by OCR, and distinguished from tickers and logos.

Subtitles are centred, inside the safe area, of one size, and change every few seconds; tickers run out of the
picture and scroll; logos are at the side and stay. Reading the mean of a line's samples if single
readings are unsure follows multi-frame integration in video OCR (Sato et al. 1998).
Thresholds and their reasons: `burned_in.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz

from merrflow.stages.arrays import Picture
from merrflow.stages.language import language
from merrflow.stages.text_boxes import (
    Known,
    Reader,
    Seen,
    apart,
    detect,
    has_letter_size,
    is_in_place,
    pixels,
    recognise,
    same_pixels,
)
from merrflow.stages.text_line_tracks import Sighting, Track, in_order, make_tracks, scrolls
from merrflow.stages.text_samples import TextSample, rules
from merrflow_serving.media.ocr import Box, TextLine


@dataclass(frozen=True)
class BurnedIn:
    """The subtitle in the picture; `text` is None if there is none."""

    text: str | None
    language: str
    also: Mapping[str, str]  # the same subtitle in other languages: language -> text
    confidence: float  # the least sure line's, 0 to 1
    reason: str


def read_burned_in(samples: Sequence[TextSample], reader: Reader) -> BurnedIn:
    """The subtitle in the picture. Raises what the reader raises; everything else ends in a reason."""
    if not samples:
        return _none("no frame was sampled")
    known: Known = {}
    seen = detect(samples, reader, known)
    found = sum(len(one.boxes) for one in seen)
    if not found:
        return _none("nothing is written in the lowest part of the picture")
    tickers = _ticker_rows(seen)
    lines: list[list[Sighting]] = [[] for _ in seen]
    for index, one in enumerate(seen):
        candidates = [box for box in one.boxes if has_letter_size(box, one.sample) and not _in_rows(box, tickers)]
        for pieces in _join(candidates, one.sample):
            whole = _hull(pieces)
            if is_in_place(whole):
                line = _read_line(index, pieces, seen, reader, known)
                if line is not None:
                    lines[index].append(line)
    rule = rules()
    tracks = make_tracks(lines, rule["same_line"])
    kept: list[tuple[Track, str, float]] = []
    for track in tracks:
        if scrolls(track, rule["ticker"]["shift"]) or track.end - track.start > rule["longest"]:
            continue
        text, confidence = _best_reading(track, samples, reader)
        if confidence >= rule["reading"]["keep_confidence"] and any(letter.isalpha() for letter in text):
            kept.append((track, text, confidence))
    if not kept:
        band = "; what is written there is a ticker, a logo or too faint" if found else ""
        return _none(f"no subtitle among {found} pieces of text in {len(samples)} pictures{band}")
    return _compose(kept, len(samples))


def _none(reason: str) -> BurnedIn:
    return BurnedIn(None, "", {}, 0.0, reason)


def _ticker_rows(seen: Sequence[Seen]) -> list[tuple[float, float]]:
    """Middles and heights of rows in which text runs out of the picture."""
    rule = rules()["ticker"]
    needed = rule["samples"] if len(seen) > 2 else 1
    rows: list[tuple[float, float, set[int]]] = []
    for index, one in enumerate(seen):
        for box in one.boxes:
            at_edge = box[0] < rule["edge"] or box[0] + box[2] > 1 - rule["edge"]
            if not (at_edge and box[2] >= rule["width"] and has_letter_size(box, one.sample)):
                continue
            middle = box[1] + box[3] / 2
            for row in rows:
                if abs(row[0] - middle) < box[3] / 2:
                    row[2].add(index)
                    break
            else:
                rows.append((middle, box[3], {index}))
    return [(middle, height) for middle, height, samples in rows if len(samples) >= needed]


def _in_rows(box: Box, rows: Sequence[tuple[float, float]]) -> bool:
    middle = box[1] + box[3] / 2
    return any(abs(middle - row) < 0.6 * max(height, box[3]) for row, height in rows)


def _join(boxes: Sequence[Box], sample: TextSample) -> list[list[Box]]:
    """Pieces of one row: same middle, similar height, a gap of at most `join_gap` heights."""
    gap_limit = rules()["place"]["join_gap"] * sample.height / sample.width
    lines: list[list[Box]] = []
    for box in sorted(boxes):
        for line in lines:
            last = line[-1]
            height = min(last[3], box[3])
            level = abs(last[1] + last[3] / 2 - box[1] - box[3] / 2) < 0.35 * height
            alike = max(last[3], box[3]) < 1.6 * height
            if level and alike and box[0] - (last[0] + last[2]) < gap_limit * height:
                line.append(box)
                break
        else:
            lines.append([box])
    return lines


def _hull(boxes: Sequence[Box]) -> Box:
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    return (left, top, right - left, bottom - top)


def _read_line(
    index: int,
    pieces: Sequence[Box],
    seen: Sequence[Seen],
    reader: Reader,
    known: Known,
) -> Sighting | None:
    """Reads a line piece by piece; a piece whose place did not change since the last sample keeps its text."""
    read: list[TextLine] = []
    for box in pieces:
        line = known.get((index, box)) or _recall(index, box, seen, known)
        if line is None:
            line = recognise(index, box, seen[index], reader, known)
        known[index, box] = line
        if line is not None and line.confidence >= rules()["reading"]["min_confidence"]:
            read.append(line)
    if not read:
        return None
    letters = sum(len(line.text) for line in read)
    confidence = sum(line.confidence * len(line.text) for line in read) / letters
    text = " ".join(line.text for line in read)
    return Sighting(index, seen[index].sample.timestamp, text, confidence, _hull(pieces))


def _recall(
    index: int, box: Box, seen: Sequence[Seen], known: Mapping[tuple[int, Box], TextLine | None]
) -> TextLine | None:
    if index == 0:
        return None
    for (when, other), line in known.items():
        if when != index - 1 or line is None or apart(box, other) > 0.01:
            continue
        if same_pixels(seen[when], seen[index], other):
            return line
    return None


def _best_reading(track: Track, samples: Sequence[TextSample], reader: Reader) -> tuple[str, float]:
    """The reading that agrees most with all others of full width, and how sure it is.

    Agreement, not confidence alone: a reading that drops a faint letter is often surer than one that has it.
    The returned confidence, 0 to 1, is the reading's own times its agreement with the others.
    """
    rule = rules()["reading"]
    full = rule["full_width"] * max(one.box[2] for one in track.sightings)
    whole = [one for one in track.sightings if one.box[2] >= full]
    readings = [(one.text, one.confidence) for one in whole]
    if max(one.confidence for one in whole) < rule["sure"]:
        readings += _read_again(whole, samples, reader)
    support = {text: sum(sure * fuzz.ratio(text, other) for other, sure in readings) for text, _ in readings}
    best = max(support, key=lambda text: (support[text], len(text)))
    agreement = support[best] / sum(100 * sure for _, sure in readings)
    return best, agreement * max(sure for text, sure in readings if text == best)


def _read_again(
    sightings: Sequence[Sighting], samples: Sequence[TextSample], reader: Reader
) -> list[tuple[str, float]]:
    """Readings of the mean picture and of wider crops; their errors differ, so that they can be voted on."""
    rule = rules()["reading"]
    hull = _hull([one.box for one in sightings])
    crops: list[Picture] = []
    for pad in (0.0, rule["pad"]):
        same = [pixels(samples[one.sample], hull, pad) for one in sightings]
        same = [crop for crop in same if crop.shape == same[0].shape]
        crops.append(np.mean(same, axis=0).round().astype(np.uint8))
    few = sightings[:: -(-len(sightings) // rule["votes"])]
    crops += [pixels(samples[one.sample], one.box, rule["pad"]) for one in few]
    lines = [reader.recognise(crop) for crop in crops]
    return [(line.text, line.confidence) for line in lines if line is not None]


def _compose(kept: Sequence[tuple[Track, str, float]], pictures: int) -> BurnedIn:
    """Joins the lines. Of bilingual subtitles (one language above the other) English, the other in `also`."""
    order = in_order([track for track, _, _ in kept])
    by_track = {id(track): (text, confidence) for track, text, confidence in kept}
    lines = [(track, *by_track[id(track)], language(by_track[id(track)][0])) for track in order]
    whole = " ".join(text for _, text, _, _ in lines)
    main = language(whole)
    groups: dict[str, list[str]] = {}
    english = [line for line in lines if line[3] == "en"]
    other = [line for line in lines if line[3] not in ("en", "")]
    paired = sum(any(line[0].overlaps(mate[0]) for mate in english) for line in other)
    also: dict[str, str] = {}
    chosen = lines
    if english and other and paired >= 0.5 * len(other):
        chosen, main = [line for line in lines if line[3] in ("en", "")], "en"
        for line in other:
            groups.setdefault(line[3], []).append(line[1])
        also = {name: " ".join(texts) for name, texts in groups.items()}
    confidence = min(line[2] for line in chosen)
    views = len({one.sample for line in chosen for one in line[0].sightings})
    number = _count(len(chosen), "line")
    reason = f"read in {views} of {pictures} pictures, {number}, confidence {confidence:.2f}"
    if confidence < rules()["reading"]["unsure"]:
        reason += " (unsure: letters may be wrong)"
    if also:
        reason += "; bilingual: " + "; ".join(f"{name}: {text}" for name, text in also.items())
    return BurnedIn(" ".join(line[1] for line in chosen), main, also, confidence, reason)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
