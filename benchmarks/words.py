"""How often strong words are right about a label: the witness `words` on published subtitles and labels.

    python -m benchmarks.words --merr MERR_fine_grained.json

The subtitles of MERR's JSON are drawn into two halves by a hash of their names, and one is measured. Most words of
witnesses.yaml come from ratings, but the interjections were chosen with both halves in view, so the figures are not of
unseen texts. A change of the words that looks at subtitles should look at the other half alone.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from merrflow.core.fingerprint import fraction
from merrflow.stages.witnesses.rules import load_witnesses
from merrflow.stages.witnesses.words import strong_words


def rows(file: Path) -> Iterator[tuple[str, str, str]]:
    """Name, subtitle and label of each record that has both."""
    for name, record in json.loads(file.read_text(encoding="utf-8")).items():
        if record.get("text") and record.get("pseu_emotion"):
            yield name, record["text"], record["pseu_emotion"]


def held_out(name: str) -> bool:
    """Half of the names, the same on every machine."""
    return fraction("words", name) < 0.5


def by_sign(found: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """Sign of the words -> labels of the clips; (text, label) pairs whose words point both ways are left out."""
    rules, counts = load_witnesses().words, {sign: Counter[str]() for sign in ("positive", "negative", "surprise")}
    for text, label in found:
        signs = {sign for _, sign in strong_words(text, "en", rules)}
        if "surprise" in signs:
            counts["surprise"][label] += 1
        valences = signs - {"surprise"}
        if len(valences) == 1:
            counts[valences.pop()][label] += 1
    return counts


def main() -> None:
    """Prints a table of the held-out half, and the same figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merr", type=Path, required=True, help="MERR's fine-grained JSON")
    parts: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for name, text, label in rows(parser.parse_args().merr):
        parts[held_out(name)].append((text, label))
    valence = load_witnesses().valence
    result = {}
    for held, name in ((True, "held out"), (False, "the other half")):
        print(f"{name}: {len(parts[held])} subtitles")
        for sign, labels in by_sign(parts[held]).items():
            right = sum(count for label, count in labels.items() if sign in (label, valence.get(label)))
            every = sum(sign in (label, valence.get(label)) for _, label in parts[held]) / max(len(parts[held]), 1)
            shown = ", ".join(f"{label} {count}" for label, count in labels.most_common())
            print(f"  {sign}: right in {right} of {labels.total()} (of all clips {every:.2f}): {shown}")
            result[f"{name}, {sign}"] = {"right": right, "clips": labels.total(), "of_all": round(every, 3)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
