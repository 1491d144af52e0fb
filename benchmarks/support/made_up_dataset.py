"""A dataset for benchmarks of the flow: many tiny real videos, and a ledger that records them as finished."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import sqlalchemy as sa

from benchmarks.support.fixed_services import ENGINES, UNITS
from merrflow.clients import identity, limits_of
from merrflow.core.inputs import Found
from merrflow.core.labels import Label
from merrflow.core.measurements import Clip, Curves, Peak, Probe, Shot, Subject
from merrflow.core.records import Outcome, Record
from merrflow.core.settings_file import load_settings
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Origin, Reasoning, Scene, Tone
from merrflow.datasets.entries import RECORDS
from merrflow.facs import load_rules
from merrflow.formats.clip_list import find_clips
from merrflow.pipeline.cache_keys import CacheKeys
from merrflow.pipeline.embedded_engines import embedded_engines
from merrflow.stages.graph import GRAPH
from merrflow.stages.text_reader import SharedReader
from merrflow.stages.witnesses.rules import load_witnesses
from merrflow.store import RECORD, Ledger, batched
from merrflow.store.database import connect
from merrflow_serving.engine import EngineInfo
from merrflow_serving.media.images import encode_jpeg

DESCRIBED = 28_618 / 70_000  # MERR: of all clips, those with a record
LABELS = ("happy", "sad", "angry", "surprise", "neutral", "worried")
FPS = 25
_TEXTS = (
    "One person is shown in a medium shot, facing the camera; the room behind is dim and plain.",
    "The voice is low-pitched and quiet, with a narrow pitch range, a slow pace and long pauses.",
    "The lowered eyes and the quiet voice go with words of regret; this person feels what was said deeply. " * 4,
)


def make_clips(folder: Path, count: int, *, film: Path | None = None, frames: int = 12) -> None:
    """`count` copies of an mp4 file, which differ in a few bytes after the film.

    film: the file (None: one of 96x64 with `frames` frames and sound, which is encoded once).
    """
    folder.mkdir(parents=True, exist_ok=True)
    if film is None:
        film = folder / "clip_00000.mp4"
        _encode(film, frames)
    content = film.read_bytes()
    for number in range(count):
        note = f"{number:05}".encode()
        box = (8 + len(note)).to_bytes(4, "big") + b"free" + note  # which every reader of MP4 skips
        (folder / f"clip_{number:05}.mp4").write_bytes(content + box)


def fill(
    out: Path, folder: Path, keys: CacheKeys, *, finished: int, seconds: float = 4.0, share: float = DESCRIBED
) -> None:
    """Writes a ledger into `out` in which the first `finished` clips of `folder` are done, with these cache keys.

    This share of them has a record and a picture, the others are skipped; the stages in between are left out.
    seconds: length of each clip.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = find_clips([folder])[:finished]
    ledger = Ledger.in_folder(out)
    clips = ledger.register(found, names_of(found))
    (out / "peaks").mkdir(exist_ok=True)
    picture = encode_jpeg(np.zeros((64, 96, 3), np.uint8))
    engine = connect(ledger.location)
    pattern = pattern_record(seconds)
    for batch in batched(enumerate(clips), 500):
        stages, updates = [], []
        for number, clip in batch:
            described = int((number + 1) * share) > int(number * share)
            key = keys.of_record(clip)
            outcome, reason = (Outcome.DONE, "") if described else (Outcome.SKIPPED, "no face in any frame")
            payload = zlib.compress(RECORDS.dump_json(_of(pattern, clip, number)), 6) if described else b""
            stages.append((clip.name, key, outcome.value, reason, payload))
            updates.append((clip.name, key, outcome.value, reason))
            if described:
                (out / "peaks" / f"{clip.name}.jpg").write_bytes(picture)
        with engine.begin() as db:
            db.execute(_INSERT, [dict(zip("cfork", row, strict=True)) | {"t": datetime.now(UTC)} for row in stages])
            db.execute(_UPDATE, [dict(zip("cfor", row, strict=True)) for row in updates])
    engine.dispose()
    ledger.close()


def embedded() -> dict[str, EngineInfo]:
    """The engines of a run without services."""
    return embedded_engines()


def fixed() -> dict[str, EngineInfo]:
    """The engines of `fixed_services`."""
    return {name: engine(None).info() for name, engine in ENGINES.items()}


def keys_for(engines: dict[str, EngineInfo]) -> CacheKeys:
    """The keys of a run with these engines and no settings of its own."""
    settings = load_settings(None)
    rules = load_rules(settings.rules)
    return CacheKeys(
        GRAPH,
        {name: identity(engine) for name, engine in engines.items()},
        {name: limits_of(engine.limits) for name, engine in engines.items()},
        settings,
        rules,
        rules.phrases(),
        load_witnesses(),
        SharedReader(1).identity,
    )


def names_of(found: list[Found]) -> dict[Path, str]:
    """The names that a first run gives them."""
    return {clip.path: clip.path.stem for clip in found}


# Not through the ledger's own methods: a transaction for each of 70,000 clips would take longer than everything else.
_INSERT = sa.text(
    "INSERT INTO stages (clip, stage, fingerprint, outcome, reason, retry, attempts, payload, seconds, finished_at) "
    f"VALUES (:c, '{RECORD}', :f, :o, :r, false, 1, :k, 1.0, :t)"
).bindparams(sa.bindparam("t", type_=sa.DateTime(timezone=True)))
_UPDATE = sa.text("UPDATE clips SET fingerprint = :f, outcome = :o, reason = :r, retry = false WHERE name = :c")


def _of(pattern: Record, clip: Clip, number: int) -> Record:
    label = replace(pattern.label, label=LABELS[number % len(LABELS)])
    return replace(pattern, name=clip.name, path=str(clip.path), sha256=clip.sha256, label=label)


def pattern_record(seconds: float) -> Record:
    """A record of a clip of that length, without the clip's name, path and hash."""
    frames = int(seconds * FPS)
    drawn = np.random.default_rng(1)
    origin = Origin("fixed", "fixed", "1", "", "a made-up answer", 0.01, 1.2)
    return Record(
        name="",
        path="",
        sha256="",
        probe=Probe(96, 64, FPS, frames, seconds, (Shot(0, frames),), seconds),
        subject=Subject(tuple((i, 0) for i in range(frames)), 1, 1.0, "the only face"),
        peak=Peak(20, 20 / FPS, ("AU06", "AU12"), {"AU06": 1.5, "AU12": 3.0}, ("AU12",), 3.0, "AU12 at 3.00"),
        label=Label("happy", "rules", ("AU12",), ("Big smile",), "default 1", "happy: AU12 of AU06 AU12"),
        subtitle=Subtitle("What a day", "table", "en", "from the table"),
        scene=Scene(_TEXTS[0], {"people": (1.0, "1")}, ()),
        tone=Tone(_TEXTS[1], "speech", {"pitch_mean": (212.4, "Hz")}, ((0.2, 1.0),)),
        coarse=" ".join(_TEXTS[:2]),
        coarse_template="merr 1",
        reasoning=Reasoning(_TEXTS[2], 1, 400, 120),
        origins={clue: origin for clue in ("action_units", "scene", "tone", "reasoning")},
        seconds={"probe": 0.5, "action_units": 1.5},
        missing={},
        curves=Curves(
            tuple(round(i / FPS, 4) for i in range(frames)),
            tuple(range(frames)),
            {unit: tuple(drawn.uniform(0, 3, frames).round(3).tolist()) for unit in UNITS},
        ),
        measurable=UNITS,
    )


def _encode(path: Path, frames: int) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for picture in _pictures(frames):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        time = np.arange(16_000 * frames // FPS) / 16_000
        sound = av.AudioFrame.from_ndarray((0.2 * np.sin(1300 * time)).astype(np.float32)[None], "fltp", "mono")
        sound.sample_rate = 16_000
        container.mux(audio.encode(sound))
        container.mux(audio.encode())


def _pictures(frames: int) -> Iterator[np.ndarray]:
    for number in range(frames):
        picture = np.full((64, 96, 3), (200, 30, 30), np.uint8)
        picture[8:24, number % 80 : number % 80 + 8] = 255
        yield picture
