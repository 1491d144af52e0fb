"""Runs to report on: real ledgers in a folder, with records whose numbers are known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np

from merrflow.core.inputs import Found
from merrflow.core.labels import Label
from merrflow.core.measurements import Curves, Peak, Probe, Shot, Subject
from merrflow.core.records import Outcome, Record
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Origin, Reasoning, Scene, Tone
from merrflow.datasets.entries import RECORDS
from merrflow.store import Ledger, StageRow

FRAMES, FPS = 50, 25.0
PEAK = 20


def record(name: str, label: str = "happy", **changes: object) -> Record:
    """A two-second clip with a smile that is highest at frame 20 and a shot cut at frame 30."""
    smile = tuple(3.0 * math.exp(-(((i - PEAK) / 8) ** 2)) for i in range(FRAMES))
    origin = Origin("mediapipe", "face_landmarker", "sha256:" + "0a1b2c3d" * 8, "", "a proxy, not OpenFace", 0.01, 1.2)
    values: dict[str, object] = {
        "name": name,
        "path": f"/data/{name}.mp4",
        "sha256": "ab" * 32,
        "probe": Probe(640, 360, FPS, FRAMES, FRAMES / FPS, (Shot(0, 30), Shot(30, FRAMES)), 2.0),
        "subject": Subject(tuple((i, 0) for i in range(FRAMES)), 1, 1.0, "the only face"),
        "peak": Peak(PEAK, PEAK / FPS, ("AU06", "AU12"), {"AU06": 1.5, "AU12": 3.0}, ("AU12",), 3.0, "AU12 at 3.00"),
        "label": Label(label, "rules", ("AU12",), ("Big smile",), "default 2", f"{label}: AU12 of AU06 AU12"),
        "subtitle": Subtitle("What a day", "table", "en", "from the table"),
        "scene": Scene("One person in a close-up.", {"people": (1.0, "1")}, ()),
        "tone": Tone("A bright voice.", "speech", {"pitch_mean": (212.4, "Hz")}, ((0.2, 1.0),)),
        "coarse": "This person smiles. Saying: What a day",
        "coarse_template": "merr 1",
        "reasoning": Reasoning("The smile and the bright voice tell of joy.", 1, 10, 10),
        "origins": {"action_units": origin},
        "seconds": {"probe": 0.5, "action_units": 1.5},
        "missing": {},
        "curves": Curves(
            tuple(i / FPS for i in range(FRAMES)),
            tuple(range(FRAMES)),
            {"AU06": tuple(v / 2 for v in smile), "AU12": smile, "AU45": (0.0,) * FRAMES},
        ),
    }
    return Record(**(values | changes))  # type: ignore[arg-type]


def run(
    out: Path,
    records: Iterable[Record] = (),
    dropped: Iterable[tuple[str, Outcome | None, str]] = (),
    *,
    outcome: Outcome = Outcome.DONE,
    reason: str = "",
    size: tuple[int, int] = (640, 360),
) -> Ledger:
    """A ledger in `out` with these records, the peak frames of which are there too."""
    (out / "peaks").mkdir(parents=True)
    image = cv2.resize(np.random.default_rng(7).integers(0, 255, (9, 16, 3), np.uint8), size)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    ledger = Ledger.in_folder(out)
    records, dropped = list(records), list(dropped)
    paths = {name: Path(f"/data/{name}.mp4") for name in [r.name for r in records] + [d[0] for d in dropped]}
    ledger.register([Found(path) for path in paths.values()], {path: name for name, path in paths.items()})
    for one in records:
        (out / "peaks" / f"{one.name}.jpg").write_bytes(jpeg)
        ledger.finish_clip(one.name, "print", StageRow(outcome, reason, RECORDS.dump_json(one), 2.0))
    for name, how, why in dropped:
        if how:
            ledger.finish_clip(name, "print", StageRow(how, why, b"", 0.1))
    return ledger


def many(count: int, labels: tuple[str, ...] = ("happy", "sad", "neutral")) -> list[Record]:
    """Records that differ in name and label."""
    first = record("clip")
    return [
        replace(first, name=f"clip_{i:05}", label=replace(first.label, label=labels[i % len(labels)]))
        for i in range(count)
    ]


class Page(HTMLParser):
    """A report as a browser's parser sees it: elements with attributes, and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.inside: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        kind = self.inside[-1] if self.inside else ""
        {"script": self.scripts, "style": self.styles}.get(kind, self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Attributes of the elements of this kind; `data_label="x"` asks for data-label."""
        wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
        return [found for kind, found in self.elements if kind == tag and wanted.items() <= found.items()]

    @property
    def items(self) -> list[dict[str, str]]:
        """What the filters show and hide."""
        return [found for _, found in self.elements if "data-item" in found]


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))
