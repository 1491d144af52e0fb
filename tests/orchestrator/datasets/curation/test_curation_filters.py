"""Each filter by itself: what it drops, what it spares, and that what is not known never counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from merrflow.core.records import Outcome
from merrflow.core.texts import Claim, Origin
from merrflow.datasets.curation.base import Filter
from merrflow.datasets.curation.candidate import Candidate, candidate
from merrflow.datasets.curation.config import config_type, packaged
from merrflow.datasets.curation.near import NearDuplicates
from merrflow.datasets.entries import Entry
from merrflow.datasets.review.corrected import HUMAN
from merrflow.datasets.scoring.scores import Shares, TextScores
from merrflow.stages.claims.judge import Finding, Judgement
from tests.orchestrator.datasets.report.runs import record

RNG = np.random.default_rng(4)
LOOKS = RNG.integers(0, 2**63, 8, np.uint64)
SOUND = RNG.integers(1, 2**32, 40, np.uint32)
OTHER_SOUND = RNG.integers(1, 2**32, 40, np.uint32)
LINE, OTHER_LINE = "nobodyevertoldme", "thisissomethingelse"


def clip(name: str = "clip", **changes: object) -> Candidate:
    """A happy clip with a likeness, and nothing else known."""
    first = candidate(Entry(record(name), Outcome.DONE, ""))
    values: dict[str, object] = {"sha256": f"sha of {name}", "frames": LOOKS, "sound": SOUND, "text": LINE}
    return replace(first, **(values | changes))


def only(name: str, **section: object) -> Filter:
    """One filter of the defaults, its section changed."""
    config = packaged()
    changes: dict[str, object] = {"order": (name,)}
    key = name if name in config_type().model_fields else "best"
    if section:
        changes[key] = getattr(config, key).model_copy(update=section)
    return config.model_copy(update=changes).filters()[0]


def shares(own: float, **others: float) -> dict[str, float]:
    """A distribution over ten labels with these probabilities, the rest spread evenly."""
    known = {"happy": own, **others}
    rest = [name for name in packaged().valence if name not in known]
    return {**{name: (1 - sum(known.values())) / len(rest) for name in rest}, **known}


@pytest.mark.parametrize(
    ("scores", "dropped"),
    [
        (shares(0.01, sad=0.9), True),
        (shares(0.01, sad=0.3), True),  # unsure, yet thirty times as sure as of the label
        (shares(0.04, sad=0.2), False),  # five times
        (shares(0.06, sad=0.9), False),  # more than half an equal share is left to the label
        (shares(0.04, surprise=0.9), False),  # not opposite
        (shares(0.9), False),
        (shares(0.01, bored=0.95), False),  # a label whose valence is not known
        (shares(0.0, sad=0.0, bored=1.0), False),
    ],
)
def test_distribution(scores: dict[str, float], dropped: bool) -> None:
    found = only("distribution").judge([clip(scores={"all": scores})])
    assert bool(found.drops) is dropped
    assert found.unjudged == 0


def test_distribution_of_any_other_label_where_asked() -> None:
    one = clip(scores={"all": shares(0.01, surprise=0.9)})
    assert only("distribution", opposite_only=False).judge([one]).drops == {
        "clip": "labelled happy (1.0% by all clues, 0.10 times an equal share), while the clues say rather surprise "
        "(90%)"
    }


HAPPY, SAD, UNSURE = shares(0.5), shares(0.02, sad=0.4), shares(0.2, sad=0.3)


@pytest.mark.parametrize(
    ("scores", "dropped"),
    [
        ({"face": HAPPY, "words": SAD}, True),
        ({"face": HAPPY, "voice": shares(0.1, surprise=0.5), "words": shares(0.02, fear=0.3)}, True),
        ({"face": HAPPY, "words": UNSURE}, False),
        ({"face": shares(0.02, angry=0.5), "words": SAD}, False),
        ({"face": HAPPY, "all": SAD}, False),  # "all" is no modality
        ({"face": {"happy": 0.9, "neutral": 0.1}, "words": SAD}, False),  # no negative label was weighed
    ],
)
def test_modalities(scores: dict[str, dict[str, float]], dropped: bool) -> None:
    assert bool(only("modalities").judge([clip(scores=scores)]).drops) is dropped


@pytest.mark.parametrize(
    ("source", "supported", "ruled", "by_default", "strictly"),
    [
        ("table", False, "angry", True, True),
        ("model", False, "neutral", False, True),
        ("table", False, "", False, True),
        ("table", True, "angry", False, False),
        ("table", None, "angry", False, False),
        ("rules", False, "angry", False, False),
    ],
)
def test_support(source: str, supported: bool | None, ruled: str, by_default: bool, strictly: bool) -> None:
    one = clip(label_source=source, supported=supported, ruled=ruled)
    assert bool(only("support").judge([one]).drops) is by_default
    assert bool(only("support", drop="unsupported").judge([one]).drops) is strictly


@pytest.mark.parametrize(("wrong", "right", "dropped"), [(1, 0, True), (1, 1, True), (1, 2, False), (0, 2, False)])
def test_tone(wrong: int, right: int, dropped: bool) -> None:
    claims = [Claim("loud", "loud", "contradicted", "-40 dB")] * wrong
    claims += [Claim("fast", "fast", "supported", "")] * right + [Claim("sad", "sad", "unmeasured", "")] * 3
    one = candidate(Entry(replace(record("clip"), grounding=tuple(claims)), Outcome.DONE, ""))
    assert bool(only("tone").judge([one]).drops) is dropped


def test_quality_names_every_fault() -> None:
    one = clip(face_pixels=39.96, face_confidence=0.2, signal_to_noise=-3.0)
    assert only("quality").judge([one]).drops["clip"] == (
        "the height of the face is 39.96 pixels, below 40; the confidence in the face is 0.2, below 0.5; "
        "the voice over the noise is -3 dB, below 0"
    )
    assert not only("quality").judge([clip(face_pixels=40.0, face_confidence=0.5, signal_to_noise=0.0)]).drops


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ({"fine_text": True}, {"fine_text": False}),
        ({"face_share": 0.5}, {"face_pixels": 100.0, "height": 360}),
        ({"subject_margin": 0.2}, {"subject_margin": 0.1}),
        ({"sharpness": 50.0}, {"sharpness": 10.0}),
    ],
)
def test_quality_measures_that_are_off_by_default(rule: dict[str, object], changes: dict[str, object]) -> None:
    assert not only("quality").judge([clip(**changes)]).drops
    assert only("quality", **rule).judge([clip(**changes)]).drops


@pytest.mark.parametrize(
    ("found", "rules", "dropped"),
    [
        (Shares(4, 2, 2), {}, True),
        (Shares(4, 3, 1), {}, False),  # a quarter is the most
        (Shares(4, 0, 0), {}, False),  # nothing is told, and that does not count by default
        (Shares(4, 0, 0), {"not_told_above": 0.9}, True),
        (Shares(0, 0, 0), {"not_told_above": 0.0}, False),
        (Shares(4, 0, 4), {"contradicted_above": None}, False),
        (Shares(4, 0, 4), {"judges": ("model",)}, False),
    ],
)
def test_claims_of_the_text(found: Shares, rules: dict[str, object], dropped: bool) -> None:
    verdict = only("claims", **rules).judge([clip(text_claims={"rules": found})])
    assert bool(verdict.drops) == dropped
    if dropped:
        assert "of 4 claims of the text are" in verdict.drops["clip"]


def test_a_text_that_nobody_judged_or_that_a_person_wrote_is_not_judged() -> None:
    assert only("claims").judge([clip()]).unjudged == 1
    judged = (Judgement("she smiles", Finding.CONTRADICTED),)
    scores = TextScores({"rules": judged})
    by_model = Entry(record("clip"), Outcome.DONE, "", scores=scores)
    origins = {"reasoning": Origin(HUMAN, "", "", "", "", 0.0, 0.0)}
    by_person = replace(by_model, record=record("clip", origins=origins))
    assert only("claims").judge([candidate(by_model)]).drops
    assert only("claims").judge([candidate(by_person)]).unjudged == 1


def test_what_is_not_known_never_counts() -> None:
    """A record of an older run, without likeness, distribution, grounding, box, confidence, tone."""
    bare = record("bare", tone=None, subtitle=replace(record("x").subtitle, text=None))
    other = replace(bare, name="other", sha256="cd" * 32)
    clips = [candidate(Entry(one, Outcome.DONE, "")) for one in (bare, other)]
    for one in packaged().filters():
        found = one.judge(clips)
        assert not found.drops, one.name
        judged = one.name in ("exact", "neutral", "overabundance", "support")
        assert found.unjudged == (0 if judged else 2), one.name


def flipped(words: np.ndarray, bits: int, width: int) -> np.ndarray:
    """Words with just so many bits turned in each, others in each."""
    rng = np.random.default_rng(bits)
    masks = [sum(1 << int(bit) for bit in rng.choice(width, bits, replace=False)) for _ in words]
    return words ^ np.array(masks, words.dtype)


NO_SOUND = SOUND[:0]


@pytest.mark.parametrize(
    ("changes", "copy"),
    [
        ({"frames": flipped(LOOKS, 4, 64), "sound": flipped(SOUND, 5, 32), "text": OTHER_LINE}, True),  # retitled
        ({"frames": flipped(LOOKS, 30, 64), "sound": flipped(SOUND, 3, 32)}, True),  # another picture over it
        ({"frames": LOOKS ^ np.uint64(0x5555555555555555)}, True),  # mirrored
        ({"frames": LOOKS[::2], "sound": SOUND[4:]}, True),  # cut
        ({"sound": NO_SOUND}, True),  # muted: pictures and subtitle
        ({"sound": NO_SOUND, "text": ""}, True),  # only pictures, the very same
        ({"sound": NO_SOUND, "text": "", "frames": flipped(LOOKS, 4, 64)}, False),  # only pictures, alike
        ({"sound": NO_SOUND, "text": OTHER_LINE}, False),  # another line in front of the same camera
        ({"sound": OTHER_SOUND}, False),  # another take: same pictures, same line
        ({"frames": flipped(LOOKS, 30, 64), "text": OTHER_LINE}, False),  # under the same music
        ({"frames": flipped(LOOKS, 30, 64), "sound": OTHER_SOUND}, False),  # the same line elsewhere
        ({"seconds": 1.2}, False),  # a part of a longer clip
        ({"sound": np.where(np.arange(40) < 35, 0, SOUND).astype(np.uint32)}, True),  # too little sound to say
    ],
)
def test_two_of_three_similarities(changes: dict[str, object], copy: bool) -> None:
    one, other = clip("one", face_confidence=0.9), clip("other", face_confidence=0.8, **changes)
    drops = only("near").judge([other, one]).drops
    assert set(drops) == ({"other"} if copy else set())


def test_groups_keep_the_best_by_the_order_asked() -> None:
    clips = [
        clip("a", fine_text=False, face_confidence=0.99),
        clip("b", face_confidence=0.7, face_pixels=200.0),
        clip("c", face_confidence=0.7, face_pixels=None),
        clip("d", face_confidence=None, face_pixels=300.0),
    ]
    assert set(only("near").judge(clips).drops) == {"a", "c", "d"}
    by_size = NearDuplicates(packaged().near, replace(packaged().shared, best=("face_size",))).judge(clips)
    assert set(by_size.drops) == {"a", "b", "c"}
    same = [replace(one, sha256="same") for one in clips]
    assert only("exact").judge(same).drops == {name: "the same bytes as b" for name in "acd"}


def test_each_that_goes_is_a_copy_of_one_that_stays() -> None:
    """Pieces of 8 s, one second apart, of one take: neighbours are copies, those further apart are not."""
    looks, sound = RNG.integers(0, 2**63, 60, np.uint64), RNG.integers(1, 2**32, 420, np.uint32)
    clips = [
        clip(f"{at:02}", frames=looks[2 * at : 2 * at + 16], sound=sound[15 * at : 15 * at + 120], text="", seconds=8.0)
        for at in range(20)
    ]
    drops = only("near").judge(RNG.permutation(clips).tolist()).drops
    stay = {one.name for one in clips} - set(drops)
    assert stay == {f"{at:02}" for at in range(0, 20, 3)}
    assert all(reason.split()[3].rstrip(":") in stay for reason in drops.values())


def test_of_very_many_copies_one_is_left() -> None:
    flips = np.uint32(1) << RNG.integers(0, 32, (300, 40), np.uint32)
    clips = [clip(f"{index:03}", sound=SOUND ^ flips[index]) for index in range(300)]
    assert len(only("near").judge(clips).drops) == 299


def test_neutral_sample_by_number_is_a_part_of_a_larger_one() -> None:
    clips = [clip(f"clip_{index}", label="neutral") for index in range(50)] + [clip("happy")]
    kept = []
    for number in (5, 20):
        drops = only("neutral", number=number).judge(clips).drops
        assert "happy" not in drops
        kept.append({one.name for one in clips} - set(drops) - {"happy"})
    assert (len(kept[0]), len(kept[1])) == (5, 20)
    assert kept[0] < kept[1]


def test_the_draw_follows_the_bytes_not_the_name() -> None:
    clips = [clip(f"clip_{index}", label="neutral") for index in range(20)]
    renamed = [replace(one, name=f"renamed_{one.name}") for one in clips]
    half = only("neutral", share=0.5)
    assert {f"renamed_{name}" for name in half.judge(clips).drops} == set(half.judge(renamed).drops)


def test_overabundance_by_quality_keeps_the_best() -> None:
    clips = [clip(f"clip_{index}", face_confidence=index / 10) for index in range(5)]
    drops = only("overabundance", caps={"happy": 2}, keep="best").judge(clips).drops
    assert set(drops) == {"clip_0", "clip_1", "clip_2"}
    assert drops["clip_0"] == "5 happy clips, of which the best 2 stay (the cap of this label)"


@pytest.mark.parametrize(("to", "left"), [("rarest", 6), ("median", 9)])
def test_overabundance_by_ratio(to: str, left: int) -> None:
    counts = {"happy": 40, "sad": 3, "fear": 2}
    clips = [clip(f"{label}_{index}", label=label) for label, count in counts.items() for index in range(count)]
    drops = only("overabundance", ratio=3.0, to=to, spare=1).judge(clips).drops
    assert len(clips) - len(drops) == left + 3 + 2
    assert all(name.startswith("happy") for name in drops)
    assert not only("overabundance", ratio=3.0, to=to, spare=40).judge(clips).drops


def test_no_clips_at_all() -> None:
    for one in packaged().filters():
        assert one.judge([]).drops == {}


@pytest.mark.parametrize(
    ("standing", "kept"),
    [("contradicted", []), ("undetermined", ["not_contradicted"]), ("confirmed", ["not_contradicted", "confirmed"])],
)
def test_standing(standing: str, kept: list[str]) -> None:
    one = clip(standing=standing, standing_reason="words against happy (0.5)")
    for keep in ("not_contradicted", "confirmed"):
        found = only("standing", keep=keep).judge([one])
        assert (not found.drops) is (keep in kept)
        assert found.unjudged == 0
    if not kept:
        assert found.drops == {"clip": "happy is contradicted: words against happy (0.5)"}


def test_a_record_without_a_standing_is_not_judged_by_it() -> None:
    found = only("standing", keep="confirmed").judge([clip()])
    assert (dict(found.drops), found.unjudged) == ({}, 1)


@pytest.mark.parametrize(
    ("agreement", "rules", "dropped"),
    [
        ({}, {}, None),
        ({("tone", "qwen-audio.b"): 0.6}, {}, None),
        ({("tone", "qwen-audio.b"): 0.5}, {}, None),
        ({("tone", "qwen-audio.b"): 0.6, ("tone", "qwen-audio.c"): 0.4}, {}, "qwen-audio.c agrees to 0.40 on the tone"),
        ({("tone", "qwen-audio.b"): 0.6}, {"at_least": {"tone": 0.7}}, "0.70 is asked for"),
        ({("tone", "qwen-audio.b"): 0.1}, {"at_least": {"scene": 0.7}}, None),
        ({("tone", "qwen-audio.b"): None}, {}, None),
        ({("tone", "qwen-audio.b"): None}, {"not_measured": "drop"}, "agreement is not known: tone by qwen-audio.b"),
        ({}, {"not_measured": "drop"}, None),  # no witness was asked
    ],
)
def test_consensus(agreement: dict, rules: dict, dropped: str | None) -> None:
    found = only("consensus", **rules).judge([clip(agreement=agreement)])
    assert (dropped in found.drops["clip"]) if dropped else not found.drops


def test_consensus_does_not_judge_what_nobody_measured() -> None:
    found = only("consensus").judge([clip("a"), clip("b", agreement={("tone", "qwen-audio.b"): None})])
    assert found.unjudged == 2
