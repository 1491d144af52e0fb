"""A run against an earlier one on the same clips: what counts as a drop, and what cannot be compared."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from merrflow.cli.evaluate import DROPPED, evaluate
from merrflow.core.errors import InputError
from merrflow.core.records import Record
from merrflow.datasets.evaluation import picture
from merrflow.datasets.evaluation.baseline import Answer, baseline_of, read_baseline
from merrflow.datasets.evaluation.compare import compare, in_own_words
from merrflow.datasets.evaluation.gate import Change, hold
from merrflow.datasets.evaluation.runs import read_ledger
from merrflow.formats.merr import MerrAnnotation, read_annotations
from tests.orchestrator.datasets.evaluation.annotations import one
from tests.orchestrator.datasets.evaluation.test_evaluate_command import KEYS
from tests.orchestrator.datasets.report.runs import many, record, run

app = typer.Typer()
app.command()(evaluate)
LABELS = ("happy", "sad", "neutral", "angry")


def answer(label: str = "happy", **changes) -> Answer:
    values = {"sha256": "ab", "label": label, "peak": 20, "peak_units": ("AU06", "AU12"), "units": ("AU12",)}
    return Answer(**(values | {"measurable": ()} | changes))


def case(clips: int, seed: int = 1) -> tuple[dict[str, MerrAnnotation], dict[str, Answer]]:
    """Seven of ten labels are right."""
    draw = random.Random(seed)
    file = {f"c{n:03}": one(f"c{n:03}", draw.choice(LABELS)) for n in range(clips)}
    return file, {
        name: answer(clip.label if draw.random() < 0.7 else draw.choice(LABELS), peak=draw.randint(10, 30))
        for name, clip in file.items()
    }


def change(file, before, now, score: str = "labels") -> Change:
    return next(each for each in hold(file, before, now).changes if each.score == score)


def worse(file, answers, number: int) -> dict[str, Answer]:
    """The first so many right labels are wrong now."""
    right = [name for name, each in sorted(answers.items()) if each.label == file[name].label][:number]
    return answers | {name: answers[name].model_copy(update={"label": "fear"}) for name in right}


def test_the_scores_are_those_that_evaluate_reports(tmp_path: Path) -> None:
    draw, records = random.Random(3), []
    for each in many(60, LABELS):
        peak = replace(each.peak, index=draw.randint(10, 40), action_units=tuple(draw.sample(["AU04", "AU12"], 1)))
        records.append(replace(each, peak=peak, measurable=("AU01", "AU04", "AU12")))
    file = {
        each.name: one(each.name, draw.choice(LABELS), units=("AU12", "AU14"), phrases=("a", "b")) for each in records
    }
    ledger = run(tmp_path, records)
    read = read_ledger(ledger)
    ledger.close()
    report = compare(read, file, [], "FILE")
    clips = baseline_of(read, in_own_words(read, file, [], "FILE"), "FILE", "").clips
    found = {each.score: each.now for each in hold(file, clips, clips).changes}
    assert report.labels and report.peak and report.units and report.lists and report.lists.all
    assert found == pytest.approx(
        {
            "labels": report.labels.accuracy.value,
            "labels, not neutral": report.labels.non_neutral.value,
            "labels, balanced": report.labels.balanced,
            "labels, kappa": report.labels.kappa,
            "labels, macro F1": report.labels.macro_f1,
            "peak within 5 frames": report.peak.within[5].value,
            "Action Units, micro F1": report.units.micro.f1,
            "AU_list, overlap": report.lists.all.overlap,
        }
    )


def test_the_same_answers_have_no_noise() -> None:
    file, answers = case(100)
    assert all(
        (each.low, each.high, each.dropped) == (0.0, 0.0, False) for each in hold(file, answers, answers).changes
    )


def test_a_drop_within_the_noise_passes_and_one_beyond_it_fails() -> None:
    file, answers = case(100)
    little, much = change(file, answers, worse(file, answers, 1)), change(file, answers, worse(file, answers, 12))
    assert little.now < little.before and not little.dropped
    assert much.dropped and much.high < 0 < much.before - much.now
    assert much == change(file, answers, worse(file, answers, 12))  # seeded
    better = change(file, worse(file, answers, 12), answers)
    assert better.low > 0 and not better.dropped


def test_pairing_finds_what_unpaired_intervals_would_not() -> None:
    """Eight of 400 clips are wrong now: the two intervals by themselves overlap by far."""
    file, answers = case(400)
    found = change(file, answers, worse(file, answers, 8))
    assert found.dropped and found.before - found.now == pytest.approx(0.02)


def test_two_runs_that_are_as_good_hardly_ever_fail() -> None:
    failed = 0
    for seed in range(15):
        file, before = case(80, seed)
        draw = random.Random(seed + 1000)
        now = {
            name: each.model_copy(update={"label": file[name].label if draw.random() < 0.775 else "fear"})
            for name, each in before.items()
        }  # 0.7 + 0.3 / 4: as often right
        failed += change(file, before, now).dropped
    assert failed <= 2  # one in forty is expected


def test_peaks_units_and_lists_have_their_drop() -> None:
    file, answers = case(60)
    for score, update in (
        ("peak within 5 frames", {"peak": 49}),
        ("Action Units, micro F1", {"peak_units": ("AU04",)}),
        ("AU_list, overlap", {"units": ("AU04",)}),
    ):
        now = {name: each.model_copy(update=update) for name, each in answers.items()}
        assert [each.score for each in hold(file, answers, now).dropped] == [score]


def test_what_no_file_says_is_not_held_against_a_run() -> None:
    file = {name: MerrAnnotation(name, label="happy") for name in ("a", "b")}
    answers = {name: answer() for name in file}
    found = {each.score: each for each in hold(file, answers, answers).changes}
    assert found["labels"].now == 1.0
    for score in ("peak within 5 frames", "Action Units, micro F1", "AU_list, overlap", "labels, kappa"):
        assert (found[score].now, found[score].dropped) == (None, False)


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        clips = {each.name: KEYS | {"pseu_emotion": each.label.label} for each in many(30)}
        path = tmp_path / "merr.json"
        path.write_text(json.dumps(clips))
        return path

    @pytest.fixture(autouse=True)
    def _no_picture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each would take half a second of a core; test_evaluate_command.py looks at them."""
        monkeypatch.setattr(picture, "draw", lambda *_: None)

    def evaluate(self, tmp_path: Path, file: Path, records: list[Record], *options: str):
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        run(out, records).close()
        arguments = ["--out", str(out), "--against", str(file), *options]
        return CliRunner().invoke(app, arguments), out

    def saved(self, tmp_path: Path, file: Path, *options: str) -> Path:
        path = tmp_path / "base.json"
        result, _ = self.evaluate(tmp_path, file, many(30), "--save-baseline", str(path), *options)
        assert result.exit_code == 0
        return path

    def test_it_fails_only_if_a_score_dropped(self, tmp_path: Path, file: Path) -> None:
        base = self.saved(tmp_path, file)
        same, out = self.evaluate(tmp_path, file, many(30), "--baseline", str(base))
        assert same.exit_code == 0 and "Against the baseline, 30 clips" in same.output
        assert json.loads((out / "evaluation.json").read_text())["gate"]["clips"] == 30
        dropped, _ = self.evaluate(tmp_path, file, many(30, ("happy", "sad", "sad")), "--baseline", str(base), "--json")
        assert dropped.exit_code == DROPPED == 3
        assert "dropped by more than its noise: labels; labels, balanced" in dropped.stderr
        gate = json.loads(dropped.stdout)["gate"]
        assert next(each["score"] for each in gate["changes"] if each["dropped"]) == "labels"

    def test_the_same_run_gives_the_same_bytes(self, tmp_path: Path, file: Path) -> None:
        first = self.saved(tmp_path, file).read_bytes()
        assert self.saved(tmp_path, file).read_bytes() == first
        assert str(tmp_path) not in first.decode()

    def test_without_a_baseline_nothing_changes(self, tmp_path: Path, file: Path) -> None:
        result, out = self.evaluate(tmp_path, file, many(30))
        assert result.exit_code == 0 and "Against the baseline" not in result.output
        assert set(json.loads((out / "evaluation.json").read_text())) == {"version", "against", "run", "rules"}

    @pytest.mark.parametrize(
        ("records", "words"),
        [
            (many(28), "2 clips without a record here (clip_00028, clip_00029)"),
            ([*many(29), record("clip_00029", sha256="cd" * 32)], "1 clip with other bytes (clip_00029)"),
        ],
    )
    def test_other_clips_are_said(self, tmp_path: Path, file: Path, records: list[Record], words: str) -> None:
        result, _ = self.evaluate(tmp_path, file, records, "--baseline", str(self.saved(tmp_path, file)))
        assert isinstance(result.exception, InputError)
        assert "base.json: not the same measurement: " + words in str(result.exception)
        assert "\n" not in str(result.exception)

    def test_more_clips_are_said(self, tmp_path: Path, file: Path) -> None:
        base = self.saved(tmp_path, file)
        values = json.loads(base.read_text())
        del values["clips"]["clip_00003"]
        base.write_text(json.dumps(values))
        result, _ = self.evaluate(tmp_path, file, many(30), "--baseline", str(base))
        assert "1 clip not in the baseline (clip_00003)" in str(result.exception)

    def test_another_labelled_file_is_said(self, tmp_path: Path, file: Path) -> None:
        base = self.saved(tmp_path, file)
        other = tmp_path / "other.json"
        other.write_text(file.read_text() + "\n")
        result, _ = self.evaluate(tmp_path, other, many(30), "--baseline", str(base))
        assert "another labelled file (merr.json there, other.json here, with other bytes)" in str(result.exception)

    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("settings", {"measures": 0, "near_frames": 5, "samples": 2000, "seed": 0}, "(measures 0 there, 1 here)"),
            ("labels", "0" * 64, "the file's labels are read as other words; give the same --rules"),
        ],
    )
    def test_other_settings_are_said(self, tmp_path: Path, file: Path, key: str, value: object, words: str) -> None:
        base = self.saved(tmp_path, file)
        base.write_text(json.dumps(json.loads(base.read_text()) | {key: value}))
        result, _ = self.evaluate(tmp_path, file, many(30), "--baseline", str(base))
        assert words in str(result.exception)

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"version": "2"}', '{"version": "1", "clips": {}}'])
    def test_files_that_are_no_baseline_are_said(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "base.json").write_text(content)
        with pytest.raises(InputError, match=r"base\.json: not a baseline of this version"):
            read_baseline(tmp_path / "base.json")
        with pytest.raises(InputError, match=r"none\.json: cannot be read"):
            read_baseline(tmp_path / "none.json")

    def test_options_that_do_not_fit_are_said(self, tmp_path: Path, file: Path) -> None:
        base = str(tmp_path / "base.json")
        both = CliRunner().invoke(
            app, ["--out", "x", "--against", str(file), "--baseline", base, "--save-baseline", base]
        )
        assert "give one" in str(both.exception)
        alone = CliRunner().invoke(app, ["--rules", "merr", "--against", str(file), "--baseline", base])
        assert "give --out DIR" in str(alone.exception)


def test_annotations_of_merr_itself_can_be_held(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("a 50 happy\nb 50 sad\n")
    file = read_annotations(tmp_path / "f.txt")
    assert change(file, {"a": answer(), "b": answer("sad")}, {"a": answer("sad"), "b": answer()}).dropped
