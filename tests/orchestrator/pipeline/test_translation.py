"""Translation in a run: asked only for subtitles that are not English, never in the way, and free if it is off."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from merrflow.clients import identity
from merrflow.core.errors import InputError
from merrflow.core.fingerprint import fingerprint
from merrflow.core.labels import Label
from merrflow.core.settings_file import load_settings
from merrflow.core.texts import Clues
from merrflow.stages.graph import graph_for
from merrflow_serving.engine import EngineInfo
from merrflow_serving.errors import EngineFault, InvalidInput
from tests.orchestrator.fakes import (
    DoubtfulTranslator,
    OtherTranslations,
    Translator,
    calls,
    fake_services,
    make_video,
    trouble,
)
from tests.orchestrator.pipeline.test_pipeline import annotate

CHINESE, ENGLISH = "我不知道该怎么办。", "I don't know what to do."


@pytest.fixture
def clips(tmp_path):
    for seed, name in enumerate(("foreign", "english", "silent")):
        make_video(tmp_path / f"clips/{name}.mp4", "red", seed=seed)
    (tmp_path / "t.csv").write_text(f"name,sentence\nforeign,{CHINESE}\nenglish,What a day!\n", encoding="utf-8")
    return tmp_path


def records(out):
    return {row["name"]: row for row in map(json.loads, (out / "records.jsonl").read_text().splitlines())}


async def run(clips, addresses, **settings):
    return await annotate([clips / "clips"], clips / "out", addresses, clips / "t.csv", **settings)


async def test_a_foreign_subtitle_is_translated_once_and_the_original_kept(clips):
    async with fake_services(llama3=Translator) as addresses:
        summary = await run(clips, addresses, translate="en")
        assert summary.outcomes == {"done": 3} and calls["translations"] == 1
        await run(clips, addresses, translate="en")
        assert calls["translations"] == 1
        given = list(Translator.clues)
    found = records(clips / "out")
    foreign = found["foreign"]
    assert (foreign["subtitle"]["text"], foreign["subtitle"]["language"]) == (CHINESE, "zh")
    assert foreign["translation"] == {"text": ENGLISH, "language": "zh", "attempts": 2}
    assert foreign["origins"]["subtitle_en"]["prompt_version"] == "translation-1"
    assert foreign["origins"]["reasoning"]["prompt_version"] == "reasoning-1"
    assert foreign["seconds"]["subtitle_en"] >= 0
    assert ENGLISH in foreign["coarse"] and CHINESE not in foreign["coarse"]
    for name in ("english", "silent"):
        assert found[name]["translation"] is None and "subtitle_en" not in found[name]["missing"]
    both = [clues for clues in given if clues.subtitle == CHINESE]
    assert both and all(clues.translation == ENGLISH for clues in both)  # reasoning and scores
    assert json.loads((clips / "out/merr/MERR_fine_grained.json").read_text())["foreign"]["text"] == ENGLISH
    page = (clips / "out/report.html").read_text()
    assert CHINESE in page and "I don&#39;t know what to do." in page and "translation-1" in page


async def test_switched_on_later_only_what_depends_on_the_words_is_done_again(clips):
    async with fake_services(llama3=Translator) as addresses:
        await run(clips, addresses)
        assert calls["translations"] == 0 and records(clips / "out")["foreign"]["translation"] is None
        before = calls.copy()
        await run(clips, addresses, translate="en")
        assert calls - before == {"translations": 1, "llama3": 1, "scores": 1}
        before = calls.copy()
        await run(clips, addresses, translate="off")
        assert not calls - before and records(clips / "out")["foreign"]["translation"] is None


async def test_an_engine_that_does_not_translate_is_named_before_the_work_and_records_go_on(clips, caplog):
    async with fake_services() as addresses:
        summary = await run(clips, addresses, translate="en")
    assert summary.outcomes == {"done": 3} and calls["translations"] == 0
    said = [record.message for record in caplog.records if "does not translate" in record.message]
    assert len(said) == 1
    assert "fake-llama3" in said[0] and "MERRFLOW_LLAMA3_MODEL_PATH" in said[0] and "MERRFLOW_TRANSLATE=off" in said[0]
    found = records(clips / "out")
    assert found["foreign"]["missing"]["subtitle_en"] == said[0] and found["foreign"]["translation"] is None
    assert "subtitle_en" not in found["english"]["missing"]
    assert CHINESE in found["foreign"]["coarse"]


async def test_what_is_no_translation_is_not_kept_as_one(clips):
    async with fake_services(llama3=DoubtfulTranslator) as addresses:
        assert (await run(clips, addresses, translate="en")).outcomes == {"done": 3}
    foreign = records(clips / "out")["foreign"]
    assert foreign["translation"] is None
    assert foreign["missing"]["subtitle_en"] == "only 0% of its letters are Latin"
    assert "only 0% of its letters are Latin" in (clips / "out/report.html").read_text()


@pytest.mark.parametrize("error", [InvalidInput("this text holds a control token"), EngineFault("lost")])
async def test_a_translator_that_fails_costs_the_translation_at_most(clips, error):
    async with fake_services(llama3=Translator) as addresses:
        trouble["translations"] = error
        summary = await run(clips, addresses, translate="en")
    if isinstance(error, InvalidInput):
        assert summary.outcomes == {"done": 3}
        assert "control token" in records(clips / "out")["foreign"]["missing"]["subtitle_en"]
    else:  # it may pass: the clip is tried again by the next run
        assert summary.outcomes == {"done": 2, "failed": 1} and not summary.complete


async def test_off_costs_nothing(clips):
    """An engine that could translate, or another prompt for it, changes no key while nothing is translated."""
    async with fake_services() as addresses:
        await run(clips, addresses)
    for able in (Translator, OtherTranslations):
        async with fake_services(llama3=able) as addresses:
            await run(clips, addresses)
            assert not calls
    assert {stage.name for stage in graph_for(translate=True)} - {stage.name for stage in graph_for()} == {
        "subtitle_en"
    }
    assert "translate" not in graph_for().settings and "translate" in graph_for(translate=True).settings


def test_keys_without_a_translation_are_those_of_earlier_ledgers():
    clues = Clues("A room.", ("a smile",), "The voice is calm.", CHINESE)
    earlier = {"scene": "A room.", "expressions": ("a smile",), "tone": "The voice is calm.", "subtitle": CHINESE}
    assert fingerprint(clues.for_key()) == fingerprint(earlier)
    assert fingerprint(replace(clues, translation=ENGLISH).for_key()) != fingerprint(earlier)
    info = EngineInfo("llamacpp", "m", "1")
    assert "translation_prompt_version" not in identity(info)
    assert identity(replace(info, translation_prompt_version="t@1"))["translation_prompt_version"] == "t@1"


def test_the_expressions_that_a_label_does_not_rest_on_are_sent_apart():
    clues = Clues(expressions=("raised cheeks", "lowered brows"))
    label = Label("happy", "rules", (), ("raised cheeks",), "", "")
    sent = clues.labelled(label)
    assert (sent.expressions, sent.other_expressions) == (("raised cheeks",), ("lowered brows",))
    assert "other_expressions" not in clues.for_key() and "other_expressions" in sent.for_key()


def test_the_setting_is_a_word_also_in_yaml(tmp_path):
    config = tmp_path / "s.yaml"
    config.write_text("translate: off\nasr: on\n")  # which YAML reads as false and true
    assert (load_settings(config).translate, load_settings(config).asr) == ("off", "on")
    config.write_text("translate: de\n")
    with pytest.raises(InputError, match="translate.*'en' or 'off'"):
        load_settings(config)
    config.write_text("translate: on\n")
    with pytest.raises(InputError, match="translate"):
        load_settings(config)
