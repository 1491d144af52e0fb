"""Measures of texts as texts."""

from __future__ import annotations

import pytest

from merrflow.datasets.scoring.texts import Corpus, error_rates, readability


def test_short_words_in_short_sentences_read_more_easily():
    easy = readability("The cat sat on the mat. It was a nice day.").value
    hard = readability(
        "Considerable physiological agitation accompanies unanticipated interpersonal confrontation."
    ).value
    assert easy is not None and hard is not None
    assert easy > 100 > 0 > hard


def test_readability_by_hand():
    # 6 words, 1 sentence, 6 syllables
    assert readability("The cat sat on the mat.").value == pytest.approx(206.835 - 1.015 * 6 - 84.6)


@pytest.mark.parametrize("text", ["", "我们赢了", "123 !"])
def test_what_has_no_english_word_has_no_readability(text):
    assert readability(text).value is None
    assert readability(text).reason


def test_a_text_is_compared_with_the_others_alone():
    corpus = Corpus()
    texts = ["one two three four five", "one two three four six", "seven eight nine ten", "seven eight nine ten"]
    for text in texts:
        corpus.add(text)
    assert corpus.measures(texts[0])["distinctness"].value == 0.5
    assert corpus.measures(texts[0])["same_text"].value == 0
    assert corpus.measures(texts[2])["distinctness"].value == 0
    assert corpus.measures(texts[2])["same_text"].value == 1


def test_the_only_text_and_a_short_one_have_no_distinctness():
    corpus = Corpus()
    corpus.add("one two three four five")
    assert corpus.measures("one two three four five")["distinctness"].value is None
    corpus.add("too short")
    assert corpus.measures("too short")["distinctness"].reason == "the text has fewer than 4 words"


def test_a_corpus_is_the_same_in_any_order():
    one, other, more = Corpus(), Corpus(), Corpus()
    for text in ("a", "b", "c"):
        one.add(text)
        more.add(text)
    for text in ("c", "a", "b"):
        other.add(text)
    more.add("a")
    assert one.digest == other.digest != more.digest


@pytest.mark.parametrize(
    ("said", "heard", "words"),
    [
        ("We won the game!", "we won the game", 0.0),
        ("We won the game", "we lost the game", 0.25),
        ("don't go", "dont go", 0.0),
        ("go", "no no no", 3.0),
        ("We won", "", 1.0),
    ],
)
def test_word_error_rate(said, heard, words):
    assert error_rates(said, heard)["words_wer"].value == words


def test_no_word_is_no_error_rate():
    assert error_rates("?!", "hello")["words_cer"].value is None


def test_where_words_are_not_apart_letters_alone_are_compared():
    found = error_rates("今天很好", "今天不好", "zh")
    assert (found["words_wer"].value, found["words_cer"].value) == (None, 0.25)
    assert found["words_wer"].reason == "words are not apart in zh"
