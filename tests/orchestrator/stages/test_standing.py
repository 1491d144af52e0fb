"""What the witnesses say of a label, and what their votes add up to."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from merrflow.core.datafile import DataFileError
from merrflow.core.labels import Label, Verdict, Vote
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Tone
from merrflow.stages.standing import WITNESSES, decide, stand
from merrflow.stages.witnesses.case import ABSTAINS, AGAINST, FOR, Case
from merrflow.stages.witnesses.rules import PACKAGED, Witnesses, load_witnesses

RULES = load_witnesses()
ORDER = [Verdict.CONTRADICTED, Verdict.UNDETERMINED, Verdict.CONFIRMED]
SILENT = Subtitle(None, "none", "", "no subtitle")


def label(name: str = "happy", supported: bool | None = None, **more: object) -> Label:
    values: dict[str, object] = {"source": "rules", "ruled": name, "supported": supported}
    fixed = {"label": name, "action_units": ("AU06", "AU12"), "expressions": ("a", "b"), "rules": "default 1"}
    return Label(**(fixed | {"reason": ""} | values | more))  # type: ignore[arg-type]


def said(text: str, language: str = "en", confidence: float | None = None) -> Subtitle:
    return Subtitle(text, "table", language, "", confidence)


def voice(arousal: int) -> Tone:
    """A voice with this arousal: a cue of pitch, and others of loudness, pace and spectral balance."""
    low, high = arousal < 0, arousal > 0
    values = {
        "pitch_range": 12.0 if high else 3.0 if low else 7.0,
        "loudness": -12.0 if arousal > 1 else -34.0 if arousal < -1 else -23.0,
        "articulation_rate": 6.0 if arousal > 2 else 2.0 if arousal < -2 else 4.0,
        "pitch_median": 180.0,
        "utterance_seconds": 3.0,
        "speech_seconds": 3.0,
        "signal_to_noise": 30.0,
        "voiced_share": 0.7,
        "syllables": 12.0,
        "harmonics_to_noise": 15.0,
        "music": 0.0,
    }
    return Tone("A voice.", "speech", {name: (value, "") for name, value in values.items()}, ((0.0, 3.0),))


def votes(case: Case) -> dict[str, str]:
    return {vote.witness: vote.vote for vote in stand(case).votes}


@pytest.mark.parametrize("name", RULES.valence)
def test_nothing_to_go_by_is_undetermined(name: str) -> None:
    found = stand(Case(label(name), SILENT))
    assert found.verdict is Verdict.UNDETERMINED
    assert {vote.vote for vote in found.votes} == {ABSTAINS}
    assert all(vote.reason and not vote.weight for vote in found.votes)


def test_neutral_without_units_is_not_borne_out_by_their_absence() -> None:
    found = stand(Case(label("neutral", True, action_units=()), said("I will come at four")))
    assert found.verdict is Verdict.UNDETERMINED


def test_neutral_is_confirmed_by_the_network_alone_and_not_with_strong_words() -> None:
    case = Case(label("neutral", True), SILENT, expression={"neutral": 0.85, "happy": 0.1})
    assert stand(case).verdict is Verdict.CONFIRMED
    assert stand(replace(case, expression={"neutral": 0.79})).verdict is Verdict.UNDETERMINED
    assert stand(replace(case, said=said("I hate you, get out!"))).verdict is Verdict.UNDETERMINED


def test_a_grimace_that_the_rules_take_for_a_smile_is_not_happy() -> None:
    case = Case(label("happy", True), SILENT, expression={"happy": 0.02, "angry": 0.4})
    assert stand(case).verdict is Verdict.CONTRADICTED


def test_a_given_label_against_face_and_words_is_contradicted() -> None:
    case = Case(label("happy", False, source="table", ruled="angry"), said("Shut up, I hate this"))
    assert stand(case).verdict is Verdict.CONTRADICTED
    assert votes(case)["given"] == FOR


def test_a_label_with_strong_words_against_it_is_not_confirmed_by_however_many() -> None:
    case = Case(label("happy", True, source="table", scores={"happy": 3.0}), said("I hate you"))
    case = replace(case, expression={"happy": 0.9})
    assert stand(case).verdict is Verdict.UNDETERMINED
    assert stand(replace(case, said=said("I love it"))).verdict is Verdict.CONFIRMED


def test_one_kind_of_evidence_does_not_confirm_however_much_it_weighs() -> None:
    """A smile is seen by the Action Units and by the network, and a mask deceives both; a table's label is what is
    judged."""
    case = Case(label("happy", True, source="table", scores={"happy": 3.0}), SILENT, expression={"happy": 0.9})
    found = stand(case)
    assert sum(vote.weight for vote in found.votes if vote.vote == FOR) > 2
    assert found.verdict is Verdict.UNDETERMINED
    assert stand(replace(case, said=said("This is wonderful!"))).verdict is Verdict.CONFIRMED


@pytest.mark.parametrize(("share", "verdict"), [(0.94, Verdict.UNDETERMINED), (0.95, Verdict.CONFIRMED)])
def test_a_strong_vote_confirms_without_another_kind(share: float, verdict: Verdict) -> None:
    assert stand(Case(label("happy", True), SILENT, expression={"happy": share})).verdict is verdict


def test_a_smile_all_along_does_not_confirm_against_words() -> None:
    case = Case(label("happy", True), said("I hate you, get out!"), expression={"happy": 0.99})
    assert stand(case).verdict is Verdict.UNDETERMINED


def edited(folder: Path, old: str, new: str) -> Path:
    """A copy of the packaged file with one change."""
    text = PACKAGED.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file = folder / "mine.yaml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    return file


def test_a_file_of_ones_own_decides_and_its_content_is_in_the_record(tmp_path: Path) -> None:
    own = load_witnesses(edited(tmp_path, "confirm: 1.0", "confirm: 2.0"))
    case = Case(label("happy", True), said("wonderful"))
    assert (stand(case).verdict, stand(case, own).verdict) == (Verdict.CONFIRMED, Verdict.UNDETERMINED)
    assert stand(case, own).rules != stand(case).rules
    assert stand(case).rules.startswith("witnesses 2 (")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("confirm: 1.0", "confirm: lots", "confirm: Input should be a valid number (value 'lots')"),
        ("confirm: 1.0", "confirms: 1.0", "confirms: unknown key"),
        ("given: {weight: 0.6}", "given: {weight: .nan}", "given weight: "),
        ("happy: positive", "glad: positive", "label 'happy' is not in the set of `valence`"),
        ("{neutral: 1.0, happy: 0.8}", "{neutral: 1.0}", "must have the classes of `confirms`: neutral, happy"),
        ("sure: {happy: 0.95}", "sure: {sad: 0.95}", "may have the classes of `confirms` only: neutral, happy"),
        ("scores: model}", "scores: model, stars: sky}", "evidence stars"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = edited(tmp_path, old, new)
    with pytest.raises(DataFileError) as error:
        load_witnesses(file)
    first = str(error.value).splitlines()[0]
    assert first.startswith(f"{file}, line ") and said in str(error.value)


@pytest.mark.parametrize(("given", "said"), [("none", "there are no witnesses 'none'"), ("no.yaml", "cannot be read")])
def test_a_file_that_is_not_there(tmp_path: Path, given: str, said: str) -> None:
    with pytest.raises(DataFileError, match=said):
        load_witnesses(given if given == "none" else tmp_path / given)


@pytest.mark.parametrize(
    ("name", "text", "language", "vote"),
    [
        ("happy", "This is wonderful!", "en", FOR),
        ("happy", "This is not wonderful.", "en", ABSTAINS),
        ("happy", "I don't love this", "en", ABSTAINS),
        ("happy", "No. Wonderful, as always", "en", FOR),  # the denial is of another clause
        ("angry", "This is wonderful!", "en", AGAINST),
        ("angry", "How dare you", "en", FOR),
        ("neutral", "How dare you", "en", AGAINST),
        ("surprise", "How dare you", "en", ABSTAINS),
        ("surprise", "Oh! What are you doing here?", "en", FOR),
        ("surprise", "What are you doing here?", "en", ABSTAINS),  # as a threat, too
        ("surprise", "Oh, how dare you!", "en", FOR),
        ("angry", "Oh, how dare you!", "en", FOR),
        ("neutral", "Oh, at four then", "en", ABSTAINS),
        ("sad", "I'm sorry, it was wonderful", "en", ABSTAINS),  # both ways
        ("sad", "We study the dead sea scrolls; deadline at four", "en", FOR),
        ("happy", "The deadline and the killjoy", "en", AGAINST),  # a stem takes what begins with it
        ("sad", "对不起，我错了", "zh", FOR),
        ("happy", "太好了！", "zh", FOR),
        ("sad", "我不难过", "zh", ABSTAINS),
        ("happy", "Das ist wunderbar", "de", ABSTAINS),
        ("happy", "wonderful", "", ABSTAINS),
    ],
)
def test_words(name: str, text: str, language: str, vote: str) -> None:
    assert votes(Case(label(name), said(text, language)))["words"] == vote


def test_words_that_a_recogniser_is_not_sure_of_do_not_count() -> None:
    assert votes(Case(label(), said("wonderful", confidence=0.4)))["words"] == ABSTAINS


@pytest.mark.parametrize(
    ("name", "arousal", "vote"),
    [
        ("neutral", 3, AGAINST),
        ("sad", 3, AGAINST),
        ("angry", -3, AGAINST),
        ("angry", 3, ABSTAINS),
        ("sad", 0, ABSTAINS),
    ],
)
def test_voice_only_contradicts(name: str, arousal: int, vote: str) -> None:
    assert votes(Case(label(name), SILENT, voice(arousal)))["voice"] == vote


@pytest.mark.parametrize(
    ("shares", "vote"),
    [
        ({"happy": 0.5, "sad": 0.1, "neutral": 0.4}, FOR),
        ({"happy": 0.05, "sad": 0.8, "neutral": 0.15}, AGAINST),
        ({"happy": 0.05, "surprise": 0.8, "neutral": 0.15}, ABSTAINS),  # no opposite
        ({"happy": 0.34, "sad": 0.33, "neutral": 0.33}, ABSTAINS),
        ({}, ABSTAINS),
    ],
)
def test_scores_by_ratio_to_an_equal_share(shares: dict[str, float], vote: str) -> None:
    found = {one.witness: one for one in stand(Case(label(), SILENT, scores=shares, scorer="a model")).votes}["scores"]
    assert found.vote == (ABSTAINS if vote == FOR and max(shares.values()) * len(shares) < 2 else vote)


def test_a_weak_model_weighs_less() -> None:
    shares = {"happy": 0.91, **{name: 0.01 for name in list(RULES.valence)[2:]}}
    weak, other = (
        stand(Case(label(), SILENT, scores=shares, scorer=model)).votes[4].weight
        for model in ("SmolLM2-135M-Instruct", "llama-3-8b")
    )
    assert weak < other


def test_a_witness_that_fails_abstains_and_the_others_are_heard() -> None:
    def broken(case: Case, rules: object) -> Vote:
        raise ValueError("no such frame")

    case = Case(label("happy", True), said("wonderful"))
    found = stand(case, witnesses={**WITNESSES, "voice": broken})
    assert found.verdict is Verdict.CONFIRMED
    assert found.votes[3] == Vote("voice", ABSTAINS, "", 0.0, "could not judge: no such frame")


def _random_votes(draw: random.Random) -> list[Vote]:
    kinds = (FOR, AGAINST, ABSTAINS)
    drawn = [(name, draw.choice(kinds), draw.choice((0.1, 0.3, 0.5, 0.6, 1.0))) for name in WITNESSES]
    return [Vote(name, kind, "", 0.0 if kind == ABSTAINS else weight, "") for name, kind, weight in drawn]


def test_order_does_not_matter_and_more_for_never_lowers() -> None:
    draw = random.Random(7)
    for _ in range(2000):
        found = _random_votes(draw)
        before = decide(found, "happy", RULES)
        mixed = decide(draw.sample(found, len(found)), "happy", RULES)
        assert (mixed.verdict, mixed.reason) == (before.verdict, before.reason)
        place = draw.randrange(len(found))
        risen = replace(found[place], vote=FOR, weight=max(0.1, found[place].weight if found[place].vote == FOR else 0))
        after = decide([*found[:place], risen, *found[place + 1 :]], "happy", RULES)
        assert ORDER.index(after.verdict) >= ORDER.index(before.verdict)
        more = decide([*found, Vote("another", FOR, "", 0.2, "")], "happy", RULES)
        assert ORDER.index(more.verdict) >= ORDER.index(before.verdict)


def test_the_network_says_what_share_a_vote_takes() -> None:
    found = stand(Case(label("neutral"), SILENT, expression={"neutral": 0.0}))
    (vote,) = (one for one in found.votes if one.witness == "expression")
    assert (vote.vote, vote.reason) == (ABSTAINS, "neutral at a mean share of 0.00 is no vote; it takes 0.80")


def test_a_file_for_other_labels_leaves_a_label_undetermined() -> None:
    rules = replace_labels(RULES, {"happy": "joyful", "neutral": "calm"})
    for name, shares in (("happy", {"happy": 1.0}), ("neutral", {"neutral": 0.97})):
        found = stand(Case(label(name), said("Hooray!"), expression=shares), rules)
        assert found.verdict is Verdict.UNDETERMINED
        reason = f"{rules.title} says nothing of {name}"
        assert {(vote.vote, vote.reason) for vote in found.votes} == {(ABSTAINS, reason)}


def replace_labels(rules: Witnesses, names: dict[str, str]) -> Witnesses:
    valence = {names.get(name, name): valence for name, valence in rules.valence.items()}
    classes = {names.get(name, name): kind for name, kind in rules.expression.classes.items()}
    expression = rules.expression.model_copy(update={"classes": classes})
    return rules.model_copy(update={"neutral": "calm", "valence": valence, "expression": expression})
