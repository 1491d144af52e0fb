"""How well the checks of fine-grained texts find planted faults, and how many published captions they refuse.

    python -m benchmarks.text_checks
    python -m benchmarks.text_checks --merr MERR_fine_grained.json

Twelve kinds of faults in 40 made texts each, and the 40 texts without a fault. With `--merr`, captions of MERR's file
with their own clues, by halves in order of names
(the word lists were made with the first), and with
the clues of another clip of the same label. That file has no scene, so the beginning of the caption's first sentence,
up to the first word of the face or voice, is taken as the scene.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from merrflow_llama3 import checks
from merrflow_llama3.prompt import Prompt, load_prompt
from merrflow_llama3.types import Clues

EACH, SEED, PAIRS = 40, 0, 600
GOOD = "good"
SCENES = ("A {who} sits at a desk.", "A {who} stands in front of a house.", "A {who} is shown in a close-up.")
# label: expressions, voice, words, another feeling, a voice that contradicts
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str, str]] = {
    "happy": (("lip corners pulled up", "raised cheeks"), ("loud", "animated"),
              ("We won the game!", "Thank you, this is lovely!", "I got the job!"), "anger", "monotone"),
    "sad": (("lip corners pulled down", "raised inner brows"), ("quiet", "slow"),
            ("I miss him every day.", "She died last winter.", "Nobody came to the station."), "joy", "shouting"),
    "angry": (("lowered brows", "pressed lips"), ("loud", "fast"),
              ("Get out of my sight!", "Who broke the fence?", "Stop it, you liar!"), "happiness", "soft, whispering"),
    "surprise": (("widened eyes", "a dropped jaw"), ("high-pitched", "fast"),
                 ("Is it really finished?", "I can't believe you came!", "That is impossible!"), "grief", "slow"),
    "fear": (("widened eyes", "lips stretched sideways"), ("trembling", "fast"),
             ("Please don't hurt us.", "Something is moving outside.", "Let me go!"), "delight", "calm"),
    "worried": (("lips stretched sideways", "raised inner brows"), ("trembling", "hurried"),
                ("What if the train is late?", "Are you all right?", "The doctor has not called."), "joy", "relaxed"),
}  # fmt: skip
PERSONS = ("waiter", "colleague", "nurse", "neighbour", "policeman", "soldier", "bride", "teacher", "driver", "uncle")
OBJECTS = ("knife", "phone", "suitcase", "umbrella", "vase", "candle", "guitar", "newspaper", "bottle", "ring")
SOUNDS = ("thunder", "a siren", "applause", "a gunshot", "music", "a doorbell", "footsteps", "laughter",
          "a barking dog", "an explosion")  # fmt: skip
EVENTS = ("slams the door", "throws a plate", "punches the wall", "runs away", "kicks a chair", "falls down the stairs",
          "hugs somebody", "pours water", "smashes the mirror", "slaps the other")  # fmt: skip
ALTERED = ("They never told me.", "It was all his idea.", "We have to sell it.", "Come back tomorrow.")


@dataclass(frozen=True)
class Planted:
    """One text over its clues, and its fault; `GOOD` for none."""

    kind: str
    clues: Clues
    text: str


def texts(each: int = EACH, seed: int = SEED) -> Iterator[Planted]:
    """The same for the same seed: `each` good texts, and as many of each kind of fault."""
    draw = random.Random(seed)
    made = [made_text(draw) for _ in range(each)]
    for clues, text in made:
        yield Planted(GOOD, clues, text)
        for kind, wrong in _faults(clues, text, made, draw).items():
            yield Planted(kind, clues, wrong)


def made_text(draw: random.Random) -> tuple[Clues, str]:
    label = draw.choice(sorted(PARTS))
    face, voice, words, _, _ = PARTS[label]
    who = draw.choice(("woman", "man"))
    clues = Clues(
        draw.choice(SCENES).format(who=who), face, f"The voice is {' and '.join(voice)}", draw.choice(words), label
    )
    return clues, _text(clues, voice)


def _text(clues: Clues, voice: tuple[str, ...], *, seen: bool = True, heard: bool = True, said: bool = True) -> str:
    parts = [f"In the video, {clues.scene[0].lower()}{clues.scene[1:-1]}"]
    parts += [f"with {' and '.join(clues.expressions)}"] if seen else []
    parts += [f"and the voice is {' and '.join(voice)}"] if heard else []
    parts += [f'and "{clues.subtitle.rstrip(".")}" can be heard'] if said else []
    felt = {"surprise": "surprised", "fear": "afraid"}.get(clues.label, clues.label)
    return f"{', '.join(parts)}. All this together shows that the person feels {felt} in this situation."


def _faults(clues: Clues, text: str, made: list[tuple[Clues, str]], draw: random.Random) -> dict[str, str]:
    _, voice, _, other, conflict = PARTS[clues.label]
    end = text.rindex("All this")
    feels = re.search(r"feels \w+", text[end:])
    assert feels
    others = [wrong for wrongs, wrong in made if wrongs.label == clues.label and wrongs.subtitle != clues.subtitle]

    def inserted(sentence: str) -> str:
        return f"{text[:end]}{sentence} {text[end:]}"

    return {
        "invented person": inserted(f"A {draw.choice(PERSONS)} waits nearby."),
        "invented object": inserted(f"There is a {draw.choice(OBJECTS)} beside the person."),
        "invented sound": inserted(f"One also notices {draw.choice(SOUNDS)} from far away."),
        "invented event": inserted(f"The person {draw.choice(EVENTS)}."),
        "wrong voice": text.replace(f"the voice is {' and '.join(voice)}", f"the voice is {conflict}"),
        "denied label": text.replace(feels.group(0), feels.group(0).replace("feels", "does not feel")),
        "other feeling": inserted(f"{other.capitalize()} drives the person here."),
        "altered quotation": text.replace(clues.subtitle.rstrip("."), draw.choice(ALTERED)),
        "another clip's text": draw.choice(others) if others else made[0][1],
        "face ignored": _text(clues, voice, seen=False),
        "voice ignored": _text(clues, voice, heard=False),
        "words ignored": _text(clues, voice, said=False),
    }


def refused(clues: Clues, text: str, prompt: Prompt) -> bool:
    """Whether a check refuses the text."""
    prepared = prompt.prepare(clues)
    return bool(checks.failures(_answer(text, prepared, prompt)))


def _answer(text: str, prepared: Clues, prompt: Prompt) -> checks.Answer:
    return checks.Answer(text, prepared, prompt.fill(prepared), every_clue=prompt.every_clue)


def found() -> dict[str, float]:
    """By kind, the share that is refused; for `GOOD`, that is wrong. With "precision" over all."""
    prompt = load_prompt("grounded")
    hits: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for one in texts():
        size[one.kind] += 1
        hits[one.kind] += refused(one.clues, one.text, prompt)
    shares = {kind: round(hits[kind] / size[kind], 3) for kind in size}
    return shares | {"precision": round(1 - hits[GOOD] / hits.total(), 3)}


_CUT = re.compile(
    r"\b(?:expression|exhibit|display|characteri|mark|facial|tone|suggest|indicat|convey|reveal|brow|lip|eye|smil)"
)


def published(file: Path) -> dict[str, Any]:
    """Shares of MERR's captions that are refused under the prompt they were written for: both halves by check, and
    captions of another clip that pass."""
    records = json.loads(file.read_text(encoding="utf-8"))
    names, prompt = sorted(records), load_prompt("merr")
    clues = {name: prompt.prepare(_clues(records[name])) for name in names}
    report: dict[str, Any] = {}
    for half, chosen in (("first half", names[::2]), ("other half", names[1::2])):
        by: Counter[str] = Counter()
        for name in chosen:
            answer = _answer(records[name]["smp_reason_caption"], clues[name], prompt)
            failed = [check.__name__ for check in checks.CHECKS if check(answer)]
            by.update(failed)
            by["any"] += bool(failed)
        report[half] = {check: round(count / len(chosen), 3) for check, count in by.most_common()}
    draw, passed = random.Random(SEED), 0
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[records[name]["pseu_emotion"]].append(name)
    for _ in range(PAIRS):
        name = draw.choice(names)
        other = draw.choice([one for one in alike[records[name]["pseu_emotion"]] if one != name])
        answer = _answer(records[other]["smp_reason_caption"], clues[name], prompt)
        passed += not checks.failures(answer)
    return report | {f"another clip's captions that pass, of {PAIRS}": passed}


def _clues(record: dict[str, Any]) -> Clues:
    first = re.split(r"(?<=[.!?])\s", re.sub(r'"[^"]*"|“[^”]*”', "", record["smp_reason_caption"]).strip())[0]
    cut = _CUT.search(first)
    scene = (first[: cut.start()] if cut else first).removeprefix("In the video,").strip(" ,.")
    given = Clues(scene, tuple(record["visual_prior_list"]), record["audio_prior_list"])
    return replace(given, subtitle=record["text"], label=record["pseu_emotion"])


def main() -> None:
    """Prints a line for each kind, and a JSON object."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--merr", type=Path, help="MERR_fine_grained.json")
    file = arguments.parse_args().merr
    shares = found()
    for kind, share in shares.items():
        print(f"{kind:22}{share:.0%}" if kind != "precision" else f"{kind:22}{share:.3f}")
    print(json.dumps({"refused": shares} | ({"merr": published(file)} if file else {})))


if __name__ == "__main__":
    main()
