"""Mining: which clips come nearest to a rare label, and why."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from typer.testing import CliRunner

from merrflow.core.errors import InputError
from merrflow.core.faces import Face, FaceFrame
from merrflow.core.inputs import Found
from merrflow.core.labels import Label, Standing, Verdict
from merrflow.core.measurements import ActionUnitSeries, Curves, Peak, Probe, Shot, Subject
from merrflow.core.records import Outcome, Record
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Tone
from merrflow.datasets.entries import RECORDS
from merrflow.datasets.mining import mine
from merrflow.datasets.mining.nearness import Nearness
from merrflow.datasets.mining.review_queue import COLUMNS, values, write_csv
from merrflow.datasets.mining.settings import load_mining
from merrflow.datasets.mining.sheet import write_sheet
from merrflow.facs import load_rules
from merrflow.facs.evidence import judge
from merrflow.store import Ledger, StageRow
from tests.orchestrator.fakes import make_video

OPENFACE = tuple(f"AU{n:02}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45))
MEDIAPIPE = tuple(unit for unit in OPENFACE if unit not in ("AU09", "AU10", "AU28"))
RULES = load_rules("default")
SERIES = TypeAdapter(ActionUnitSeries)
FULL = {"AU09": 2.5, "AU10": 2.0}


def face(units: dict[str, float], *, x: float = 100, size: float = 100, confidence: float = 0.95) -> Face:
    """Units at 0.2 or more are present; "-AU09" is measured and absent."""
    intensity = {code.removeprefix("-"): value for code, value in units.items()}
    shown = frozenset(code for code in units if not code.startswith("-"))
    return Face((x, 80, size, size), confidence, 0.0, 0.0, 0.0, intensity, shown)


def series(*frames: Face | list[Face], measurable: tuple[str, ...] = OPENFACE) -> ActionUnitSeries:
    made = [frame if isinstance(frame, list) else [frame] for frame in frames]
    numbered = tuple(FaceFrame(index, index / 25, tuple(faces)) for index, faces in enumerate(made))
    return ActionUnitSeries(640, 360, 25.0, measurable, numbered)


def shown(units: dict[str, float], at: int = 10, frames: int = 6, of: int = 30) -> ActionUnitSeries:
    """A face at rest that shows `units` for some frames."""
    return series(*(face(units if at <= index < at + frames else {"-AU12": 0.1}) for index in range(of)))


def record(name: str, label: str = "happy", **changes) -> Record:
    probe = Probe(640, 360, 25.0, 30, 1.2, (Shot(0, 30),), None)
    peak = Peak(3, 0.12, ("AU12",), {"AU12": 2.0}, ("AU12",), 2.0, "")
    made = Record(
        name, f"/clips/{name}.mp4", "", probe, Subject(tuple((i, 0) for i in range(30)), 1, 1.0, ""), peak,
        Label(label, "rules", ("AU12",), ("smile",), "default 2", ""), Subtitle(None, "none", "", ""), None, None,
        "", "", None, {}, {}, {}, Curves((), (), {}),
    )  # fmt: skip
    return replace(made, **changes)


class Run:
    """A finished run with made-up Action Units."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.ledger = Ledger.in_folder(folder)

    def add(self, name: str, units: ActionUnitSeries | None, made: Record | None = None, **found) -> None:
        path = found.pop("path", self.folder / f"{name}.mp4")
        self.ledger.register([Found(path, **found)], {path: name})
        if units:
            self.put(name, units)
        outcome, payload = (Outcome.DONE, RECORDS.dump_json(made)) if made else (Outcome.SKIPPED, b"")
        self.ledger.finish_clip(name, "work", StageRow(outcome, "" if made else "neutral: ...", payload, 0.0))

    def put(self, name: str, units: ActionUnitSeries, fingerprint: str = "units", engine: str = "openface") -> None:
        origin = {"engine": engine}
        payload = json.dumps({"value": SERIES.dump_python(units, mode="json"), "origin": origin}).encode()
        self.ledger.save_stage(name, "action_units", fingerprint, StageRow(Outcome.DONE, "", payload, 0.0))

    def names(self, label: str = "disgust", top: int = 50, **options) -> list[str]:
        return [one.name for one in mine(self.ledger, label, RULES, top, **options).candidates]


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "out")
    yield made
    made.ledger.close()


LADDER = [  # from a pronounced disgust to none
    ("whole", shown({"AU09": 2.5, "AU10": 2.0, "AU17": 1.5})),
    ("two", shown(FULL)),
    ("spoiled", shown(FULL | {"AU12": 2.0})),
    ("almost", shown({"AU09": 1.6})),
    ("weak", shown({"AU09": 0.6})),
    ("traces", shown({"-AU09": 0.4, "-AU17": 0.4})),
    ("smile", shown({"AU06": 3.0, "AU12": 3.0})),
]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_by_nearness_whatever_the_names_and_the_order_of_work(run, seed) -> None:
    names = [f"clip_{number}" for number in random.Random(seed).sample(range(100), len(LADDER))]
    clips = list(zip(names, (units for _, units in LADDER), strict=True))
    for name, units in random.Random(seed + 7).sample(clips, len(clips)):
        run.add(name, units)
    found = mine(run.ledger, "disgust", RULES, 50)
    assert [one.name for one in found.candidates] == names[: len(found.candidates)]
    assert 4 <= len(found.candidates) < len(LADDER), "a smile is no candidate"
    assert [one.rank for one in found.candidates] == list(range(1, len(found.candidates) + 1))
    assert [one.score >= 1 for one in found.candidates[:4]] == [True, True, True, False]
    assert found.clips == len(LADDER)


@pytest.mark.parametrize("top", [50, 2])
def test_what_is_not_settled_comes_first_also_if_the_list_is_short(run, top) -> None:
    for name, verdict in (("a", "confirmed"), ("b", "contradicted"), ("c", "undetermined"), ("d", None)):
        made = record(name)
        standing = Standing(Verdict(verdict), (), "", "w 1") if verdict else None
        near = FULL if name < "c" else {"AU09": 1.6}  # what is settled is nearer
        run.add(name, shown(near), replace(made, label=replace(made.label, standing=standing)))
    found = mine(run.ledger, "disgust", RULES, top).candidates
    assert [(one.name, one.standing) for one in found] == [
        ("c", "undetermined"), ("d", ""), ("b", "contradicted"), ("a", "confirmed"),
    ][:top]  # fmt: skip


def test_the_reasons_name_what_is_there_and_what_is_missing(run) -> None:
    run.add("almost", shown({"AU09": 1.4, "-AU10": 0.3, "AU04": 1.0, "AU12": 0.5}, at=12))
    (one,) = mine(run.ledger, "Disgusted", RULES).candidates
    assert (one.frame, one.seconds, one.label, one.outcome) == (12, 0.48, "", "skipped")
    assert one.reasons[0].startswith("frame 12: AU09 1.4 of 1.8; AU04 1.0 supports; AU12 0.5 speaks against (0.")
    assert one.reasons[1:] == ("held for 6 frames", "the rules would say neutral there")
    assert one.box == (100.0, 80.0, 100.0, 100.0)


def test_a_rare_expression_beside_the_peak_is_found(run) -> None:
    frames = [face({"AU06": 3.0, "AU12": 3.0}) for _ in range(20)] + [face(FULL) for _ in range(10)]
    run.add("clip", series(*frames), record("clip"))
    (one,) = mine(run.ledger, "disgust", RULES).candidates
    assert (one.frame, one.label) == (20, "happy")
    assert mine(run.ledger, "happy", RULES).candidates[0].frame == 0


def test_only_the_subject_counts(run) -> None:
    """The other, smaller face shows disgust."""
    frames = [[face({"AU09": 0.5}, x=300, size=150), face(FULL, x=20, size=60)] for _ in range(30)]
    run.add("skipped", series(*frames))
    run.add("recorded", series(*frames), record("recorded"))
    run.add("other", series(*frames), record("other", subject=Subject(tuple((i, 1) for i in range(30)), 2, 0.5, "")))
    scores = {one.name: one.score for one in mine(run.ledger, "disgust", RULES).candidates}
    assert scores["recorded"] == scores["skipped"] < 1 < scores["other"]


def test_a_slip_of_the_tracker_does_not_come_first(run) -> None:
    run.add("a_slip", shown({"AU09": 4.0, "AU10": 4.0}, frames=1))
    run.add("b_lasting", shown(FULL, frames=8))
    run.add("c_unsure", series(*(face({"AU09": 4.0, "AU10": 4.0}, confidence=0.72) for _ in range(30))))
    run.add("d_never", series(*(face({"AU09": 4.0, "AU10": 4.0}, confidence=0.5) for _ in range(30))))
    found = mine(run.ledger, "disgust", RULES).candidates
    assert [one.name for one in found] == ["b_lasting", "c_unsure"]
    assert "confidence 0.72 only" in found[1].reasons[2]


def test_the_newest_measurement_counts(run) -> None:
    run.add("clip", shown(FULL))
    run.put("clip", shown({"AU12": 3.0}), "newer")
    assert run.names() == []


def test_what_the_engine_cannot_measure_is_said_first(run) -> None:
    blind = tuple(unit for unit in MEDIAPIPE if unit not in ("AU15", "AU17"))
    run.add("seen", shown(FULL))
    run.ledger.register([Found(run.folder / "blind.mp4")], {run.folder / "blind.mp4": "blind"})
    run.put("blind", replace(shown({"AU12": 1.0}), measurable=blind), engine="mediapipe")
    run.ledger.finish_clip("blind", "work", StageRow(Outcome.SKIPPED, "neutral", b"", 0.0))
    found = mine(run.ledger, "disgust", RULES)
    assert [one.name for one in found.candidates] == ["seen"]
    assert found.limits == (
        "mediapipe (1 clip) measures no AU09, AU10, AU15, AU17: its faces cannot tell disgust, and only words and tone "
        "are left to rank by",
    )


def test_words_and_models_count_beside_the_face(run) -> None:
    run.add("a", shown({"AU09": 1.0}), sentence="Fine.")
    run.add("b", shown({"AU09": 1.0}), sentence="That’s disgusting!")
    told = {"all": {"neutral": 0.2, "disgust": 0.6, "happy": 0.2}}
    tone = Tone("Her voice sounds disgusted.", "speech", {}, ())
    run.add("c", shown({"AU09": 1.0}), record("c", distribution=told, tone=tone))
    run.add("d", shown({"AU12": 2.0}), record("d", distribution=told))
    found = {one.name: one for one in mine(run.ledger, "disgust", RULES).candidates}
    assert list(found) == ["c", "b", "a", "d"]
    assert found["b"].score - found["a"].score == pytest.approx(load_mining().beside.subtitle)
    assert found["b"].reasons[-1] == "the subtitle has 'disgusting'"
    assert found["c"].score - found["a"].score == pytest.approx(0.5 * (0.6 - 1 / 3) / (2 / 3) + 0.1, abs=1e-3)
    assert found["d"].frame == 3 and "nothing of the label in the face" in found["d"].reasons[0]


def test_records_without_a_series_are_judged_at_their_peak(run) -> None:
    peak = Peak(7, 0.28, ("AU09", "AU10"), FULL, ("AU09",), 2.5, "")
    run.add("given", None, record("given", "neutral", peak=peak, subject=Subject((), 0, 0.0, "")))
    run.add("nothing", None)
    found = mine(run.ledger, "disgust", RULES)
    assert [(one.name, one.frame) for one in found.candidates] == [("given", 7)]
    assert found.without_face == 1


def test_clips_that_have_the_label_can_be_left_out(run) -> None:
    run.add("known", shown(FULL), record("known", "disgust"))
    run.add("new", shown({"AU09": 1.0}))
    assert run.names() == ["known", "new"]
    assert run.names(others=True) == ["new"]


def test_the_top_is_the_head_of_the_whole_list(run) -> None:
    draw = random.Random(3)
    units = ("AU04", "AU09", "AU10", "AU12", "AU15", "AU17", "AU23")
    for number in range(60):
        chosen = {code: draw.uniform(0.2, 3.0) for code in draw.sample(units, draw.randint(0, 4))}
        run.add(f"clip_{number:02}", shown(chosen, at=draw.randint(0, 20), frames=draw.randint(1, 9)))
    run.add("clip_99", shown({"AU09": 1.0}))
    run.add("clip_98", shown({"AU09": 1.0}))
    whole = mine(run.ledger, "disgust", RULES, 100).candidates
    assert len(whole) > 20
    scores = [one.score for one in whole]
    assert scores == sorted(scores, reverse=True)
    for top in (1, 2, 7, 20):
        assert mine(run.ledger, "disgust", RULES, top).candidates == whole[:top]
    names = [one.name for one in whole]
    assert names.index("clip_98") + 1 == names.index("clip_99"), "equal clips come by name"


UNITS = st.dictionaries(st.sampled_from(OPENFACE), st.floats(0, 5), max_size=9)


@settings(max_examples=300, deadline=None)
@given(UNITS, st.sets(st.sampled_from(OPENFACE)), st.sampled_from(["default", "merr", "calibrated"]), st.data())
def test_one_makes_the_label_by_the_rules_own_evidence(intensity, present, name, data) -> None:
    rules = load_rules(name)
    label = data.draw(st.sampled_from(rules.labels[1:]))
    measurable = data.draw(st.sampled_from([OPENFACE, MEDIAPIPE]))
    intensity = {code: value for code, value in intensity.items() if code in measurable}
    present = present & set(measurable)
    near = Nearness(rules, label, measurable, load_mining())
    own = next(one for one in judge(rules, present, intensity, measurable) if one.label == label)
    ratio = near.ratio(present, intensity)
    assert ratio >= 0
    if name != "calibrated":  # whose rule asks for an expressive unit besides
        assert (ratio >= 1 - 1e-9) == own.is_met
    if name == "default" and own.is_met:
        assert ratio == pytest.approx(own.score / rules.threshold)
    assert isinstance(near.reason(present, intensity), str)


@settings(deadline=None)
@given(UNITS, st.sampled_from(["AU09", "AU10", "AU17"]), st.floats(0, 2))
def test_more_of_a_unit_of_the_core_never_takes_a_clip_down(intensity, code, more) -> None:
    near = Nearness(RULES, "disgust", OPENFACE, load_mining())
    before = near.ratio(frozenset(intensity), intensity)
    raised = intensity | {code: min(5.0, intensity.get(code, 0.0) + more)}
    assert near.ratio(frozenset(raised), raised) >= before - 1e-9


@pytest.mark.parametrize(
    ("label", "top", "message"),
    [
        ("digust", 5, "unknown label 'digust': the rule set default 2 has neutral, happy"),
        ("neutral", 5, "choose one of happy"),
        ("disgust", 0, "at least 1"),
    ],
)
def test_unusable_arguments(run, label, top, message) -> None:
    with pytest.raises(InputError, match=message):
        mine(run.ledger, label, RULES, top)


def test_the_csv_runs_no_formula(run, tmp_path) -> None:
    run.add("=HYPERLINK(1)", shown(FULL), record("x", "+evil"))
    found = mine(run.ledger, "disgust", RULES)
    write_csv(found, tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(encoding="utf-8-sig", newline="") as file:
        head, row = csv.reader(file)
    assert tuple(head) == COLUMNS
    assert row[1] == "'=HYPERLINK(1)" and row[6] == "'+evil"
    assert float(row[3]) == found.candidates[0].score
    assert json.loads(json.dumps(values(found)))["candidates"][0]["name"] == "=HYPERLINK(1)"


def test_the_sheet_shows_the_frame_and_trusts_no_text(run, tmp_path) -> None:
    video = make_video(tmp_path / "a.mp4", "red", frames=30)
    run.add("a", shown(FULL), path=video)
    run.add("<script>alert(1)</script>", shown(FULL))
    write_sheet(mine(run.ledger, "disgust", RULES), tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 1
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "No picture: the file does not exist" in page
    assert "default-src &#39;none&#39;" in page


def test_the_command(run, tmp_path) -> None:
    import typer

    from merrflow.cli.mine import mine_run, rules_of

    run.add("clip", shown(FULL))
    app = typer.Typer()
    app.command()(mine_run)
    runner = CliRunner()
    listed = tmp_path / "list.csv"
    done = runner.invoke(app, ["disgust", "--out", str(run.folder), "--csv", str(listed)])
    assert done.exit_code == 0, done.output
    assert "1 of 1 clips come near disgust by the rule set default 2" in done.output
    assert listed.is_file()
    done = runner.invoke(app, ["disgust", "--out", str(run.folder), "--json"])
    assert json.loads(done.output)["candidates"][0]["frame"] == 10
    run.add("recorded", shown(FULL), record("recorded"))
    assert rules_of(run.ledger) == "default"
    run.add("a_first", shown(FULL), replace(record("a_first"), label=Label("sad", "rules", (), (), "merr 1", "")))
    assert rules_of(run.ledger) == "merr", "as the run was labelled"
    assert "by the rule set merr" in runner.invoke(app, ["contempt", "--out", str(run.folder)]).output
    run.add("a", shown(FULL), replace(record("a"), label=Label("sad", "rules", (), (), "my own 3", "")))
    for arguments, message in (
        (["sad", "--out", str(run.folder)], "labelled by the rule set 'my own 3': give its file"),
        (["disgust", "--out", str(tmp_path / "none")], "no run was ever made"),
        (["disgust", "--out", str(run.folder), "--rules", "nosuch"], "no rule set 'nosuch'"),
        (["fear", "--out", str(run.folder), "--rules", "merr", "--csv", str(run.folder)], "cannot be written"),
    ):
        failed = runner.invoke(app, arguments)
        assert isinstance(failed.exception, InputError) and message in str(failed.exception)
