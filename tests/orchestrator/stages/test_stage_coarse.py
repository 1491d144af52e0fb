"""The coarse-grained text."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.core.labels import Label
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Scene, Tone
from merrflow.stages.coarse import caption, compose
from merrflow.stages.coarse_template import load_template
from tests.paths import SHARED

PUBLISHED = SHARED / "merr" / "merr_fine_grained.half.json"


def test_the_published_template() -> None:
    text = compose("a man in a dark coat", ["Eyes widened", "Wide-mouthed"], "negative", "Do you really think so?")
    assert text == (
        "This person in the video is a man in a dark coat. The person's expression and actions include "
        "eyes widened and wide-mouthed, and the person's tone is negative. Saying: Do you really think so?"
    )


@pytest.mark.parametrize(
    ("clue", "expected"),
    [
        ("sitting at a desk.", "This person in the video is sitting at a desk."),
        ("Standing in a hall", "This person in the video is standing in a hall."),
        ("in a car", "This person in the video is in a car."),
        ("A woman who is on the phone.", "This person in the video is a woman who is on the phone."),
        ("A woman sits at a desk", "A woman sits at a desk."),
        ("The picture shows two people, one at the left.", "The picture shows two people, one at the left."),
        ("the image shows a man..", "The image shows a man."),
        ("two people at a table", "The video shows two people at a table."),
        ("A close-up of a woman's face", "The video shows a close-up of a woman's face."),
        ("Anna by the window", "The video shows Anna by the window."),
        ("A man stands. He looks down", "A man stands. He looks down."),
        ("- a man\n- a lamp\n- a desk.", "The video shows a man, a lamp, and a desk."),
        ("1. a man\n2) a lamp", "The video shows a man and a lamp."),
        ("a man\n  in a\tcoat ,", "This person in the video is a man in a coat."),
        ('"A woman sits."', "A woman sits."),
        ('A sign says "Stop!"', 'A sign says "Stop!"'),
        ("一个男人坐在车里。", "一个男人坐在车里。"),
        ("a man near a {wall}", "This person in the video is a man near a {wall}."),
        # as language models write
        ("**Scene:** A man stands in a **dimly lit** room.", "A man stands in a dimly lit room."),
        ("Sure! Here is a brief description: A man eats an apple", "A man eats an apple."),
        ("# Description\n\na `man` at a [table](http://x.y)", "This person in the video is a man at a table."),
        ("<p>A man in a car</p>", "This person in the video is a man in a car."),
        ("There is a man in a car", "There is a man in a car."),
        ("It appears that a man is in a car..", "It appears that a man is in a car."),
        ("The image shows:\n- A man\n- a lamp", "The image shows A man and a lamp."),
        ("- A man sits.\n- He looks down.", "A man sits. He looks down."),
        ("- A man\n- A lamp\n- A desk", "The video shows a man, a lamp, and a desk."),
        (
            "A woman\n\nShe holds a cup\n\nBehind her is a window",
            "This person in the video is a woman. She holds a cup. Behind her is a window.",
        ),
        ("A man in a suit. he looks sad", "This person in the video is a man in a suit. He looks sad."),
        ("man wearing a hat", "This person in the video is a man wearing a hat."),
        ("Elderly woman by a tree", "This person in the video is an elderly woman by a tree."),
        ("A man whose face is covered", "This person in the video is a man whose face is covered."),
        ("a man in a car while it is raining", "This person in the video is a man in a car while it is raining."),
        ("Mr. Smith at the door", "The video shows Mr. Smith at the door."),
        ("a man in the U.S. Army uniform", "This person in the video is a man in the U.S. Army uniform."),
        ('A man shouts "Stop!" at a dog', 'A man shouts "Stop!" at a dog.'),
        ("A man waits... then leaves", "A man waits... then leaves."),
        ("一个男人坐在车里", "一个男人坐在车里。"),
        ("Note the time: 5 o'clock is shown", "Note the time: 5 o'clock is shown."),
        ("a 3 < 4 sign, 2 * 3 * 4", "The video shows a 3 < 4 sign, 2 * 3 * 4."),
        ("Scene:", "The video shows Scene."),
        ("...", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_scenes(clue, expected) -> None:
    assert compose(clue, None, None, None) == expected


SHOWN = "The person's expression and actions include lowered brows"


@pytest.mark.parametrize(
    ("clue", "expected"),
    [
        ("Calm and low.", f"{SHOWN}, and the person's tone is calm and low."),
        ("and her tone sounds negative.", f"{SHOWN}, and her tone sounds negative."),
        ("speaks in a neutral tone.", f"{SHOWN}, and the person speaks in a neutral tone."),
        ("with a trembling voice", f"{SHOWN}, and the person speaks with a trembling voice."),
        ("her voice trembles", f"{SHOWN}. Her voice trembles."),
        (
            "The voice is high and fast, with long pauses.",
            f"{SHOWN}. The voice is high and fast, with long pauses.",
        ),
        ("no speech, only music", f"{SHOWN}. There is no speech, only music."),
        ("Nobody speaks; only music is heard", f"{SHOWN}. Nobody speaks; only music is heard."),
        ("DJ-like", f"{SHOWN}, and the person's tone is DJ-like."),
        ("does not speak with any emotion", f"{SHOWN}, and the person does not speak with any emotion."),
        ("speaks in a excited tone.", f"{SHOWN}, and the person speaks in an excited tone."),
        ("low, calm voice", f"{SHOWN}, and the person speaks in a low, calm voice."),
        ("a loud tone", f"{SHOWN}, and the person speaks in a loud tone."),
        ("angrily", f"{SHOWN}, and the person speaks angrily."),
        ("friendly", f"{SHOWN}, and the person's tone is friendly."),
        ("crying", f"{SHOWN}, and the person is crying."),
        ("speaks quickly. he is angry", f"{SHOWN}, and the person speaks quickly. He is angry."),
        ("**Tone:** nervous", f"{SHOWN}, and the person's tone is nervous."),
        ("loud music", f"{SHOWN}. There is loud music."),
        ("语气平静", f"{SHOWN}. 语气平静。"),
        (" ", f"{SHOWN}."),
        (None, f"{SHOWN}."),
    ],
)
def test_tones(clue, expected) -> None:
    assert compose(None, ["lowered brows"], clue, None) == expected


def test_a_tone_without_expressions() -> None:
    assert compose(None, None, "negative.", None) == "The person's tone is negative."
    assert compose(None, None, "and her tone sounds sad.", None) == "And her tone sounds sad."


@pytest.mark.parametrize(
    ("phrases", "expected"),
    [
        (["a", "b", "c"], "The person's expression and actions include a, b, and c."),
        (["Big smile.", "big smile"], "The person's expression and actions include big smile."),
        (
            ["smile, Pleasure", "Grinning"],
            "The person's expression and actions include smile, pleasure; and grinning.",
        ),
        (
            ["Brow Lowerer", "Slightly puzzled"],
            "The person's expression and actions include brow lowerer and slightly puzzled.",
        ),
        (["", "..."], "The person's face shows no marked expression."),
        ([], "The person's face shows no marked expression."),
    ],
)
def test_expressions(phrases, expected) -> None:
    assert compose(None, phrases, None, None) == expected


@pytest.mark.parametrize("subtitle", ["您真的这么认为?", "No way...", "¿Qué?", "“Really?” he said"])
def test_subtitles_stay_as_they_are(subtitle) -> None:
    assert compose(None, None, None, subtitle) == f"Saying: {subtitle}"


@pytest.mark.parametrize("tone", [" ,é", ";:é", ", é"])
def test_what_comes_before_the_first_word_of_a_clue_goes(tone) -> None:
    assert compose("a", None, tone, None) == compose("a", None, "é", None)


def test_records_without_a_clue() -> None:
    label = Label("sad", "rules", ("AU04",), ("lowered brows",), "default 2", "")
    silent = Tone("silence", "silence", {}, ())
    assert caption(label, None, silent, Subtitle(None, "none", "", "no text")) == f"{SHOWN}. There is silence."
    assert caption(label, Scene("", {}, ()), None, None) == f"{SHOWN}."


WORDS = st.text(st.sampled_from("abcdeinostuvABI ,'é中人"), min_size=1, max_size=20).filter(
    lambda text: any(character.isalnum() for character in text)
)
STARTS = st.sampled_from(["", "The picture shows ", "The voice is ", "a man ", "speaks ", "and ", "in ", "I "])
ENDS = st.sampled_from(["", ".", "..", "...", "!", "?", "。", " .", ".,", ";", "\n", ". "])
CLUES = st.none() | st.sampled_from(["", " ", "...", "\n"]) | st.builds(lambda a, b, c: a + b + c, STARTS, WORDS, ENDS)


def bare(text: str) -> str:
    """What must survive of a clue: its characters but for case, spaces and what ends it."""
    return re.sub(r"\s+", " ", text).strip().strip(".!?。,; ").casefold()


@given(
    CLUES,
    st.none() | st.lists(CLUES.filter(lambda clue: clue is not None), max_size=4),
    CLUES,
    CLUES,
    st.booleans(),
)
def test_whatever_the_clues(scene, expressions, tone, subtitle, voiced) -> None:
    text = compose(scene, expressions, tone, subtitle, voiced)
    told = text.split("Saying: ")[0]
    assert not re.search(r"[.!?。…]\s*[.。,;]", told)
    assert '""' not in text and "{" not in text and "None" not in text
    assert text == text.strip()
    assert not re.search(r"tone is (the (voice|picture)|speaks|and |\.)", told, re.IGNORECASE)
    assert not re.search(r"video is (the picture|\.)|include \.", told, re.IGNORECASE)
    assert not told or told.strip()[0] == told.strip()[0].upper()
    assert not told.strip() or told.strip()[-1] in ".!?。"
    folded = text.casefold()
    for clue in (scene, tone, *(expressions or [])):
        if clue and any(character.isalnum() for character in clue):
            assert bare(clue).removeprefix("and ") in folded
    if subtitle and subtitle.strip():
        assert text.endswith("Saying: " + " ".join(subtitle.split()))
    else:
        assert "Saying" not in text


@given(CLUES, CLUES, CLUES)
def test_the_same_clues_give_the_same_text(scene, tone, subtitle) -> None:
    assert compose(scene, ["x"], tone, subtitle) == compose(scene, ["x"], tone, subtitle)


def test_the_template_file_holds_every_slot_once() -> None:
    template = load_template()
    patterns = [template.scene.person, template.scene.thing, template.expressions.some, template.subtitle]
    patterns += [template.tone.manner, template.tone.phrase, template.tone.action, template.tone.sound]
    assert all(pattern.count("{clue}") == 1 for pattern in patterns)


SUBJECTS = st.sampled_from(["a man", "A young woman", "the man", "two people", "man", "The image shows a girl", "Anna"])
PREDICATES = st.sampled_from(
    ["", " in a car", " sits at a desk", " is smiling", " who is crying", ", holding a cup", " wearing a red hat",
     " eats an apple", " whose eyes are closed", " while it is dark", " near Mr. Jones"]
)  # fmt: skip
STOPS = st.sampled_from(["", ".", "..", "...", "!", " .", ";"])
WRAPS = st.sampled_from(["{}", "**{}**", '"{}"', "- {}", "# {}", "Sure! Here is the scene: {}", "{}\n", "`{}`", "> {}"])
PARTS = st.builds(lambda a, b, c: a + b + c, SUBJECTS, PREDICATES, STOPS)
WRITTEN = st.builds(
    lambda parts, glue, wrap: wrap.format(glue.join(parts)),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from([" ", "\n\n", "\n- ", "\n2. "]),
    WRAPS,
)
FRAMES = {"sure", "here", "is", "the", "scene", "this", "person", "in", "video", "shows", "a", "an", "and"}


@settings(max_examples=400)
@given(WRITTEN)
def test_what_models_write_reads_well(clue) -> None:
    text = compose(clue, None, None, None)
    assert not re.search(r"\*\*|`|^[#>-] |\.\.(?!\.)(?<!\.\.\.)$|[,;]\.", text), text
    assert not re.search(r"(image|video) (shows|is) (the )?(image|video|this person)", text, re.IGNORECASE), text
    words = {word.casefold() for word in re.findall(r"[^\W\d_]+", clue)} - FRAMES
    assert words <= {word.casefold() for word in re.findall(r"[^\W\d_]+", text)}, text
    assert text[0].isupper() and text[-1] in '.!"', text
    starts = re.findall(r"(?<![.r])[.!] (\w)", text)  # not after dots that go on, nor "Mr."
    assert all(start.isupper() for start in starts), text
    assert text.count("This person in the video is") + text.count("The video shows") <= 1


@settings(max_examples=300)
@given(st.text(max_size=60), st.lists(st.text(max_size=12), max_size=3), st.text(max_size=60), st.booleans())
def test_no_text_is_too_strange(scene, expressions, tone, voiced) -> None:
    text = compose(scene, expressions, tone, None, voiced)
    assert "\n" not in text and "  " not in text
    assert compose(scene, expressions, tone, None, voiced) == text


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the research annotations are not beside the repository")
def test_published_captions_are_told_as_the_sentences_that_they_are() -> None:
    captions = [record["smp_reason_caption"] for record in json.loads(PUBLISHED.read_text("utf-8")).values()]
    told = [compose(text, None, None, None) for text in captions]
    wrapped = [text for text in told if text.startswith(("This person in the video is", "The video shows"))]
    assert len(wrapped) <= 2
