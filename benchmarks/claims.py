"""How well judges of claims find one changed fact in a text.

    python -m benchmarks.claims
    python -m benchmarks.claims --model 60
    python -m benchmarks.claims --merr MERR_fine_grained.json --pairs 2000

Pairs of texts over the same clues: one that is right, and the same with one fact changed, of the face, the voice, the
words, the people, the objects or the label. A text is flagged if a judge finds one of its claims contradicted (or, in
the wider sense, not supported). Recall is the share of changed texts that are flagged, precision the share of changed
ones among the flagged. The texts are those of `benchmarks.text_checks`; with `--merr` they are published captions,
whose file has no scene, so that only contradictions count there. `--model` asks the llama3 service too, about so many
pairs; as `merrflow score` it starts one if no address is set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.text_checks import ALTERED, EVENTS, OBJECTS, PERSONS, made_text
from merrflow.cli.score import open_judges
from merrflow.core.settings_file import load_settings
from merrflow.stages.claims.judge import FACE, LABEL, SCENE, VOICE, WORDS, Evidence, Finding, Judge
from merrflow.stages.claims.split import split

KINDS = ("face", "voice", "words", "people", "objects", "label")
EACH, SEED = 80, 0  # made texts; each is changed in every way that it can be
SWAPS: dict[str, tuple[tuple[str, str], ...]] = {
    "face": (
        (r"lip corners? (?:pulled|pull) up", "lip corners pulled down"),
        (r"lip corners? (?:pulled|pull) down", "lip corners pulled up"),
        (r"raised cheeks|cheek raiser", "a wrinkled nose"),
        (r"widened eyes|upper lid raiser", "closed eyes"),
        (r"a dropped jaw|jaw drop", "pressed lips"),
        (r"lowered brows|furrowed brows?|brow lowerer", "raised outer brows"),
        (r"pressed lips|lips? tightener", "a widely opened mouth"),
        (r"lips stretched sideways", "a wrinkled nose"),
        (r"smil(?:e|es|ing)", "pressed lips"),
    ),
    "voice": (
        (r"\bloud\b", "quiet"),
        (r"\bquiet\b", "loud"),
        (r"\bfast\b|\bhurried\b", "slow"),
        (r"\bslow\b", "fast"),
        (r"high-pitched", "low-pitched"),
        (r"\banimated\b", "monotonous"),
        (r"\btrembling\b", "calm"),
        (r"\b(?:normal|natural|neutral)(?= (?:tone|voice|intonation))", "angry"),
        (r"\bnegative(?= (?:tone|voice|intonation))", "cheerful"),
    ),
    "people": ((r"\bwoman\b", "man"), (r"\bman\b", "woman")),
}
FEELINGS = {
    "happy": "sad",
    "sad": "happy",
    "angry": "happy",
    "surprise": "angry",
    "fear": "happy",
    "worried": "happy",
    "neutral": "angry",
    "contempt": "happy",
    "doubt": "happy",
}
FELT = re.compile(r"\b(feels?|feeling) (\w+)|emotional state (?:is|of) (?:likely )?(\w+)")


@dataclass(frozen=True)
class Pair:
    """Two texts over the same clues."""

    kind: str
    evidence: Evidence
    right: str
    changed: str


def made(each: int = EACH, seed: int = SEED) -> Iterator[Pair]:
    """The same for the same seed."""
    draw = random.Random(seed)
    for _ in range(each):
        clues, text = made_text(draw)
        named = {SCENE: clues.scene, FACE: ", ".join(clues.expressions), VOICE: clues.tone, WORDS: clues.subtitle}
        yield from _pairs(Evidence(named | {LABEL: clues.label}), text, draw)


def published(file: Path, most: int, seed: int = SEED) -> Iterator[Pair]:
    """Of MERR's captions, changed where their clues speak of the fact. Of the half by name, and of it three in four,
    that the rules' words were not adjusted on."""
    records, draw, count = json.loads(file.read_text(encoding="utf-8")), random.Random(seed), 0
    names = sorted(records)
    for place, name in enumerate(names):
        if place < len(names) // 2 or place % 4 == 0:
            continue
        one = records[name]
        clues = {FACE: ", ".join(one["visual_prior_list"]), VOICE: one["audio_prior_list"], WORDS: one["text"]}
        evidence = Evidence(clues | {LABEL: one["pseu_emotion"]}, action_units=frozenset(one["peak_AU_list"]))
        text = " ".join(one["smp_reason_caption"].split())
        for pair in _pairs(evidence, text, draw):
            if pair.kind not in ("objects", "people"):  # of which that file's clues say nothing
                yield pair
                count += 1
                if count == most:
                    return


def _pairs(evidence: Evidence, text: str, draw: random.Random) -> Iterator[Pair]:
    for kind in KINDS:
        changed = _change(kind, evidence, text, draw)
        if changed and changed != text:
            yield Pair(kind, evidence, text, changed)


def _change(kind: str, evidence: Evidence, text: str, draw: random.Random) -> str | None:
    """The text with one fact changed; None if it has no such fact."""
    if kind == "words":
        quotes = re.findall(r"\"[^\"]{8,}\"", text)
        return text.replace(draw.choice(quotes), f'"{draw.choice(ALTERED).rstrip(".")}"', 1) if quotes else None
    if kind == "label":
        other = FEELINGS.get(evidence.clues[LABEL], "")
        found = FELT.search(text)
        named = found and (found[2] or found[3])
        return text.replace(str(named), other, 1) if found and named and other else None
    if kind == "objects":
        things = (f"There is a {draw.choice(OBJECTS)} beside the person.", f"The person {draw.choice(EVENTS)}.")
        return f"{text} {draw.choice(things)}"
    if kind == "people" and draw.random() < 0.5:
        return f"{text} A {draw.choice(PERSONS)} waits nearby."
    able = [(old, new) for old, new in SWAPS[kind] if re.search(old, text, re.IGNORECASE)]
    if not able:
        return None
    old, new = draw.choice(able)
    return re.sub(old, new, text, count=1, flags=re.IGNORECASE)


async def figures(judge: Judge, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Recall by kind and over all, and precision; each by contradictions alone, and by all that is not supported."""
    senses: dict[str, Callable[[Finding], bool]] = {
        "contradicted": lambda finding: finding is Finding.CONTRADICTED,
        "not supported": lambda finding: finding is not Finding.SUPPORTED,
    }
    size: Counter[str] = Counter()
    hits = {sense: Counter[str]() for sense in senses}
    wrong: Counter[str] = Counter()
    known: dict[tuple[str, str], dict[str, bool]] = {}
    start = time.monotonic()
    for pair in pairs:
        size[pair.kind] += 1
        for text in (pair.right, pair.changed):
            key = (repr(pair.evidence), text)
            if key not in known:
                found = [one.finding for one in await judge.judge("pair", split(text), pair.evidence)]
                known[key] = {sense: any(map(counts, found)) for sense, counts in senses.items()}
            for sense, flagged in known[key].items():
                if text == pair.changed:
                    hits[sense][pair.kind] += flagged
                else:
                    wrong[sense] += flagged
    seconds = time.monotonic() - start
    report: dict[str, Any] = {"pairs": len(pairs), "seconds": round(seconds, 1)}
    for sense in senses:
        found_all = hits[sense].total()
        report[sense] = {
            "recall": {kind: round(hits[sense][kind] / size[kind], 3) for kind in size},
            "recall of all": round(found_all / len(pairs), 3),
            "precision": round(found_all / (found_all + wrong[sense]), 3) if found_all + wrong[sense] else None,
        }
    return report


async def _run(file: Path | None, most: int, model: int) -> dict[str, Any]:
    pairs = list(published(file, most) if file else made())
    names = ["rules", "model"] if model else ["rules"]
    async with open_judges(names, load_settings()) as judges:
        sets = {"rules": pairs, "model": random.Random(SEED).sample(pairs, min(model, len(pairs)))}
        return {judge.name: await figures(judge, sets[judge.name]) for judge in judges}


def main() -> None:
    """Prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merr", type=Path, help="MERR_fine_grained.json")
    parser.add_argument("--pairs", type=int, default=2000, help="most pairs of published captions")
    parser.add_argument("--model", type=int, default=0, help="pairs that the model judges")
    given = parser.parse_args()
    print(json.dumps(asyncio.run(_run(given.merr, given.pairs, given.model)), indent=2))


if __name__ == "__main__":
    main()
