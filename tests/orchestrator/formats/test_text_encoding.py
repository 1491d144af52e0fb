"""Encodings that no byte order mark names: the text, or a refusal with the candidates, and never another text."""

from __future__ import annotations

import codecs
import os
import random
import time
from contextlib import suppress
from itertools import product

import pytest

from merrflow.core.errors import InputError
from merrflow.formats.text_encoding import UnknownEncoding, check_encoding, decode, read_text

# What people say in the clips that data sets are made of; not taken from any corpus.
SAYINGS = {
    "zh": (
        "你怎么能这样对我？",
        "我太高兴了！",
        "妈妈说她明天就回来。",
        "这件事我从来没有告诉过别人。",
        "别哭了，没事的。",
    ),
    "zh-Hant": (
        "你怎麼可以這樣對我？",
        "我真的很高興！",
        "媽媽說她明天就回來。",
        "這件事我沒有告訴過別人。",
        "別哭了。",
    ),
    "ja": (
        "どうしてそんなことを言うの？",
        "今日は本当に楽しかった。",
        "誰にも言わないでください。",
        "泣かないで。",
        "嘘だろう！",
    ),
    "ko": (
        "어떻게 나한테 이럴 수 있어?",
        "오늘은 정말 행복했어요.",
        "아무에게도 말하지 마세요.",
        "울지 마.",
        "그럴 리가 없어!",
    ),
    "ru": (
        "Как ты мог так поступить?",
        "Я так рада, что ты пришёл!",
        "Никому об этом не говори.",
        "Не плачь, всё хорошо.",
        "Что?",
    ),
    "uk": (
        "Як ти міг так вчинити?",
        "Я така рада, що ти прийшов!",
        "Нікому про це не кажи.",
        "Не плач, усе гаразд.",
        "Що це?",
    ),
    "el": (
        "Πώς μπόρεσες να το κάνεις;",
        "Χαίρομαι τόσο πολύ!",
        "Μην το πεις σε κανέναν.",
        "Μην κλαις, όλα καλά.",
        "Τι είπες;",
    ),
    "he": ("איך יכולת לעשות את זה?", "אני כל כך שמחה שבאת!", "אל תספר לאף אחד.", "אל תבכה, הכול בסדר.", "מה אמרת?"),
    "ar": (
        "كيف استطعت أن تفعل ذلك؟",
        "أنا سعيدة جدا لأنك جئت!",
        "لا تخبر أحدا بهذا.",
        "لا تبك، كل شيء بخير.",
        "ماذا قلت؟",
    ),
    "th": ("ทำไมถึงทำแบบนี้", "ฉันดีใจมากที่คุณมา", "อย่าบอกใครเรื่องนี้", "อย่าร้องไห้ ทุกอย่างดี", "คุณพูดว่าอะไรนะ"),
    "fr": (
        "Comment as-tu pu me faire ça ?",
        "Je suis très heureuse que tu sois là !",
        "Ne le répète à personne.",
        "Ça va aller.",
        "Hélas, il était déjà trop tard.",
    ),
    "de": (
        "Wie konntest du mir das nur antun?",
        "Ich freue mich so, dass du für uns da bist!",
        "Erzähl es niemandem.",
        "Das ist ja schön.",
        "Wir müssen später darüber sprechen.",
    ),
    "es": (
        "¿Cómo has podido hacerme esto?",
        "¡Estoy muy feliz de que estés aquí!",
        "No se lo digas a nadie, por favor, mañana te llamo.",
        "¿Qué?",
        "No sé qué pasó.",
    ),
    "pl": (
        "Jak mogłeś mi to zrobić?",
        "Tak się cieszę, że przyszłaś!",
        "Nie mów o tym nikomu.",
        "Nie płacz, wszystko będzie dobrze.",
        "Już idę.",
    ),
    "cs": (
        "Jak jsi mi to mohl udělat?",
        "Jsem tak ráda, že jsi přišel!",
        "Nikomu to neříkej.",
        "Neplač, všechno bude dobré.",
        "Počkej přece.",
    ),
    "tr": (
        "Bunu bana nasıl yaparsın?",
        "Geldiğin için çok mutluyum!",
        "Bunu kimseye söyleme.",
        "Ağlama, her şey yolunda.",
        "Şimdi ne olacak?",
    ),
}
ENCODINGS = {
    "zh": ("gb18030",), "zh-Hant": ("big5", "gbk"), "ja": ("shift_jis", "euc_jp"),
    "ko": ("euc_kr",),
    "ru": ("cp1251", "koi8_r", "cp866", "iso8859_5"), "uk": ("cp1251", "koi8_u"), "el": ("cp1253", "iso8859_7"),
    "he": ("cp1255",), "ar": ("cp1256", "iso8859_6"), "th": ("cp874",),
    "fr": ("cp1252", "mac_roman"), "de": ("cp1252", "latin_1"),
    "es": ("cp1252",), "pl": ("cp1250", "iso8859_2"), "cs": ("cp1250",), "tr": ("cp1254",),
}  # fmt: skip
PAIRS = [(language, encoding) for language, encodings in ENCODINGS.items() for encoding in encodings]


def _table(language: str, count: int = 5, start: int = 0) -> str:
    rows = (f'clip_{index},"{SAYINGS[language][index % 5]}"' for index in range(start, start + count))
    return "\n".join(["name,sentence", *rows, ""])


@pytest.mark.parametrize(("language", "encoding"), PAIRS)
def test_a_few_sentences_say_which_encoding_it_is(language: str, encoding: str) -> None:
    text = _table(language)
    assert decode(text.encode(encoding)) == text
    cues = "".join(
        f"{n}\r\n00:00:0{n},000 --> 00:00:0{n},900\r\n{said}\r\n\r\n" for n, said in enumerate(SAYINGS[language])
    )
    assert decode(cues.encode(encoding)) == cues


@pytest.mark.parametrize(("language", "encoding"), PAIRS)
def test_a_single_sentence_is_read_or_refused(language: str, encoding: str) -> None:
    for start in range(5):
        text = _table(language, 1, start)
        try:
            assert decode(text.encode(encoding)) == text
        except UnknownEncoding as error:
            assert "save it as UTF-8, or name its encoding, perhaps " in str(error)


@pytest.mark.parametrize("language", SAYINGS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_encoding_is_read_with_and_without_its_mark(language: str, encoding: str) -> None:
    text = _table(language)
    assert decode(text.encode(encoding)) == text
    if encoding.endswith(("-le", "-be")):
        mark = codecs.BOM_UTF16_LE if encoding.endswith("le") else codecs.BOM_UTF16_BE
        assert decode(mark + text.encode(encoding)) == text


def test_japanese_mail_and_teletext_switch_by_escapes() -> None:
    assert decode(_table("ja").encode("iso2022_jp")) == _table("ja")


def test_bytes_that_are_no_text_are_refused() -> None:
    noise, values = random.Random(5), [*range(1, 27), *range(28, 256)]
    for size, times in ((40, 20), (400, 20), (40_000, 3)):
        for _ in range(times):
            data = bytes(noise.choices(values, k=size)) + b"\xff"
            with pytest.raises(UnknownEncoding):
                decode(data)


def test_one_bad_byte_in_utf8_is_named_by_line() -> None:
    data = _table("ru").encode()
    at = data.index("Никому".encode())
    with pytest.raises(UnknownEncoding, match="line 4.*not UTF-8, as the rest is; the file is damaged"):
        decode(data[: at + 1] + data[at + 2 :])


def test_a_named_encoding_is_taken_and_must_fit() -> None:
    short = "name,sentence\na,Ναι\n"
    with pytest.raises(UnknownEncoding, match="cp1253"):
        decode(short.encode("cp1253"))
    assert decode(short.encode("cp1253"), "windows-1253") == short
    assert decode("\ufeffа".encode(), "cp1252") == decode("а".encode(), "cp1252") == "а", "Unicode needs no name"
    with pytest.raises(UnknownEncoding, match=r"line 3 \(byte 20, 0xFF\): not text in shift_jis"):
        decode(short.encode("cp1253") + b"\xff", "shift_jis")
    with pytest.raises(UnknownEncoding, match=r"name its encoding \(--this\), perhaps "):
        decode(short.encode("cp1253"), option="--this")
    for wrong in ("utf8x", "base64", "rot13", "", "\0", "a" * 500):
        with pytest.raises(InputError, match="is not an encoding; known are utf-8, utf-16, cp1252"):
            check_encoding(wrong)


@pytest.mark.parametrize("line", ["é", "é\n", "\x81\x40", "Ð¸ ", "<é", "’é’", "\u0e48", "ÀÁ", "a", "a" * 5000 + "é"])
def test_a_large_file_is_decoded_in_a_moment(line: str) -> None:
    for piece in {line.encode(one, errors="ignore") or b"\xe9" for one in ("cp1252", "cp874", "gb18030")}:
        began = time.process_time()
        with suppress(UnknownEncoding):
            decode(piece * ((1 << 20) // len(piece)) + b"\xe9\xe9")
        assert time.process_time() - began < 2.0


def test_zero_bytes_in_a_damaged_file_do_not_make_it_utf16() -> None:
    text = "name,sentence\nclip_1,Hello there\0\nclip_2,ok\n"
    assert decode(text.encode()) == text
    assert decode(text.encode() + b"x") == text + "x"


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="none.csv: no such file"):
        read_text(tmp_path / "none.csv")
    with pytest.raises(InputError, match="not a file"):
        read_text(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a file"):
        read_text(tmp_path / "pipe")
    large = tmp_path / "large.csv"
    large.write_bytes(b"a" * 100)
    assert read_text(large, limit=100) == "a" * 100
    with pytest.raises(InputError, match=r"large.csv: larger than 99 bytes"):
        read_text(large, limit=99)
    large.write_bytes("name,sentence\na,Ναι\n".encode("cp1253"))
    with pytest.raises(InputError, match=r"large.csv: not UTF-8, and too little text"):
        read_text(large)


def test_any_table_of_two_languages_is_read_or_refused() -> None:
    for (one, other), encoding in product([("zh", "ja"), ("ru", "uk"), ("fr", "es")], ("gb18030", "cp1251", "cp1252")):
        text = _table(one) + _table(other)
        try:
            data = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        try:
            assert decode(data) == text
        except UnknownEncoding as error:  # such as Russian in GB 18030
            assert "save it as UTF-8" in str(error)


def test_chinese_between_ascii_escapes_is_no_ascii() -> None:
    text = "name,sentence\na,你今天怎么这么晚才回来\nb,你好 ~ ok\n"
    assert decode(text.encode("hz")) == text
    plain = "name,sentence\na,~{ yes ~} and ~{x~}\n"
    assert decode(plain.encode()) == plain


def test_the_end_mark_of_dos_is_no_row(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"name,sentence\r\na,Hi\r\n\x1a")
    assert read_text(path) == "name,sentence\r\na,Hi\r\n"


@pytest.mark.parametrize(
    "text", ["你好，我很高兴", "Привет, как дела?", "Ça va très bien, l'été à la mer", "안녕하세요"]
)
def test_utf_7_is_refused_with_the_choices_and_read_if_named(text):
    data = f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n".encode("utf-7")
    assert data.isascii()
    with pytest.raises(
        UnknownEncoding, match=r"may be in UTF-7; .* name its encoding \(--x\): utf-7 \('.*'\) or ascii"
    ):
        decode(data, option="--x")
    assert text in decode(data, "utf-7") and decode(data, "ascii") == data.decode()


@pytest.mark.parametrize(
    "text", ["1+1-2", "a+abc-b.mp4", "+49123-456", "C++-", "x+AOk-", "you + me - us", "ab+cdefgh-+ijkl-"]
)
def test_signs_in_ascii_are_no_utf_7(text):
    assert decode(text.encode()) == text
