"""What a user may change between two runs, and what the second one computes again: the table in docs/architecture.md,
which `python -m tests.orchestrator.pipeline.changes` writes, and the cases of test_changes.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from merrflow.facs import rules as facs
from merrflow.stages.witnesses.rules import PACKAGED
from tests.orchestrator import fakes
from tests.orchestrator.fakes import make_video
from tests.orchestrator.formats import openface_csv

DOCUMENT = Path(__file__).parents[3] / "docs/architecture.md"
BEGIN, END = "<!-- changes: begin (python -m tests.orchestrator.pipeline.changes) -->", "<!-- changes: end -->"
CLIPS = ("talk", "mute", "rest")
RECORD = "record"
TEXTS = "score_all reasoning record"
AFTER_LABEL = f"scene tone subtitle {TEXTS}"
ALL = f"probe action_units {AFTER_LABEL}"


@dataclass
class Inputs:
    """What a run is given. The first run: a clip with words in a table, a mute one with a subtitle file, and a neutral
    one, which is skipped."""

    folder: Path
    settings: dict[str, object] = field(default_factory=dict)
    engines: dict[str, type] = field(default_factory=dict)
    labels: Path | None = None
    action_units: Path | None = None

    @property
    def clips(self) -> Path:
        return self.folder / "clips"

    @property
    def sentences(self) -> Path:
        return self.folder / "sentences.csv"

    def make(self) -> None:
        make_video(self.clips / "talk.mp4", "red", seed=1)
        make_video(self.clips / "mute.mp4", "red", frames=14, sound=False, seed=2)
        make_video(self.clips / "rest.mp4", "grey", seed=3)
        self.subtitle("mute", "How nice.")
        self.sentences.write_text("name,sentence\ntalk,What a day!\n")
        package = Path(facs.__file__).parent
        rules = (package / "rulesets/default.yaml").read_text()
        (self.folder / "rules.yaml").write_text(rules.replace("lexicon: default", "lexicon: lexicon.yaml"))
        (self.folder / "lexicon.yaml").write_text((package / "lexicon_default.yaml").read_text())
        (self.folder / "witnesses.yaml").write_text(PACKAGED.read_text())
        own = {name: str(self.folder / f"{name}.yaml") for name in ("rules", "witnesses")}
        self.settings = {**own, "neutral_sample": 0.0, "retry_seconds": 0.5}

    def subtitle(self, name: str, text: str) -> None:
        (self.clips / f"{name}.srt").write_text(f"1\n00:00:00,000 --> 00:00:02,000\n{text}\n")

    def replace(self, file: str, pattern: str, new: str) -> None:
        path = self.folder / file
        text, count = re.subn(pattern, new, path.read_text(), flags=re.MULTILINE)
        assert count == 1, (file, pattern)
        path.write_text(text)


@dataclass(frozen=True)
class Change:
    """One change, and per clip the stages that are then computed again; `record`: put together from what is kept."""

    what: str
    apply: Callable[[Inputs], object]
    again: Mapping[str, str] = field(default_factory=dict)


def _all(stages: str, rest: str = RECORD) -> dict[str, str]:
    return {"talk": stages, "mute": stages, "rest": rest}


def _set(**settings: object) -> Callable[[Inputs], object]:
    return lambda inputs: inputs.settings.update(settings)


def _engine(**engines: type) -> Callable[[Inputs], object]:
    return lambda inputs: inputs.engines.update(engines)


def _new_bytes(inputs: Inputs) -> None:
    make_video(inputs.clips / "talk.mp4", "red", frames=17, seed=9)


def _renamed(inputs: Inputs) -> None:
    (inputs.clips / "talk.mp4").rename(inputs.clips / "speech.mp4")
    for suffix in ("mp4", "srt"):
        (inputs.clips / f"mute.{suffix}").rename(inputs.clips / f"silent.{suffix}")


def _sentences(inputs: Inputs) -> None:
    inputs.sentences.write_text("name,sentence\ntalk,What a night!\nmute,How nice it is.\n")


def _subtitles(inputs: Inputs) -> None:
    inputs.subtitle("mute", "How nice of you.")
    inputs.subtitle("talk", "Not read, because the table goes first.")


def _translated(inputs: Inputs) -> None:
    inputs.sentences.write_text("name,sentence\ntalk,我不知道该怎么办。\n", encoding="utf-8")
    inputs.settings["translate"] = "en"
    inputs.engines["llama3"] = fakes.Translator


def _labels(inputs: Inputs) -> None:
    inputs.labels = inputs.folder / "labels.csv"
    inputs.labels.write_text("name,label\ntalk,sad\nrest,sad\n")


def _given_units(inputs: Inputs) -> None:
    inputs.action_units = inputs.folder / "openface"
    inputs.action_units.mkdir()
    for name, frames, smile in (("talk", 12, 3), ("mute", 14, 3), ("rest", 12, 0)):
        values = {f"{unit}_r": smile if unit in ("AU06", "AU12") else 0 for unit in openface_csv.UNITS}
        present = {f"{unit}_c": int(values.get(f"{unit}_r", 0) > 0) for unit in (*openface_csv.UNITS, "AU28")}
        face = openface_csv.landmarks(48, 32, 20, 2)
        rows = [openface_csv.row(number, **face, **values, **present) for number in range(1, frames + 1)]
        (inputs.action_units / f"{name}.csv").write_text(openface_csv.table(rows))


CHANGES = (
    Change("the bytes of the file `talk.mp4`", _new_bytes, {"talk": ALL}),
    Change("only the time of a clip's file", lambda inputs: (inputs.clips / "talk.mp4").touch()),
    Change("the folder of the clips: moved, renamed", lambda inputs: inputs.clips.rename(inputs.folder / "moved")),
    Change("the names of clips' files, and of their subtitle files", _renamed, {"mute": "subtitle record"}),
    Change("a sentence in `--transcripts`, changed or new", _sentences, _all(f"subtitle {TEXTS}", "")),
    Change(
        "a subtitle file, changed (`mute`) or new beside a sentence (`talk`)",
        _subtitles,
        {"talk": "subtitle record", "mute": f"subtitle {TEXTS}"},
    ),
    Change("a label in `--labels`, other than before", _labels, {"talk": "reasoning record", "rest": AFTER_LABEL}),
    Change(
        "`--action-units-from`, with another peak frame",
        _given_units,
        _all("action_units scene record", "action_units record"),
    ),
    Change(
        "a threshold of the rule set, with the same labels and expressions",
        lambda inputs: inputs.replace("rules.yaml", r"^threshold: 0.6 ", "threshold: 0.61 "),
        _all(RECORD),
    ),
    Change(
        "a phrase of the lexicon",
        lambda inputs: inputs.replace("lexicon.yaml", r"^  AU12: .*", "  AU12: [a smile]"),
        _all(TEXTS),
    ),
    Change("`rules`: another set, with other labels", _set(rules="merr"), _all(f"scene {TEXTS}", RECORD)),
    Change("`neutral_sample`, which now draws `rest`", _set(neutral_sample=1.0), _all(RECORD, AFTER_LABEL)),
    Change("`seed`", _set(seed=1), _all("reasoning record")),
    Change(
        "a weight in the file of `--witnesses`",
        lambda inputs: inputs.replace("witnesses.yaml", r"^given: .*", "given: {weight: 0.5}"),
        _all(RECORD),
    ),
    Change(
        "`labels_from: model`, which gives the same labels and labels `rest`",
        _set(labels_from="model"),
        _all(RECORD, AFTER_LABEL),
    ),
    Change(
        "`label_scores: modalities`",
        _set(label_scores="modalities"),
        {
            "talk": "score_face score_voice score_words record",
            "mute": "score_face score_words record",
            "rest": RECORD,
        },
    ),
    Change("`label_scores: none`", _set(label_scores="none"), _all(RECORD)),
    Change("`translate: en`, with subtitles that are English", _set(translate="en"), _all(RECORD)),
    Change(
        "`translate: en`, and a Chinese sentence in `--transcripts`",
        _translated,
        {"talk": f"subtitle subtitle_en {TEXTS}", "mute": RECORD, "rest": RECORD},
    ),
    Change("translation prompt of llama3, while nothing is translated", _engine(llama3=fakes.OtherTranslations)),
    Change(
        "`max_clip_seconds`, `max_pixels`, `audio_language` of clips with one sound track",
        _set(max_clip_seconds=500.0, max_pixels=1_000_000, audio_language="en"),
        _all("probe record", "probe record"),
    ),
    Change(
        "engine or model of openface-au, with the same answers",
        _engine(openface_au=fakes.NewerActionUnits),
        _all("action_units record", "action_units record"),
    ),
    Change("engine, model or prompt of minigpt-v2", _engine(minigpt_v2=fakes.NewerScene), _all(f"scene {TEXTS}")),
    Change(
        "engine, model or prompt of qwen-audio",
        _engine(qwen_audio=fakes.NewerTone),
        {"talk": f"tone {TEXTS}", "mute": RECORD, "rest": RECORD},
    ),
    Change("model of llama3", _engine(llama3=fakes.NewerReasoner), _all(TEXTS)),
    Change("reasoning prompt of llama3", _engine(llama3=fakes.NewerPrompt), _all("reasoning record")),
    Change("scoring prompt of llama3", _engine(llama3=fakes.NewerScorer), _all("score_all record")),
    Change("limits of a service, if nothing was refused as too large", _engine(openface_au=fakes.RoomierActionUnits)),
    Change(
        "`shard_size`, `clips_at_once`, time limits, addresses",
        _set(shard_size=7, clips_at_once=1, call_seconds=99.0, connect_seconds=9.0),
    ),
)


def table() -> str:
    """The changes as Markdown."""

    def cell(stages: str) -> str:
        return "all" if stages == ALL else ", ".join(f"`{name}`" for name in stages.split()) or "-"

    head = [f"| change | {' | '.join(f'`{name}`' for name in CLIPS)} |", "|---" * (len(CLIPS) + 1) + "|"]
    rows = (" | ".join([change.what, *(cell(change.again.get(name, "")) for name in CLIPS)]) for change in CHANGES)
    return "\n".join([*head, *(f"| {row} |" for row in rows)])


def renewed(text: str) -> str:
    """The document with the current table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, mark, behind = rest.partition(END)
    assert mark, f"the text has no {BEGIN} ... {END}"
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{behind}"


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
