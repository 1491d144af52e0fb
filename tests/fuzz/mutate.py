"""Seeded mutations of bytes, texts and tables: the same generator state gives the same case on any machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

EDGES = (0, 1, 0x7F, 0x80, 0xFF)
WIDE = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WORDS = (
    *("-1", "0", "1e308", "1e999", "-0.0", "nan", "inf", "9" * 30, "1_0", "٣", "0x10", "true", "null", "~", "''"),
    *("\u202e", "\ufeff", "\x00", "\x1b[31m", "\ud7ff", "💥", "é", "\r", "\n", "\t", '"', "'", ",", ";", "=1+1", "@"),
    *("%s", "{0}", "../", "/dev/zero", "a" * 5000, "[" * 2000, "{" * 2000, "&a [*a]", "!!python/none", "<<: *a", "- "),
    *("00:00:01,000 --> 00:00:02,000", "99:99:99,999", "-->", "WEBVTT", "AU99", "AU04", "&#x110000;", "&#xD800;"),
)


def mutate(data: bytes, random: Random, most: int = 8) -> bytes:
    """1 to `most` changes, mostly few. Text-like changes are among them, as headers hold text too."""
    changed = bytearray(data)
    for _ in range(1 + min(int(random.expovariate(0.6)), most - 1)):
        random.choice(_CHANGES)(changed, random)
    return bytes(changed)


def splice(data: bytes, other: bytes, random: Random) -> bytes:
    """The beginning of one and the end of another."""
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def mutate_lines(text: str, random: Random, most: int = 6) -> str:
    """Lines doubled, dropped, exchanged, and their words replaced; the text stays nearly of its kind."""
    lines = text.split("\n")
    for _ in range(random.randint(1, most)):
        at = random.randrange(len(lines)) if lines else 0
        kind = random.randrange(6)
        if not lines or kind == 0:
            lines.insert(at, random.choice(WORDS))
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines[at:at] = [lines[at]] * random.choice((1, 2, 50))
        elif kind == 3:
            other = random.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = _word(lines[at], random)
    return "\n".join(lines)


def _word(line: str, random: Random) -> str:
    start = random.randint(0, len(line))
    end = min(len(line), start + random.choice((0, 1, 2, 5, 20)))
    return line[:start] + random.choice(WORDS) + line[end:]


def _place(data: bytearray, random: Random) -> int:
    # headers are at the beginning, indexes at the end: those decide what a parser does
    span = random.choice((64, 512, len(data), len(data)))
    at = random.randrange(max(1, min(span, len(data))))
    return len(data) - 1 - at if random.random() < 0.2 and data else at


def _flip(data: bytearray, random: Random) -> None:
    if data:
        data[_place(data, random)] ^= 1 << random.randrange(8)


def _byte(data: bytearray, random: Random) -> None:
    if data:
        data[_place(data, random)] = random.choice((*EDGES, random.randrange(256)))


def _number(data: bytearray, random: Random) -> None:
    at, size = _place(data, random), random.choice((2, 4, 8))
    value = random.choice((*WIDE, random.getrandbits(32))) & ((1 << 8 * size) - 1)
    data[at : at + size] = value.to_bytes(size, random.choice(("big", "little")))


def _drop(data: bytearray, random: Random) -> None:
    at = _place(data, random)
    del data[at : at + random.choice((1, 2, 4, 16, 256, 4096))]


def _double(data: bytearray, random: Random) -> None:
    at = _place(data, random)
    part = data[at : at + random.choice((1, 4, 32, 512))]
    data[at:at] = part * random.choice((1, 2, 20))


def _move(data: bytearray, random: Random) -> None:
    at, to = _place(data, random), _place(data, random)
    size = random.choice((4, 32, 512))
    data[to : to + size] = data[at : at + size]


def _insert(data: bytearray, random: Random) -> None:
    at = _place(data, random)
    data[at:at] = random.choice(WORDS).encode(errors="replace") if random.random() < 0.3 else random.randbytes(8)


def _cut(data: bytearray, random: Random) -> None:
    if random.random() < 0.3:
        del data[random.randint(0, len(data)) :]


_CHANGES: Sequence[Callable[[bytearray, Random], None]] = (
    _flip, _flip, _byte, _byte, _number, _number, _drop, _double, _move, _insert, _cut,
)  # fmt: skip
