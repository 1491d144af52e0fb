"""How well the standing of a label finds planted wrong labels, on made records whose truth is known.

    python -m benchmarks.standing

400 records: 100 with a label against what the face shows, 100 against the words, 100 against both, and 100 right ones.
Clues are missing as often as in real runs, and the witnesses err: the rates are in `ERRORS`. So this
measures how votes are weighed together, not how good any engine is.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from merrflow.core.labels import Label, Verdict
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Tone
from merrflow.stages.standing import stand
from merrflow.stages.witnesses.case import Case
from merrflow.stages.witnesses.rules import load_witnesses

SIZE, SEED = 400, 0
KINDS = ("right", "against the face", "against the words", "against face and words")
# How often a clue is wrong or says nothing; guesses of the order that was seen on the sixteen clips of witnesses.yaml
ERRORS = {"no words": 0.2, "weak words": 0.35, "rules wrong": 0.3, "no network": 0.1, "network wrong": 0.1}
LINES = {
    "happy": ("This is wonderful!", "We did it, great news!", "I love it here"),
    "sad": ("I miss you so much", "I'm sorry, he died", "She is heartbroken"),
    "angry": ("Shut up and get out!", "How dare you!", "I hate you"),
    "fear": ("I'm terrified", "Help me, please", "I am so scared"),
}
PLAIN = ("He comes at four o'clock", "Which one do you mean?", "The door is on the left", "I told you yesterday")
AROUSED = {"angry": 3, "happy": 2, "fear": 2, "sad": -2}


@dataclass(frozen=True)
class Planted:
    """One case, and what is wrong with its label; "right" for nothing."""

    kind: str
    case: Case


def records(size: int = SIZE, seed: int = SEED) -> Iterator[Planted]:
    """The same for the same seed."""
    draw = random.Random(seed)
    for number in range(size):
        yield _one(KINDS[number % len(KINDS)], draw)


def _one(kind: str, draw: random.Random) -> Planted:
    truth = draw.choice(sorted(LINES))
    opposite = [name for name in LINES if load_witnesses().opposite(name, truth)]
    label = truth if kind == "right" else draw.choice(opposite)
    shown = label if kind == "against the words" else truth  # what the face shows
    spoken = label if kind == "against the face" else truth  # what the words say
    ruled = draw.choice(sorted(LINES)) if draw.random() < ERRORS["rules wrong"] else shown
    source = draw.choice(("rules", "table")) if ruled == label else "table"
    found = Label(
        label, source, ("AU06",) if ruled == label else (), (), "default 1", "", ruled, ruled == label,
        {label: draw.uniform(0.6, 2.6)} if ruled == label else {},
    )  # fmt: skip
    return Planted(kind, Case(found, _words(spoken, draw), _voice(AROUSED[truth], draw), {}, "", _network(shown, draw)))


def _words(spoken: str, draw: random.Random) -> Subtitle:
    if draw.random() < ERRORS["no words"]:
        return Subtitle(None, "none", "", "none was found")
    return Subtitle(draw.choice(PLAIN if draw.random() < ERRORS["weak words"] else LINES[spoken]), "table", "en", "")


def _voice(arousal: int, draw: random.Random) -> Tone:
    heard = arousal + draw.choice((-1, 0, 0, 1))
    values = {
        "pitch_median": 180.0,
        "pitch_range": 12.0 if heard > 0 else 3.0 if heard < 0 else 7.0,
        "loudness": -12.0 if heard > 1 else -34.0 if heard < -1 else -23.0,
        "articulation_rate": 6.0 if heard > 2 else 2.0 if heard < -2 else 4.0,
        **{"utterance_seconds": 3.0, "speech_seconds": 3.0, "signal_to_noise": 30.0, "voiced_share": 0.7},
        **{"syllables": 12.0, "harmonics_to_noise": 15.0, "music": 0.0},
    }
    return Tone("A voice.", "speech", {name: (value, "") for name, value in values.items()}, ((0.0, 3.0),))


def _network(shown: str, draw: random.Random) -> dict[str, float]:
    if draw.random() < ERRORS["no network"]:
        return {}
    smiles = (shown == "happy") != (draw.random() < ERRORS["network wrong"])
    happy = draw.uniform(0.3, 0.95) if smiles else draw.uniform(0.0, 0.25)
    return {"happy": happy, "neutral": (1 - happy) * 0.5, "sad": (1 - happy) * 0.5}


def table(size: int = SIZE, seed: int = SEED) -> dict[str, Counter[Verdict]]:
    """Verdicts by what is planted."""
    found: dict[str, Counter[Verdict]] = {kind: Counter() for kind in KINDS}
    for one in records(size, seed):
        found[one.kind][stand(one.case).verdict] += 1
    return found


def share(part: int, whole: int) -> float:
    """0 to 1; 0 of nothing."""
    return part / whole if whole else 0.0


def main() -> None:
    """Prints the table of docs/benchmarks.md."""
    found = table()
    print("| planted | " + " | ".join(Verdict) + " |\n|---|---:|---:|---:|")
    for kind, counts in found.items():
        print(f"| {kind} | " + " | ".join(str(counts[verdict]) for verdict in Verdict) + " |")
    wrong = sum((counts for kind, counts in found.items() if kind != "right"), Counter[Verdict]())
    right = found["right"]
    for verdict, hits, others in ((Verdict.CONTRADICTED, wrong, right), (Verdict.CONFIRMED, right, wrong)):
        precision = share(hits[verdict], hits[verdict] + others[verdict])
        print(f"{verdict}: precision {precision:.2f}, recall {share(hits[verdict], hits.total()):.2f}")


if __name__ == "__main__":
    main()
