"""Second engines beside the main ones: real gRPC servers, a real ledger; only the models are fakes."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest

from merrflow.core.errors import InputError
from merrflow.store import Ledger
from merrflow_llama3.types import LabelScore, Scored, ScoreItem
from merrflow_openface_au.types import ActionUnitValue
from merrflow_qwen_audio.types import Content, Tone
from merrflow_serving.engine import Endpoint, Reach
from merrflow_serving.errors import EngineFault, NotReady
from merrflow_whisper import Segment, Transcript
from tests.orchestrator import fakes
from tests.orchestrator.fakes import FakeActionUnits, FakeReasoner, FakeTone, FakeTranscriber, fake_services, served
from tests.orchestrator.pipeline.test_pipeline import annotate
from tests.ports import free_port

asked: list[str] = []  # of the second engines: what was asked
broken: dict[str, Exception] = {}  # by service: what its second engine answers instead


class _Second:
    """Mixed into a fake engine: another model, whose calls are counted here."""

    def info(self):
        return replace(super().info(), model=f"second-{self.service}")

    def _one(self, item):
        asked.append(self.service)
        return broken.get(self.service) or self.answer(item)


class SecondTone(_Second, FakeTone):
    def answer(self, item):
        return Tone("The voice is loud. It trembles.", Content.SPEECH)


class SecondUnits(_Second, FakeActionUnits):
    """Sees one unit less, and the others weaker."""

    def answer(self, source):
        found = super().answer(source)
        frames = []
        for frame in found.frames:
            faces = []
            for face in frame.faces:
                weaker = {
                    name: ActionUnitValue(unit.intensity / 2, unit.present and name != "AU12")
                    for name, unit in face.action_units.items()
                }
                faces.append(replace(face, action_units=weaker))
            frames.append(replace(frame, faces=tuple(faces)))
        return replace(found, frames=tuple(frames))


class SecondReasoner(_Second, FakeReasoner):
    pass


class SecondTranscriber(_Second, FakeTranscriber):
    def answer(self, item):
        text = f"we talk for {item.seconds:.1f} second"
        return Transcript(text, (Segment(0.0, item.seconds, text, 0.75, 0.1),), "en", 0.9)


@pytest.fixture(autouse=True)
def _quiet():
    broken.clear()
    asked.clear()
    yield
    broken.clear()


@pytest.fixture
def clip(tmp_path):
    return fakes.make_video(tmp_path / "clips/a.mp4", "red")


def records(out):
    return {row["name"]: row for row in map(json.loads, (out / "records.jsonl").read_text().splitlines())}


async def test_each_role_has_a_witness_whose_answer_and_agreement_are_in_the_record(tmp_path, clip):
    out = tmp_path / "out"
    async with (
        fake_services(whisper=FakeTranscriber) as addresses,
        served("qwen-audio", SecondTone) as tone,
        served("openface-au", SecondUnits) as units,
        served("llama3", SecondReasoner) as reasoner,
        served("whisper", SecondTranscriber) as speech,
    ):
        named = {"qwen-audio": tone, "openface-au": units, "llama3": reasoner, "whisper": speech}
        witness = " ".join(f"{role}={server.address}" for role, server in named.items())
        summary = await annotate([clip], out, addresses, witness=witness)
    assert summary.complete and summary.outcomes == {"done": 1}
    found = records(out)["a"]["witnesses"]
    assert set(found) == {"tone", "action_units", "score_all", "reasoning", "transcript"}
    one = found["tone"][0]
    assert (one["witness"], one["engine"], one["model"]) == (
        f"qwen-audio.{tone.address}",
        "fake",
        "second-qwen-audio",
    )
    assert one["origin"]["model"] == "second-qwen-audio" and one["answer"]["text"].endswith("It trembles.")
    units = found["action_units"][0]
    assert units["answer"]["peak"]["present"] == ["AU06"]
    assert units["agreement"] == {"f1_present": 0.6667, "r_intensity": 1.0}
    assert found["score_all"][0]["agreement"] == {"jensen_shannon": 1.0, "same_label": 1.0}
    assert found["transcript"][0]["agreement"] == {"one_less_wer": 0.8333}  # of six ("0.6" is two), one is another
    # The main answers are what they were.
    assert records(out)["a"]["origins"]["tone"]["model"] == "fake-qwen-audio"
    assert records(out)["a"]["tone"]["text"].startswith("The voice is loud for")


def rows(out):
    """The records as the ledger holds them."""
    with closing(Ledger.in_folder(out)) as ledger:
        return {name: (row.payload, ledger.finished()[name]) for name, row in ledger.records()}


async def test_a_witness_that_is_added_later_is_asked_alone_and_one_that_is_left_out_leaves_the_record_as_it_was(
    tmp_path, clip
):
    out = tmp_path / "out"
    async with fake_services() as addresses, served("qwen-audio", SecondTone) as tone:
        await annotate([clip], out, addresses)
        before = rows(out)
        assert b'"witnesses"' not in before["a"][0]
        fakes.calls.clear(), asked.clear()
        with_it = addresses | {"witness": f"qwen-audio={tone.address}"}
        first = await annotate([clip], out, with_it)
        assert (first.worked, dict(fakes.calls), asked) == (1, {}, ["qwen-audio"])
        assert records(out)["a"]["witnesses"]["tone"][0]["answer"]["text"]
        assert (await annotate([clip], out, with_it)).worked == 0
        assert (await annotate([clip], out, addresses)).worked == 1
        await annotate([clip], out, with_it)
        await annotate([clip], out, addresses)
    assert (dict(fakes.calls), asked) == ({}, ["qwen-audio"])
    assert rows(out) == before


async def test_engines_that_change_places_are_not_asked_again(tmp_path, clip):
    out = tmp_path / "out"
    async with fake_services() as addresses, served("qwen-audio", SecondTone) as tone:
        await annotate([clip], out, addresses, witness=f"qwen-audio={tone.address}")
        first = addresses["qwen_audio_address"]
        fakes.calls.clear(), asked.clear()
        await annotate([clip], out, addresses | {"qwen_audio_address": tone.address}, witness=f"qwen-audio={first}")
    found = records(out)["a"]
    assert (found["tone"]["text"], found["witnesses"]["tone"][0]["model"]) == (
        "The voice is loud. It trembles.",
        "fake-qwen-audio",
    )
    assert (
        asked == [] and fakes.calls["qwen-audio"] == 0
    )  # what builds on the tone is asked anew, as it has other words


async def test_a_witness_that_is_away_costs_no_record_and_is_asked_by_the_next_run(tmp_path, clip, caplog):
    out, port = tmp_path / "out", free_port()
    witness = {"witness": f"qwen-audio=127.0.0.1:{port}", "connect_seconds": 0.5}
    async with fake_services() as addresses:
        first = await annotate([clip], out, addresses, **witness)
        assert first.complete and first.outcomes == {"done": 1}
        (said,) = records(out)["a"]["witnesses"]["tone"]
        assert (said["outcome"], said["again"], said["answer"]) == ("failed", True, {})
        assert "does not answer" in said["reason"]
        assert "or set --witness to where it is" in said["reason"] and "ADDRESS" not in said["reason"]
        assert any(f"qwen-audio.127.0.0.1:{port}" in one and "next run" in one for one in first.remarks)
        fakes.calls.clear()
        again = await annotate([clip], out, addresses, **witness)  # still away: there is nothing to do
        assert again.worked == 0
        async with served("qwen-audio", SecondTone, port):
            asked.clear()
            assert (await annotate([clip], out, addresses, **witness)).worked == 1
        assert (dict(fakes.calls), asked) == ({}, ["qwen-audio"])
        made = rows(out)
        last = await annotate([clip], out, addresses, **witness)  # away again: what it said stays
        assert last.worked == 0 and rows(out) == made
        assert not any("qwen-audio" in one for one in last.remarks)


async def test_a_witness_that_breaks_within_a_run_is_asked_again_and_one_that_cannot_judge_is_not(tmp_path, clip):
    out = tmp_path / "out"
    async with fake_services() as addresses, served("qwen-audio", SecondTone) as tone:
        witness = {"witness": f"qwen-audio={tone.address}"}
        asked.clear()
        broken["qwen-audio"] = NotReady("its card is gone")
        first = await annotate([clip], out, addresses, **witness)
        assert first.complete and records(out)["a"]["witnesses"]["tone"][0]["again"]
        broken["qwen-audio"] = EngineFault("a bug")
        for _ in range(3):
            assert (await annotate([clip], out, addresses, **witness)).worked == 1
        said = records(out)["a"]["witnesses"]["tone"][0]
        assert (said["again"], said["reason"]) == (False, "a bug")  # after three runs
        assert (await annotate([clip], out, addresses, **witness)).worked == 0
    assert records(out)["a"]["tone"]["text"].startswith("The voice is loud for")


@pytest.mark.parametrize(
    ("witness", "words"),
    [
        ("qwen-audio", ["witness: ", "ROLE=ENGINE"]),
        ("qwen-audio=", ["ROLE=ENGINE"]),
        ("qwen-audio=openai,", ["ROLE=ENGINE"]),
        ("tone=openai", ["tone is no role", "qwen-audio, llama3"]),
        ("qwen-audio=openai,openai", ["qwen-audio=openai is named twice"]),
        ("qwen-audio=openai qwen-audio=openai", ["is named twice"]),
        ("qwen-audio=nothing", ["qwen-audio has no engine 'nothing'; it has: prosody"]),
        ("whisper=transformers", ["whisper is not asked in this run"]),
        ("qwen-audio={tone}", ["the witness qwen-audio.", "and so is the main engine"]),
        ("qwen-audio={tone2},prosody,{tone3}", ["and so is the witness qwen-audio."]),
        ("llama3={tone}", ["is the service 'qwen-audio', not llama3"]),
    ],
)
async def test_a_witness_that_cannot_be_one_is_a_mistake_in_one_line(tmp_path, clip, witness, words):
    async with (
        fake_services() as addresses,
        served("qwen-audio", SecondTone) as two,
        served("qwen-audio", SecondTone) as three,
    ):
        places = {"tone": addresses["qwen_audio_address"], "tone2": two.address, "tone3": three.address}
        with pytest.raises(InputError) as caught:
            await annotate([clip], tmp_path / "out", addresses, witness=witness.format(**places), asr="off")
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)


async def test_clips_that_have_nothing_to_be_asked_have_no_witness(tmp_path):
    clip = fakes.make_video(tmp_path / "mute.mp4", "red", sound=False)
    async with fake_services() as addresses, served("qwen-audio", SecondTone) as tone:
        asked.clear()
        await annotate([clip], tmp_path / "out", addresses, witness=f"qwen-audio={tone.address}")
    assert asked == [] and "witnesses" not in records(tmp_path / "out")["mute"]


class FakeJudge(FakeReasoner):
    """Finds that every claim is true, but for those of trembling."""

    scoring = "judge@1"

    def answer(self, item):
        if not isinstance(item, ScoreItem):  # to warm up
            return super().answer(item)
        answer = "false" if "trembles" in "".join(item.clues.other_expressions) else "true"
        share = {label: 0.8 if label == answer else 0.1 for label in item.labels}
        return Scored(tuple(LabelScore(label, share[label], -1.0) for label in item.labels), 10)


async def test_a_model_compares_the_texts_in_a_service_of_its_own(tmp_path, clip):
    out = tmp_path / "out"
    async with fake_services() as addresses, served("qwen-audio", SecondTone) as tone:
        witness = {"witness": f"qwen-audio={tone.address}"}
        await annotate([clip], out, addresses, **witness)
        assert "entailment_model" not in records(out)["a"]["witnesses"]["tone"][0]["agreement"]
        with pytest.raises(InputError, match="llama3 service scores by the prompt scoring-1"):
            await annotate([clip], out, addresses, **witness, witness_judge=addresses["llama3_address"])
        with pytest.raises(InputError, match="no llama3 service answers"):
            await annotate([clip], out, addresses, **witness, witness_judge="127.0.0.1:1", connect_seconds=0.3)
        asked.clear()
        async with served("llama3", FakeJudge) as judge:
            judged = witness | {"witness_judge": judge.address}
            assert (await annotate([clip], out, addresses, **judged)).worked == 1
            assert (await annotate([clip], out, addresses, **judged)).worked == 0
    assert asked == []  # only the texts were compared anew
    # Of the three claims, that the voice trembles is contradicted.
    assert records(out)["a"]["witnesses"]["tone"][0]["agreement"] == {"entailment_model": 0.6667}


async def test_a_judge_that_breaks_is_asked_by_the_next_run(tmp_path, clip):
    out = tmp_path / "out"
    async with (
        fake_services() as addresses,
        served("qwen-audio", SecondTone) as tone,
        served("llama3", FakeJudge) as judge,
    ):
        settings = {"witness": f"qwen-audio={tone.address}", "witness_judge": judge.address}
        fakes.trouble["scores"] = NotReady("its card is gone")
        try:
            first = await annotate([clip], out, addresses, label_scores="none", **settings)
        finally:
            del fakes.trouble["scores"]
        assert first.complete
        said = records(out)["a"]["witnesses"]["tone"][0]
        assert (said["again"], said["agreement"]) == (True, {}) and "its card is gone" in said["unmeasured"]
        assert (await annotate([clip], out, addresses, label_scores="none", **settings)).worked == 1
    assert records(out)["a"]["witnesses"]["tone"][0]["agreement"] == {"entailment_model": 0.6667}


class ElsewhereTone(SecondTone):
    """Its model is at a public address."""

    def endpoint(self):
        return Endpoint("models.example", Reach.PUBLIC)


async def test_a_witness_sends_nothing_to_a_public_address_unless_it_is_allowed(tmp_path, clip, caplog):
    async with fake_services() as addresses, served("qwen-audio", ElsewhereTone) as tone:
        settings = {"witness": f"qwen-audio={tone.address}"}
        asked.clear()
        with pytest.raises(InputError, match=r"qwen-audio sends sound tracks to models\.example .*--allow-remote"):
            await annotate([clip], tmp_path / "out", addresses, **settings)
        assert asked == []
        summary = await annotate([clip], tmp_path / "out", addresses, **settings, allow_remote=True)
    assert summary.complete and asked == ["qwen-audio"]
    assert "qwen-audio sends sound tracks to models.example" in caplog.text
