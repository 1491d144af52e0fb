"""Labels and Action Units that people bring along: through the whole pipeline, with files as they come."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.core.measurements import Clip
from merrflow.formats.precomputed import PrecomputedPeaks
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from tests.orchestrator.fakes import calls, fake_services, make_video
from tests.orchestrator.stages.odd_films import corner, film

FRAMES = 12


async def annotate(inputs, out, addresses, **arguments):
    overrides = {"neutral_sample": 0.0, "retry_seconds": 0.5} | addresses | arguments.pop("settings", {})
    texts = {name: str(value) for name, value in arguments.items()}
    request = Request(tuple(map(str, inputs)), str(out), overrides=overrides, **texts)
    async with open_session(request) as session:
        await session.wait_ready()
        await session.annotate([clip.name for clip in session.todo])
        return session.write_outputs()


def records(out: Path) -> dict[str, dict]:
    return {row["name"]: row for row in map(json.loads, (out / "records.jsonl").read_text().splitlines())}


def dropped(out: Path) -> dict[str, str]:
    rows = map(json.loads, (out / "dropped.jsonl").read_text().splitlines())
    return {row["name"]: row["reason"] for row in rows}


def openface(path: Path, frames: int = FRAMES, **changes: object) -> None:
    """A smile that is highest at frame 7, counted from 0, in the manner of OpenFace 2."""
    path.parent.mkdir(exist_ok=True)
    rows = []
    for number in range(1, frames + 1):
        smile = 3.0 if number == 8 else 1.5
        row = {"frame": number, "face_id": 0, "timestamp": (number - 1) / 25, "confidence": 0.98, "success": 1}
        row |= {"pose_Tx": 0, "pose_Ty": 0, "pose_Tz": 500, "pose_Rx": 0, "pose_Ry": 0, "pose_Rz": 0}
        row |= {"AU06_r": smile / 2, "AU12_r": smile, "AU06_c": 1, "AU12_c": 1, "AU28_c": 0} | changes
        rows.append(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


async def test_openface_csvs_take_the_place_of_the_service(tmp_path):
    make_video(tmp_path / "clips/a.mp4", "grey")
    make_video(tmp_path / "clips/b.mp4", "grey", seed=1)
    make_video(tmp_path / "clips/c.mp4", "grey", seed=2)
    openface(tmp_path / "au/a.csv")
    openface(tmp_path / "au/b.csv", frames=2 * FRAMES)
    out = tmp_path / "out"
    async with fake_services() as addresses:
        del addresses["openface_au_address"]  # nobody asks for it
        await annotate([tmp_path / "clips"], out, addresses, action_units=tmp_path / "au")
        assert calls["openface-au"] == 0
        record = records(out)["a"]
        assert (record["peak"]["index"], record["peak"]["action_units"]) == (7, ["AU06", "AU12"])
        assert record["label"]["label"] == "happy"
        origin = record["origins"]["action_units"]
        assert (origin["engine"], origin["model"]) == ("openface-csv", "OpenFace 2")
        assert "b.csv" in dropped(out)["b"] and "24" in dropped(out)["b"] and "12" in dropped(out)["b"]
        assert "no CSV" in dropped(out)["c"]

        before = calls.copy()
        summary = await annotate([tmp_path / "clips"], out, addresses, action_units=tmp_path / "au")
        assert (summary.worked, calls) == (0, before)
        openface(tmp_path / "au/c.csv", AU12_r=0.0, AU12_c=0, AU06_r=0.0, AU06_c=0)
        openface(tmp_path / "au/b.csv", frames=FRAMES)
        summary = await annotate([tmp_path / "clips"], out, addresses, action_units=tmp_path / "au")
    assert summary.worked == 2, "only the clips whose files came or changed"
    assert set(records(out)) == {"a", "b"}
    assert "no expressive Action Unit" in dropped(out)["c"]


async def test_merr_json_gives_peak_units_label_and_words(tmp_path):
    make_video(tmp_path / "clips/a.mp4", "blue")  # in which the service would find nobody
    make_video(tmp_path / "clips/late.mp4", "blue", seed=1)
    make_video(tmp_path / "clips/other.mp4", "blue", seed=2)
    one = {
        "AU_list": ["AU05", "AU26"],
        "visual_prior_list": ["Eyes widened", "Wide-mouthed"],
        "audio_prior_list": "and her tone sounds negative.",
        "peak_index": "3",
        "peak_AU_list": ["AU05", "AU25", "AU26"],
        "pseu_emotion": "surprise",
        "text": "No way.",
        "smp_reason_caption": "She is surprised.",
    }
    merr = tmp_path / "merr.json"
    merr.write_text(json.dumps({"a": one, "late": one | {"peak_index": "99"}}))
    out = tmp_path / "out"
    async with fake_services() as addresses:
        await annotate([tmp_path / "clips"], out, addresses, action_units=merr, labels=merr, transcripts=merr)
    record = records(out)["a"]
    assert (record["peak"]["index"], record["peak"]["action_units"]) == (3, ["AU05", "AU25", "AU26"])
    assert (record["label"]["label"], record["label"]["source"]) == ("surprise", "table")
    assert record["label"]["action_units"][:1] == ["AU05"] and record["label"]["supported"]
    assert record["subtitle"]["text"] == "No way."
    assert (out / "peaks/a.jpg").is_file() and (out / "report.html").is_file()
    assert "peak_index 99" in dropped(out)["late"] and "12 frames" in dropped(out)["late"]
    assert "not in it" in dropped(out)["other"]


async def test_a_damaged_csv_is_told_in_the_record_and_frames_have_the_clips_times(tmp_path, caplog):
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 1.2, 1.24, 2.0, 2.04, 2.08, 2.12, 2.16]
    (tmp_path / "clips").mkdir()
    film(tmp_path / "clips/a.mkv", (corner(96, 64) for _ in times), times=times.__getitem__)
    openface(tmp_path / "au/a.csv")
    lines = (tmp_path / "au/a.csv").read_text().splitlines()
    lines[3] = lines[3].replace("500", "-nan(ind)")
    (tmp_path / "au/a.csv").write_text("\n".join(lines))
    async with fake_services() as addresses:
        del addresses["openface_au_address"]
        await annotate([tmp_path / "clips"], tmp_path / "out", addresses, action_units=tmp_path / "au")
    record = records(tmp_path / "out")["a"]
    assert (record["peak"]["index"], record["peak"]["timestamp"]) == (7, 2.0), "not index / mean rate, which is 1.38"
    note = record["origins"]["action_units"]["note"]
    assert note.endswith("frames without a face: 1 of 12 (line 4, column pose_Tz: '-nan(ind)' is not a number)")
    assert "clip a: " in caplog.text and "a.csv: damaged rows" in caplog.text


def test_a_stem_of_several_clips_is_nobodys_name_in_the_json(tmp_path):
    merr = tmp_path / "merr.json"
    one = {"peak_index": 3, "peak_AU_list": ["AU12"]}
    merr.write_text(json.dumps({"a": one, "friday__b": one}))
    given = PrecomputedPeaks(merr)
    assert given.cache_key(Clip("a", Path("/monday/a.mp4"), "0"))
    assert given.cache_key(Clip("renamed", Path("/monday/a.mp4"), "0"))
    assert given.cache_key(Clip("friday__b", Path("/friday/b.mp4"), "0"))
    assert given.cache_key(Clip("tuesday__a", Path("/tuesday/a.mp4"), "0")) is None, "another clip is named a"


async def test_files_whose_names_are_no_text_are_read_and_named(tmp_path):
    clip = make_video(tmp_path / "clips/a.mp4", "grey")
    openface(tmp_path / "au/a.csv")
    try:
        clip.rename(clip.with_name("\udcff.mp4"))
        (tmp_path / "au/a.csv").rename(tmp_path / "au/\udcff.csv")
        merr = tmp_path / "\udcff.json"
        merr.write_text(json.dumps({"_": {"peak_index": 3, "peak_AU_list": ["AU06", "AU12"]}}))
    except (OSError, UnicodeError):
        pytest.skip("this disk takes names in UTF-8 only")
    make_video(tmp_path / "clips/b.mp4", "grey", seed=1)
    async with fake_services() as addresses:
        for out, units in (("csv", tmp_path / "au"), ("json", merr)):
            await annotate([tmp_path / "clips"], tmp_path / out, addresses, action_units=units)
            (record,) = records(tmp_path / out).values()
            assert "%FF." in record["origins"]["action_units"]["note"]
            assert set(dropped(tmp_path / out)) == {"b"}


async def test_a_labels_table_wins_over_the_rules_and_is_checked(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    table = tmp_path / "labels.csv"
    table.write_text("name,label\na,angry\n")
    async with fake_services() as addresses:
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses, labels=table)
        label = records(tmp_path / "out")["a"]["label"]
        assert (label["label"], label["source"], label["ruled"], label["supported"]) == (
            "angry",
            "table",
            "happy",
            None,
        )
        assert "cannot be checked" in label["reason"], "the fake engine measures smiles only"
        table.write_text("name,label\na,jolly good\n")
        with pytest.raises(InputError, match="labels.csv, line 2: clip 'a': .*jolly good.*neutral, happy"):
            await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses, labels=table)


async def test_a_table_that_names_none_of_the_clips_is_said_at_once(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    table = tmp_path / "t.csv"
    table.write_text("name,sentence\nother_clip,Hello\n")
    async with fake_services() as addresses:
        with pytest.raises(InputError, match="t.csv: names none of the 1 clips; it has 'other_clip'"):
            await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses, transcripts=table)
    clips = tmp_path / "clips.csv"
    clips.write_text("path,label\na.mp4,happy\nb.mp4,jolly good\n")
    with pytest.raises(InputError, match="clips.csv, line 3: unknown label 'jolly good'"):
        await annotate([clips], tmp_path / "out", {})


async def test_the_model_may_label_what_is_expressive(tmp_path):
    make_video(tmp_path / "clips/smile.mp4", "red")
    make_video(tmp_path / "clips/rest.mp4", "grey")
    out = tmp_path / "out"
    async with fake_services() as addresses:
        await annotate([tmp_path / "clips"], out, addresses, settings={"labels_from": "model", "label_scores": "all"})
    record = records(out)["smile"]
    assert (record["label"]["label"], record["label"]["source"]) == ("happy", "model")
    assert set(record["distribution"]) == {"all"}
    assert sum(record["distribution"]["all"].values()) == pytest.approx(1)
    rest = records(out)["rest"]["label"]  # no rule is met, but the model is sure
    assert (rest["label"], rest["source"], rest["ruled"]) == ("happy", "model", "neutral")


async def test_distributions_of_each_modality_stand_in_the_record(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    table = tmp_path / "t.csv"
    table.write_text("name,sentence\na,What a day!\n")
    async with fake_services() as addresses:
        settings = {"label_scores": "modalities"}
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses, transcripts=table, settings=settings)
    record = records(tmp_path / "out")["a"]
    assert set(record["distribution"]) == {"all", "face", "voice", "words"}
    assert [claim["quality"] for claim in record["grounding"]], "the fake voice is loud"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, "no such file or folder"),
        ("notes.txt", "x", "neither a folder of OpenFace's CSVs nor MERR's JSON"),
        ("bad.json", "{", "bad.json"),
    ],
)
async def test_unusable_action_units_are_said_at_once(tmp_path, name, content, message):
    make_video(tmp_path / "a.mp4", "red")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", {}, action_units=tmp_path / name)
