"""The dataset card of a Hugging Face export: YAML for programs, and figures and limits for people, from the data."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from merrflow.core.version import __version__
from merrflow.datasets.agreements import Agreements
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.columns import Column
from merrflow.datasets.export.text import one_line
from merrflow.datasets.review.agreement import Share
from merrflow.datasets.review.audit import AuditReport
from merrflow.datasets.review.corrected import HUMAN
from merrflow.datasets.scoring.files import Tally

if TYPE_CHECKING:
    from jinja2 import Template

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~$#&])")
_CHECKSUM = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{16,}\b")
_HELD = {"image": "a picture", "video": "the clip itself", "audio": "its sound"}
_TASKS = {  # of huggingface.co/tasks, by what the dataset holds
    "image": ("image-classification", "image-text-to-text"),
    "video": ("video-classification", "video-text-to-text"),
    "audio": ("audio-classification",),
    "text": ("text-classification",),
}
MAX_ROWS = 30  # of a table of reasons
Sizes = Mapping[str, tuple[int, int, int]]  # split -> rows, bytes in memory, bytes of files


class Card:
    """Sums up records as they pass, and writes the card."""

    def __init__(self, columns: tuple[Column, ...], audit: AuditReport | None = None) -> None:
        self._columns = columns
        self._audit = audit
        self._labels: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._missing: Counter[tuple[str, str]] = Counter()
        self._origins: Counter[tuple[str, ...]] = Counter()
        self._notes: dict[tuple[str, ...], str] = {}  # of engine, model and revision
        self._verdicts: Counter[str] = Counter()
        self._standings: Counter[str] = Counter()
        self._supported: Counter[bool | None] = Counter()
        self._scores = Tally()
        self._agreements = Agreements()
        self._seconds = 0.0
        self._words: dict[str, Counter[int]] = {"coarse": Counter(), "fine": Counter()}
        self._fine: set[bytes] = set()  # hashes of texts

    def add(self, entry: Entry) -> None:
        """Takes one record into the figures."""
        record = entry.record
        self._labels[record.label.label] += 1
        self._sources[record.label.source] += 1
        self._rules[record.label.rules] += 1
        self._supported[record.label.supported] += 1
        if record.label.standing:
            self._standings[str(record.label.standing.verdict)] += 1
        self._outcomes[str(entry.outcome)] += 1
        if record.subtitle.text:
            self._languages[record.subtitle.language] += 1
        self._missing.update((clue, why) for clue, why in record.missing.items())
        for clue, origin in record.origins.items():
            engine = (origin.engine, origin.model, origin.revision)
            self._origins[(clue, *engine)] += 1
            # a note about one clip, such as a file's name, says nothing about the others
            self._notes[engine] = origin.note if self._notes.get(engine, origin.note) == origin.note else ""
        self._verdicts.update(claim.verdict for claim in record.grounding)
        self._scores.add(entry)
        self._agreements.add(record)
        self._seconds += record.probe.seconds
        self._words["coarse"][len(record.coarse.split())] += 1
        fine = entry.fine_text
        if fine is not None:
            self._words["fine"][len(fine.split())] += 1
            self._fine.add(hashlib.sha256(fine.encode(errors="replace")).digest())

    def text(self, sizes: Sizes, seed: int, inside: Sequence[str], features: Sequence[Mapping[str, Any]]) -> str:
        """The card, README.md. inside: which files the dataset holds, of columns.MEDIA; features: for its YAML."""
        # by way of JSON, so that no two values are one object, which YAML would write once and then refer to
        header = json.loads(json.dumps(self._header(sizes, inside, features)))
        rows = sum(size[0] for size in sizes.values())
        described = sum(self._words["fine"].values())
        return _template().render(
            header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=110),
            version=__version__,
            rows=rows,
            seconds=round(self._seconds),
            sizes=sizes,
            seed=seed,
            labels=_most(self._labels),
            sources=_most(self._sources),
            rules=_most(self._rules),
            outcomes=_most(self._outcomes),
            supported=self._supported,
            standings=self._standings,
            languages=_most(self._languages),
            missing=_most(self._missing)[:MAX_ROWS],
            origins=sorted(self._origins.items()),
            notes=sorted(self._notes.items()),
            verdicts=dict(self._verdicts),
            agreements=self._agreements.rows(),
            fine=described,
            distinct=len(self._fine),
            words={grain: _spread(counts) for grain, counts in self._words.items() if counts},
            columns=self._columns,
            inside=[_HELD[name] for name in inside],
            audit=self._audit,
            scores=self._scores,
            checked=self._sources[HUMAN],
        )

    def _header(self, sizes: Sizes, inside: Sequence[str], features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        rows = sum(size[0] for size in sizes.values())
        languages = sorted({code for code in self._languages if re.fullmatch("[a-z]{2,3}", code)} | {"en"})
        return {
            "pretty_name": "Multimodal emotion dataset by merrflow",
            "license": "other",
            "language": languages,
            "task_categories": [task for name in inside or ("text",) for task in _TASKS[name]],
            "tags": ["emotion-recognition", "affective-computing", "facial-action-units", "multimodal", "merr"],
            "size_categories": [next((word for limit, word in _SIZES if rows < limit), "n>1M")],
            "configs": [
                {"config_name": "default", "data_files": [{"split": name, "path": f"data/{name}-*"} for name in sizes]}
            ],
            "dataset_info": {
                "features": list(features),
                "splits": [
                    {"name": name, "num_bytes": in_memory, "num_examples": count}
                    for name, (count, in_memory, _) in sizes.items()
                ],
                "download_size": sum(size[2] for size in sizes.values()),
                "dataset_size": sum(size[1] for size in sizes.values()),
            },
        }


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("merrflow.datasets.export", "."),
        autoescape=False,  # Markdown: what is not trusted goes through `plain`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "abridged": _abridged}
    environment.globals["named"] = _named
    return environment.get_template("card.md.j2")


def plain(text: object, longest: int = 300) -> str:
    """Text that stays text in Markdown, in one line, for tables too."""
    line = one_line(str(text))
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return _MARKUP.sub(r"\\\1", line)


def _abridged(revision: str) -> str:
    """Long checksums by their first digits, so that a line stays one."""
    return _CHECKSUM.sub(r"\1…", revision)


def _named(kind: str, shares: Mapping[str, Share]) -> list[tuple[str, Share]]:
    """Rows of a table: "label happy" and its share."""
    return [(kind + name, share) for name, share in shares.items()]


def _most(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """Most frequent first, then by name, so that it is the same for the same records."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _spread(counts: Counter[int]) -> tuple[int, int, int]:
    """Least, median and most."""
    ordered = sorted(counts.elements())
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]
