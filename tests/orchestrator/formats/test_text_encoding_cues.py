"""Files in old encodings: their text, or a refusal that names the encodings; never another text."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.formats.text_encoding import UnknownEncoding, decode

# Two cues each, and the encodings that such files are in.
TEXTS = {
    "我不知道该怎么办。\n你为什么不告诉我？": ["gbk", "gb18030", "gb2312"],
    "我不知道該怎麼辦。\n你為什麼不告訴我？": ["big5", "big5hkscs"],
    "もう帰ってもいいですか\n田中さんは来ません": ["shift_jis", "cp932", "euc_jp", "iso2022_jp"],
    "왜 나한테 말 안 했어?\n오늘 날씨가 정말 좋네요": ["euc_kr", "cp949"],
    "Почему ты мне не сказал?\nОн вчера не вернулся домой.": ["cp1251", "koi8_r", "iso8859_5", "cp866"],
    "Чому ти мені не сказав?\nВін учора не повернувся додому.": ["cp1251", "koi8_u"],
    "Γιατί δεν μου το είπες;\nΔεν γύρισε σπίτι χθες το βράδυ.": ["cp1253", "iso8859_7"],
    "ทำไมไม่บอกฉัน\nเมื่อคืนเขาไม่กลับบ้าน": ["cp874", "tis_620"],
    "למה לא סיפרת לי?\nהוא לא חזר הביתה אתמול בלילה.": ["cp1255", "iso8859_8"],
    "لماذا لم تخبرني؟\nلم يعد إلى المنزل الليلة الماضية.": ["cp1256", "iso8859_6"],
    "Je ne sais pas quoi faire à présent.\nIl était déjà là, ça m'inquiète.": ["cp1252", "iso8859_15", "mac_roman"],
    "Tut mir leid, ich hätte es tun müssen.\nTschüss, schöne Grüße!": ["cp1252", "latin_1"],
    "¿Por qué no me lo dijiste?\nAnoche no volvió a casa. Mañana será otro día.": ["cp1252", "latin_1"],
    "Você não me contou nada.\nEle não voltou para casa ontem à noite.": ["cp1252"],
    "Perché non me l'hai detto?\nIeri sera non è più tornato, però è così.": ["cp1252"],
    "Varför sa du inget?\nHan kom inte hem i går kväll.": ["cp1252"],
    "“Why didn’t you tell me?”\nHe’s gone… I don’t know where.": ["cp1252"],
    "Dlaczego mi nie powiedziałeś?\nWczoraj wieczorem gdzieś zniknął.": ["cp1250", "iso8859_2"],
    "Proč jsi mi to neřekl?\nVčera večer se nevrátil domů.": ["cp1250", "iso8859_2"],
    "Miért nem mondtad el nekem?\nHol lehet ő most? Őrült vagy?": ["cp1250", "iso8859_2"],
    "Nu ştiu ce să fac în viaţă.\nAseară nu s-a întors acasă.": ["cp1250", "iso8859_2"],
    "Ne yapacağımı bilmiyorum.\nDün gece eve dönmedi, nerede olduğunu bilmiyoruz.": ["cp1254", "iso8859_9"],
    "Nežinau, ką daryti.\nAčiū tau už viską, mano meile.": ["cp1257"],
}
CASES = [(encoding, text) for text, encodings in TEXTS.items() for encoding in encodings]
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


def srt(text: str) -> str:
    cues = text.split("\n")
    return "".join(f"{i}\n00:00:0{i},500 --> 00:00:0{i},900\n{cue}\n\n" for i, cue in enumerate(cues, 1))


def read(data: bytes, encoding: str = "") -> str | None:
    """None if refused."""
    try:
        return decode(data, encoding)
    except UnknownEncoding as error:
        assert "\n" not in str(error)
        return None


@pytest.mark.parametrize(("encoding", "text"), CASES)
def test_two_cues_in_an_old_encoding_are_read_right(encoding, text):
    assert read(srt(text).encode(encoding)) == srt(text)


@pytest.mark.parametrize("encoding", UNICODE)
def test_unicode_is_read_right_with_and_without_a_mark(encoding):
    for text in TEXTS:
        assert read(srt(text).encode(encoding)) == srt(text)


def test_a_word_or_two_are_read_right_or_refused():
    refused = []
    words = [(encoding, word) for encoding, text in CASES for word in text.split()]
    words += [(encoding, line) for encoding, text in CASES for line in text.split("\n")]
    for encoding, word in words:
        found = read(srt(word).encode(encoding))
        assert found in (None, srt(word)), f"{word!r} in {encoding} is read as {found!r}"
        refused += [word] if found is None else []
    assert len(refused) < 0.45 * len(words), f"{len(refused)} of {len(words)} are refused"


def test_a_refusal_names_encodings_and_the_setting_that_chooses():
    data = "À demain.".encode("cp1252")
    with pytest.raises(UnknownEncoding, match=r"name its encoding \(MERRFLOW_SUBTITLE_ENCODING\), perhaps .*cp1252"):
        decode(data, option="MERRFLOW_SUBTITLE_ENCODING")
    assert decode(data, "cp1252") == "À demain."


def test_the_named_encoding_is_not_for_unicode_and_is_checked():
    assert decode("Où".encode(), "gb18030") == decode("Où".encode("utf-16"), "gb18030") == "Où"
    assert decode("日本".encode("hz"), "hz") == "日本"
    with pytest.raises(UnknownEncoding, match="not text in shift_jis"):
        decode("Où est-il allé".encode("cp1252") + b"\xff\xfe", "shift_jis")


def test_utf8_with_a_fault_is_not_taken_for_another_encoding():
    data = srt("我不知道该怎么办。\n你为什么不告诉我？").encode()
    with pytest.raises(UnknownEncoding, match=r"\(byte 50, 0x..\): not UTF-8, as the rest is"):
        decode(data[:50] + data[51:])


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_are_text_or_refused(data):
    assert isinstance(read(data), str | None)


@pytest.mark.parametrize("line", ["é", "é\n", "\x81\x40", "Ð¸ ", "<é", "’é’", "\u0e48", "ÀÁ"])
def test_the_largest_file_is_decoded_in_a_moment(line):
    for piece in {line.encode(one, errors="ignore") or b"\xe9" for one in ("cp1252", "cp874", "gb18030")}:
        began = time.process_time()
        read(piece * ((256 << 10) // len(piece)))
        assert time.process_time() - began < 2.0


def test_noise_is_decoded_in_a_moment():
    noise = random.Random(1).randbytes(256 << 10)
    began = time.process_time()
    assert read(noise) is None
    assert time.process_time() - began < 2.0


ASS = """[Script Info]
; Script generated by Aegisub 3.2.2
Title: Default Aegisub file
WrapStyle: 0
ScaledBorderAndShadow: yes

[Aegisub Project Garbage]
Last Style Storage: Default
Video File: movie.mp4
Scroll Position: 12

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, Bold, Italic, Underline, BorderStyle, Outline, Shadow
Style: Default,Arial,20,&H00FFFFFF,&H00000000,0,0,0,1,2,2

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@pytest.mark.parametrize(("encoding", "text"), CASES)
def test_english_headers_do_not_speak_for_western_encodings(encoding, text):
    cues = text.split("\n")
    file = ASS + "".join(f"Dialogue: 0,0:00:0{i}.00,0:00:0{i}.90,Default,,0,0,0,,{cue}\n" for i, cue in enumerate(cues))
    assert read(file.encode(encoding)) == file
    table = "Utterance,Speaker,Emotion,Dialogue_ID,Season,Episode,StartTime,Description of the scene,Camera\n"
    table += "".join(f'"{cue}",Joey Tribbiani,neutral,{i},4,7,"0:01",studio,close up\n' for i, cue in enumerate(cues))
    assert read(table.encode(encoding)) == table


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp737", "Γιατί κλαις;\nΦοβάμαι το σκοτάδι, μείνε μαζί μου."),
        ("mac_greek", "Γιατί κλαις;\nΦοβάμαι το σκοτάδι, μείνε μαζί μου."),
        ("cp850", "Vi må tale om det, før det er for sent.\nHun blev så ked af det, at hun græd."),
        ("mac_latin2", "Boję się ciemności.\nNie rozumiem, o co ci chodzi, człowieku.\nWrócę późno, proszę, zaczekaj."),
        ("cp857", "Karanlıktan korkuyorum, yanımda kal.\nNe demek istediğini anlamıyorum, canım."),
        ("mac_turkish", "Karanlıktan korkuyorum, yanımda kal.\nNe demek istediğini anlamıyorum, canım."),
        ("cp862", "אני לא מבין על מה אתה מדבר.\nהיום היה יום נפלא!"),
        ("cp720", "أنا خائف من الظلام ابق معي.\nكان اليوم يوما رائعا!"),
        ("cp1125", "Я боюся темряви, залишся зі мною.\nСьогодні був чудовий день!"),
        ("mac_cyrillic", "Я боюсь темноты, останься со мной.\nСегодня был прекрасный день!"),
        ("johab", "어두운 게 무서워, 같이 있어 줘.\n오늘은 정말 멋진 날이었어!"),
        ("cp775", "Bijau tamsos, būk šalia manęs.\nNesuprantu, ką nori pasakyti. Grįšiu vėlai vakare."),
    ],
)
def test_pages_of_dos_and_of_the_macintosh_are_not_taken_for_those_of_windows(encoding, text):
    assert read(srt(text).encode(encoding)) == srt(text)


def test_utf8_with_few_accents_and_a_fault_is_not_taken_for_chinese():
    text = srt("Mums par to jāparunā.\nKur ir manas mantas? Kāds tās nozaga!\nNo rīta snieg.").encode()
    at = text.index("ī".encode())
    assert read(text[: at + 1] + text[at + 2 :]) is None
