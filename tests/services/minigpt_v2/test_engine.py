"""The engine over files in the authors' formats."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch

from merrflow_minigpt_v2.engines.minigpt_v2.engine import CPU_ROWS
from merrflow_minigpt_v2.service import warmup
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_minigpt_v2.types import Scene, SceneItem
from merrflow_serving.answers import Outcome
from merrflow_serving.errors import InvalidInput, NotReady, TooLarge
from tests.services.minigpt_v2 import reference
from tests.services.minigpt_v2.tiny import TinyEngine, make_files, picture

pytestmark = pytest.mark.usefixtures("one_thread", "any_size")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_files().write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The models' folder."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def make(root, store):
    """Engines over the small weights; closed afterwards."""
    made = []

    def _make(load: bool = True, **changed) -> TinyEngine:
        given = {"models_dir": store, "weights": str(root), "offline": True, "device": "cpu", "answer_tokens": 12}
        engine = TinyEngine(MiniGptSettings(**given | {"max_instruction_tokens": 200} | changed))
        made.append(engine)
        if load:
            engine.load()
        return engine

    yield _make
    for engine in made:
        engine.close()


def item(number: int, instruction: str = "", size: tuple[int, int] = (90, 130)) -> SceneItem:
    return SceneItem(picture(number, *size), instruction=instruction)


def test_a_picture_in_words_equal_the_description(make):
    engine = make()
    (scene,) = engine.run([item(reference.GOLDEN_PICTURE)])
    files = make_files()
    found = reference.stages(files, picture(reference.GOLDEN_PICTURE))
    ids = reference.greedy(files, found["splice"], 12)
    assert scene.text == engine._loaded.tokens.text(ids)
    assert scene.outcome == (Outcome.DONE if 2 in ids else Outcome.TRUNCATED)
    assert not scene.measurements and not scene.on_screen_text


def test_words_do_not_depend_on_the_batch_or_its_order(make):
    engine = make(encoder_batch=3, max_batch_size=5)
    items = [item(number, " ".join(["see the light"] * number), (20 + 9 * number, 130)) for number in range(8)]
    alone = [engine.run([one])[0] for one in items]
    assert all(isinstance(scene, Scene) for scene in alone) and len({scene.text for scene in alone}) > 4
    assert engine.run(items) == alone
    assert engine.run(items[::-1]) == alone[::-1]


def test_pulled_folders_and_separate_folders_give_the_same(make, root):
    together = make()
    apart = make(
        weights=str(root / "minigpt-v2"),
        vision_weights=str(root / "eva-vit-g"),
        language_weights=str(root / "llama-2-7b-chat"),
    )
    pulled = make(weights="", models_dir=root)
    assert len({engine.run([item(1)])[0].text for engine in (together, apart, pulled)}) == 1
    assert together.info().revision == apart.info().revision == pulled.info().revision


def test_own_instruction_and_its_tags(make):
    engine = make()
    plain, tagged, blank, broken = engine.run(
        [item(1), item(1, "[vqa] who is it?"), item(1, " \n"), item(1, "x </s> [/INST] </Img> <ImageHere>")]
    )
    assert blank == plain and len({plain.text, tagged.text, broken.text}) == 3


def test_an_instruction_too_long_is_refused_and_its_neighbours_answered(make):
    engine = make()
    whole = engine.run([item(1)])[0]
    found = engine.run([item(1), item(1, "light " * 1000), item(1)])
    assert isinstance(found[1], TooLarge) and "more than 200" in str(found[1])
    assert found[0] == found[2] == whole


def test_megabytes_of_instruction_are_refused_without_tokenizing(make, monkeypatch):
    engine = make()
    monkeypatch.setattr(engine._loaded.tokens, "prompt", None)
    (found,) = engine.run([item(1, "x" * 2_000_000)])
    assert isinstance(found, TooLarge) and "2000000 characters" in str(found)


def test_bad_and_odd_pictures(make):
    engine = make(max_pixels=100_000)
    frames = [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((1, 50_000, 3), np.uint8),
        np.zeros((400, 400, 3), np.uint8),
        np.zeros((5, 5), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.full((5, 5, 3), np.nan, np.float32),
        np.asfortranarray(picture(1)[:, ::-1]),
    ]
    found = engine.run([SceneItem(frame) for frame in frames])
    kinds = [Scene, Scene, TooLarge, InvalidInput, InvalidInput, InvalidInput, Scene]
    assert [type(one) for one in found] == kinds
    assert engine.run([]) == []


@pytest.mark.parametrize(("stops", "outcome"), [(False, Outcome.TRUNCATED), (True, Outcome.DONE)])
def test_a_text_cut_by_the_limit_says_so_and_a_stopped_one_is_whole(make, stops, outcome):
    engine = make(answer_tokens=3)
    steps = []

    def _favour(module, given, scores):
        steps.append(1)
        scores[..., 2] = 1e4 if stops and len(steps) == 3 else -1e4
        return scores

    engine._loaded.speech.model.lm_head.register_forward_hook(_favour)
    (scene,) = engine.run([item(1)])
    assert scene.outcome == outcome and scene.text and len(steps) == 3


def test_an_answer_without_words_is_refused(make):
    engine = make(answer_tokens=2)
    space = engine._loaded.tokens._pieces.piece_to_id("▁")

    def _blank(module, given, scores):
        scores[..., space] = 1e4
        return scores

    engine._loaded.speech.model.lm_head.register_forward_hook(_blank)
    (scene,) = engine.run([item(1)])
    assert (scene.text, scene.outcome) == ("", Outcome.REFUSED)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("eva", "blocks.1.attn.v_bias"),
        ("eva", "pos_embed"),
        ("checkpoint", "llama_proj.bias"),
        ("checkpoint", "llama_model.base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"),
        ("llama", "model.layers.1.mlp.gate_proj.weight"),
        ("llama", "lm_head.weight"),
    ],
)
@pytest.mark.parametrize("how", ["dropped", "renamed"])
def test_files_with_another_key_fail_with_its_name(tmp_path, table, key, how):
    files = make_files()
    tensor = getattr(files, table).pop(key)
    if how == "renamed":
        getattr(files, table)[f"old_{key}"] = tensor
    settings = MiniGptSettings(
        weights=str(files.write(tmp_path / "weights")), models_dir=tmp_path / "store", offline=True, device="cpu"
    )
    with pytest.raises(NotReady, match=re.escape(key)) as caught:
        TinyEngine(settings).load()
    if how == "renamed":
        assert f"old_{key}" in str(caught.value)


def test_absent_weights_are_all_named_with_steps(tmp_path):
    engine = TinyEngine(MiniGptSettings(models_dir=tmp_path, offline=True, device="cpu"))
    with pytest.raises(NotReady) as caught:
        engine.load()
    for name in ("eva_vit_g.pth", "minigptv2_checkpoint.pth", "Llama-2-7b-chat-hf"):
        assert name in str(caught.value)
    assert engine.info().revision.count("missing") == 3
    assert isinstance(engine.info().dtype, str)


def test_info_is_the_same_before_and_after_loading(make):
    engine = make(load=False)
    before = engine.info()
    engine.load()
    assert engine.info() == before
    assert before.engine == "minigpt_v2" and before.dtype == "float32" and before.device == "cpu"
    assert before.prompt_version.startswith("merr_words 1, greedy 1+")
    assert "llama2" in before.licence.lower().replace(" ", "").replace("-", "") and "Llama 2" in before.note
    assert before.limits.max_batch_size == CPU_ROWS and before.limits.max_tokens == 200


def test_other_weights_are_another_revision(make, tmp_path):
    other = make(weights=str(make_files(8).write(tmp_path)), load=False)
    assert other.info().revision != make(load=False).info().revision


def test_an_unknown_prompt_is_told_when_loading(make):
    engine = make(load=False, prompt="poem")
    assert engine.info().prompt_version == ""
    with pytest.raises(NotReady, match="merr_words"):
        engine.load()


def test_an_answer_that_the_context_cannot_hold(make):
    with pytest.raises(NotReady, match="ANSWER_TOKENS"):
        make(answer_tokens=700)


def test_an_own_prompt_longer_than_instructions_may_be(make, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(f"{{name: own, version: '1', text: {'light ' * 300}, answer_tokens: 5}}")
    with pytest.raises(NotReady, match="prompt own: .* MAX_INSTRUCTION_TOKENS"):
        make(prompt=str(own))


def test_warm_up_reaches_the_largest_shapes(make, monkeypatch):
    from merrflow_minigpt_v2.engines.minigpt_v2.speech import Speech
    from merrflow_minigpt_v2.engines.minigpt_v2.vision import Eyes

    seen, spoken = [], []
    see, rehearse = Eyes.see, Speech.rehearse
    monkeypatch.setattr(Eyes, "see", lambda self, items: seen.append(len(items)) or see(self, items))
    monkeypatch.setattr(
        Speech, "rehearse", lambda self, items: spoken.append([len(one) for one in items]) or rehearse(self, items)
    )
    engine = make(encoder_batch=3, max_batch_size=6)
    assert seen == [3]
    (lengths,) = spoken
    # Of the longest instruction that is taken, with all its answer but the two tokens that the rehearsal adds.
    instruction = next(count for count in range(300, 0, -1) if not isinstance(_try(engine, "a " * count), TooLarge))
    longest = len(engine._loaded.ids("a " * instruction)) + 4  # and the picture's tokens
    assert lengths == [longest + 12 - 1] * 6


def _try(engine, text):
    try:
        return engine._loaded.ids(text)
    except TooLarge as error:
        return error


def test_out_of_memory_lowers_the_batch_and_loses_nothing(make, monkeypatch):
    engine = make(encoder_batch=8, max_batch_size=8)
    items = [item(number) for number in range(8)]
    expected = engine.run(items)
    eyes, speech = engine._loaded.eyes, engine._loaded.speech
    tried = []

    def _fits(function, most):
        def _run(batch):
            tried.append(len(batch))
            if len(batch) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return function(batch)

        return _run

    eyes.see, speech.answer = _fits(eyes.see, 3), _fits(speech.answer, 5)
    assert engine.run(items) == expected
    assert tried == [8, 4, 2, 2, 2, 2, 8, 4, 4]
    tried.clear()
    assert engine.run(items) == expected
    assert tried == [2, 2, 2, 2, 4, 4]  # the limits stay low


def test_too_little_memory_for_one_row_says_so(make, monkeypatch):
    from merrflow_minigpt_v2.engines.minigpt_v2.speech import Speech

    def _full(self, items):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Speech, "rehearse", _full)
    with pytest.raises(NotReady, match="too little memory"):
        make()


def test_sampling_is_repeatable(make):
    first, second = make(decoding="demo"), make(decoding="demo", seed=1)
    items = [item(number) for number in range(4)]
    drawn = first.run(items)
    assert first.run(items[::-1]) == drawn[::-1]
    assert second.run(items) != drawn


def test_half_precision_runs(make):
    engine = make(dtype="bfloat16")
    assert engine.info().dtype == "bfloat16"
    assert {parameter.dtype for parameter in engine._loaded.speech.model.parameters()} == {torch.bfloat16}
    assert engine.run([item(1)])[0].text


def test_without_torch_it_tells_what_to_install(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "merrflow_minigpt_v2.engines.minigpt_v2.loading", None)
    engine = make(load=False)
    assert engine.info().dtype == "auto" and engine.info().limits.max_batch_size == CPU_ROWS
    with pytest.raises(NotReady, match=r"merrflow-minigpt-v2\[torch\]"):
        engine.load()


def test_not_loaded_and_closed_engines_say_so(make):
    engine = make(load=False)
    with pytest.raises(NotReady):
        engine.run([warmup()])
    engine.load()
    assert engine.run([warmup()])[0].text
    engine.close()
    engine.close()
    with pytest.raises(NotReady):
        engine.run([warmup()])
