"""Finds the text in each sample and reads it, with as few runs of the networks as give the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2

from merrflow.stages.arrays import Picture
from merrflow.stages.text_samples import TextSample, rules
from merrflow_serving.media.ocr import Box, TextLine

Known = dict[tuple[int, Box], TextLine | None]  # what was read: number of the sample, box


class Reader(Protocol):
    """What is needed of `merrflow_serving.media.ocr.TextReader`."""

    def detect(self, image: Picture) -> tuple[Box, ...]: ...

    def recognise(self, image: Picture) -> TextLine | None: ...


@dataclass(frozen=True)
class Seen:
    """Boxes of one sample, in shares of the frame (x, width by its width; y, height by its height)."""

    sample: TextSample
    boxes: list[Box]


def detect(samples: Sequence[TextSample], reader: Reader, known: Known) -> list[Seen]:
    """Every second sample first; one between two that show the same line has what they have, text included."""
    seen: list[Seen | None] = [None] * len(samples)
    last = len(samples) - 1
    for index in [*range(0, last, 2), last]:
        seen[index] = _look(samples, index, seen, reader)
    for index in range(1, last, 2):
        before, after = seen[index - 1], seen[index + 1]
        assert before and after
        if _is_between(index, before, after, reader, known):
            seen[index] = Seen(samples[index], list(before.boxes))
            known |= {(index, box): known[index - 1, box] for box in before.boxes if (index - 1, box) in known}
        else:
            seen[index] = _look(samples, index, seen, reader)
    return [one for one in seen if one]


def _look(samples: Sequence[TextSample], index: int, seen: Sequence[Seen | None], reader: Reader) -> Seen:
    """The text in a sample; if it looks like one of the two before it, the text of that one."""
    sample = samples[index]
    for one in seen[max(0, index - 2) : index][::-1]:
        if one and not _changed(sample.image, one.sample.image):
            return Seen(sample, list(one.boxes))
    boxes = [
        (x / sample.width, (y + sample.top) / sample.height, w / sample.width, h / sample.height)
        for x, y, w, h in reader.detect(sample.image)
    ]
    return Seen(sample, boxes)


def _is_between(index: int, before: Seen, after: Seen, reader: Reader, known: Known) -> bool:
    """Whether the samples around `index` show the same line, so that the sample itself must show it too."""
    rule = rules()["between"]
    if after.sample.timestamp - before.sample.timestamp > rule["seconds"]:
        return False
    lines = [
        sorted(box for box in one.boxes if has_letter_size(box, one.sample) and is_in_place(box))
        for one in (before, after)
    ]
    if len(lines[0]) != len(lines[1]):
        return False
    placed = list(zip(*lines, strict=True))
    if any(apart(one, other) > rule["moved"] for one, other in placed):
        return False
    for one, other in placed:
        first = recognise(index - 1, one, before, reader, known)
        if first is None or first.confidence < rule["sure"]:
            return False
        if same_pixels(before, after, one):
            known.setdefault((index + 1, other), first)
        second = recognise(index + 1, other, after, reader, known)
        if second is None or second.confidence < rule["sure"] or second.text != first.text:
            return False
    return bool(placed)


def recognise(index: int, box: Box, one: Seen, reader: Reader, known: Known) -> TextLine | None:
    """What a place of sample `index` reads; asked of the reader once."""
    if (index, box) not in known:
        known[index, box] = reader.recognise(pixels(one.sample, box))
    return known[index, box]


def apart(one: Box, other: Box) -> float:
    """How far the edges of two boxes are from each other at most, in shares of the frame."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def same_pixels(before: Seen, after: Seen, box: Box) -> bool:
    """Whether a place looks as it did."""
    now, then = pixels(after.sample, box), pixels(before.sample, box)
    return now.shape == then.shape and bool(float(cv2.absdiff(now, then).mean()) < rules()["unchanged"])


def _changed(a: Picture, b: Picture) -> bool:
    """Whether any spot of two pictures differs: the largest mean difference of an 8 x 8 block."""
    if a.shape != b.shape:
        return True
    difference = cv2.absdiff(a, b).max(axis=2)
    size = (max(1, difference.shape[1] // 8), max(1, difference.shape[0] // 8))
    blocks = cv2.resize(difference, size, interpolation=cv2.INTER_AREA)
    return bool(float(blocks.max()) > 4 * rules()["unchanged"])


def has_letter_size(box: Box, sample: TextSample) -> bool:
    share = box[3] * sample.height / min(sample.width, sample.height)
    letters = rules()["letters"]
    return bool(letters["min_height"] <= share <= letters["max_height"])


def is_in_place(box: Box) -> bool:
    place = rules()["place"]
    inside = box[0] >= place["margin"] and box[0] + box[2] <= 1 - place["margin"]
    return bool(inside and abs(box[0] + box[2] / 2 - 0.5) <= place["off_centre"])


def pixels(sample: TextSample, box: Box, pad: float = 0.0) -> Picture:
    height = box[3] * sample.height
    left = int(max(0, box[0] * sample.width - pad * height))
    right = int(min(sample.width, (box[0] + box[2]) * sample.width + pad * height)) + 1
    top = int(max(0, box[1] * sample.height - sample.top))
    bottom = int((box[1] + box[3]) * sample.height - sample.top) + 1
    return sample.image[top:bottom, left:right]
