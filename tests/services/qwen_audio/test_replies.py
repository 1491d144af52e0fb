"""From a model's words to the one text of a recording."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow_qwen_audio.engines.audio_language.prompt_file import load_prompt
from merrflow_qwen_audio.engines.audio_language.replies import IN_LIST, Reply, merge_replies, named_options
from merrflow_serving.answers import Outcome

LIST, FREE, WORD = load_prompt("tone_list"), load_prompt("tone_free"), load_prompt("emotion_keyword")


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        ("joyful", ("joyful",)),
        ("The tone of the speaker is Angry.", ("angry",)),
        ("['sad', 'calm']", ("sad", "calm")),
        ("She speaks calmly, with some sadness; calm all over.", ("calm", "sad")),
        ("It is not angry, but sad.", ("sad",)),
        ("neither positive nor negative but calm", ("calm",)),
        ("The speaker doesn’t sound very angry.", ()),
        ("happy", ()),
        ("unfearful and joyfulness", ()),
        ("Options: [joyful, sad, shocked, fearful, angry, positive, negative, calm, doubtful, dismissive]", ()),
        ("", ()),
    ],
)
def test_which_of_the_list_an_answer_names(answer, options):
    assert named_options(answer, LIST) == options


def test_a_listed_tone_becomes_a_sentence_and_counts_as_listed():
    told = merge_replies([Reply("The tone of the speaker is angry, and", truncated=True)], LIST)
    assert told.text == "The speaker's tone is angry."
    assert told.outcome is Outcome.DONE, "what is used of the answer is whole"
    assert [(one.name, one.value, one.unit) for one in told.measurements] == [(IN_LIST, 1.0, "1")]


def test_what_is_not_in_the_list_is_kept_as_it_was_written_and_marked():
    told = merge_replies([Reply("She sounds happy.\nVery happy.")], LIST)
    assert told.text == "She sounds happy. Very happy."
    assert told.measurements[0].value == 0.0
    assert merge_replies([Reply("She sounds hap", truncated=True)], LIST).outcome is Outcome.TRUNCATED


def test_windows_of_listed_tones():
    told = merge_replies([Reply("calm"), Reply("It is calm."), Reply("angry and sad"), Reply("calm")], LIST)
    assert told.text == "The speaker's tone is calm at first, then angry and sad, then calm."
    assert merge_replies([Reply("calm"), Reply("Calm.")], LIST).text == "The speaker's tone is calm."


def test_windows_of_sentences():
    told = merge_replies([Reply("A soft voice."), Reply("A loud voice.", truncated=True)], FREE)
    assert told.text == "At first: A soft voice. Then: A loud voice."
    assert told.outcome is Outcome.TRUNCATED and told.measurements == ()
    mixed = merge_replies([Reply("sad"), Reply("She shouts happily.")], LIST)
    assert mixed.text == "At first: The speaker's tone is sad. Then: She shouts happily."
    assert mixed.measurements[0].value == 0.0


def test_a_task_tag_answers_with_a_word():
    assert merge_replies([Reply(" Joy")], WORD).text == "The emotion in the speaker's voice is joy."
    assert merge_replies([Reply("joy"), Reply("anger")], WORD).text == (
        "The emotion in the speaker's voice is joy at first, then anger."
    )
    assert merge_replies([Reply("No emotion here.")], WORD).text == "No emotion here."


def test_a_question_of_the_callers_own_is_answered_in_the_models_words():
    told = merge_replies([Reply("No, she is not angry, she is calm.")], LIST, own_question=True)
    assert told.text == "No, she is not angry, she is calm." and told.measurements == ()


@pytest.mark.parametrize("silence", [[], [Reply("")], [Reply(" \n")], [Reply("..."), Reply("\ufffd")]])
def test_no_words_are_a_refusal(silence):
    assert merge_replies(silence, LIST) == merge_replies([], LIST)
    assert merge_replies(silence, LIST).outcome is Outcome.REFUSED


@given(st.lists(st.text(max_size=30), max_size=4), st.sampled_from([LIST, FREE, WORD]))
def test_any_words_give_one_line_without_control_characters(answers, prompt):
    told = merge_replies([Reply(answer) for answer in answers], prompt)
    assert "\n" not in told.text and all(character >= " " for character in told.text)
    assert (told.outcome is Outcome.REFUSED) == (told.text == "")


def test_times_of_an_answer_stay_in_its_text_and_are_no_words_of_it():
    spoken = merge_replies([Reply("She shouts from <|1.20|> to <|2.33|> seconds.")], FREE)
    assert spoken.text == "She shouts from <|1.20|> to <|2.33|> seconds."
    assert named_options("not <|0.40|> angry <|1.00|> but <|1.00|> sad", LIST) == ("sad",)
    assert merge_replies([Reply("<|0.00|>joy<|1.00|>")], WORD).text == "The emotion in the speaker's voice is joy."
    assert merge_replies([Reply("<|0.00|> <|1.00|>")], FREE).outcome is Outcome.REFUSED
