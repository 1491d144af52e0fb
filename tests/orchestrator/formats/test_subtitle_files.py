"""Subtitle files of every format: what is said in them, what is refused, and that no file holds the run up."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest

from merrflow.formats.subtitle_cues import MAX_CHARACTERS, MAX_CUES
from merrflow.formats.subtitle_files import MAX_BYTES, BadSidecar, find_sidecars, overlapping, read_cues


def said(folder: Path, name: str, content: str, seconds: float = 60.0) -> str:
    """What is said, cue by cue."""
    (folder / name).write_text(content, encoding="utf-8", newline="")
    return " | ".join(overlapping(read_cues(folder / name), seconds))


def srt(*cues: tuple[float, float, str], numbers: bool = True) -> str:
    def stamp(seconds: float) -> str:
        sign, ms = ("-" if seconds < 0 else ""), round(abs(seconds) * 1000)
        return f"{sign}{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    return "".join(
        (f"{number}\n" if numbers else "") + f"{stamp(start)} --> {stamp(end)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(cues, 1)
    )


def dialogue(*cues: tuple[str, str, str]) -> str:
    lines = [f"Dialogue: 0,{start},{end},Default,,0,0,0,,{text}" for start, end, text in cues]
    return "[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Layer, Start, End, Style\n" + "\n".join(lines)


# --- times


@pytest.mark.parametrize(
    "times",
    [
        "00:00:00,500 --> 00:00:02,000",
        "00:00:00.500 --> 00:00:02.000",
        "0:00:00,5-->0:00:02",
        "00:00,500 --> 00:02,000",
        "  00:00:00,500  -->  00:00:02,000  X1:1 X2:2",
        "00:00:00:500 --> 00:00:02:000",
        "00:00:00,500 --> 00:00:02,000 align:start position:0%",
        "00:00:00,500 -> 00:00:02,000",
    ],
)
@pytest.mark.parametrize("name", ["a.srt", "a.vtt"])
def test_times_as_programs_write_them(tmp_path, times, name):
    header = "WEBVTT\n\n" if name == "a.vtt" else "1\n"
    assert said(tmp_path, name, f"{header}{times}\nWe got it!\n") == "We got it!"
    cue = read_cues(tmp_path / name)[0]
    assert (cue.start, cue.end) == (0.5, 2.0)


@pytest.mark.parametrize("start", ["-00:00:01,000", "00:00:-1,000", "-0:0:1.0"])
def test_a_cue_that_begins_before_zero_is_shown(tmp_path, start):
    content = f"1\n{start} --> 00:00:01,000\nCut in\n\n2\n00:00:02,000 --> 00:00:03,000\nYes.\n"
    assert said(tmp_path, "a.srt", content) == "Cut in | Yes."
    assert said(tmp_path, "b.srt", srt((-3, -1, "over"), (-1, 1, "Cut in"))) == "Cut in"


def test_cues_are_in_order_of_time_and_within_the_clip(tmp_path):
    assert said(tmp_path, "a.srt", srt((2, 3, "b"), (0, 1, "a"), (9, 10, "c")), seconds=4) == "a | b"


# --- cues without text, numbers, identifiers


def test_numbers_of_cues_without_text_are_not_said(tmp_path):
    close = "19\n00:00:00,5 --> 00:00:01,8\n20\n00:00:01,9 --> 00:00:02,3\n21\n00:00:02,3 --> 00:00:03,9\ntower\n"
    assert said(tmp_path, "a.srt", close) == "tower"
    assert said(tmp_path, "b.srt", srt((0, 1, ""), (1, 2, "  "), (2, 3, "tower"), (3, 4, ""))) == "tower"
    double = "1\n\n00:00:00,5 --> 00:00:01,8\n\na\n\n2\n\n00:00:01,9 --> 00:00:02,3\n\nb\n\n"
    assert said(tmp_path, "c.srt", double) == "a | b"
    with pytest.raises(BadSidecar, match="no subtitle with a time"):
        said(tmp_path, "d.srt", "1\n2\n3\n")


def test_numbers_that_are_said_stay(tmp_path):
    assert said(tmp_path, "a.srt", srt((0, 1, "How many?\n42"), (1.5, 2, "1984"))) == "How many? 42 | 1984"
    assert said(tmp_path, "b.srt", srt((0, 1, "42"), (2, 3, "43"), (4, 5, "7"), numbers=False)) == "42 | 43 | 7"


def test_identifiers_notes_and_styles_of_vtt_are_not_said(tmp_path):
    content = (
        "WEBVTT - a title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:fred\n\nNOTE first\n\n"
        "intro\n00:01.000 --> 00:02.000\nHello.\n\nNOTE\na remark\n\n"
        "next one\n00:03.000 --> 00:04.000\nBye.\n\nNOTE end\n"
    )
    assert said(tmp_path, "a.vtt", content) == "Hello. | Bye."


# --- tags, entities


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(坂東)<今から 70年ほど前>", "(坂東)<今から 70年ほど前>"),
        ("a < b and c > d", "a < b and c > d"),
        ("a<b and c>d", "a<b and c>d"),
        ("<Laughs> No.", "<Laughs> No."),
        ("I <3 you > all", "I <3 you > all"),
        ("I &lt;3 you &gt; all", "I <3 you > all"),
        ("&lt;i&gt; is a tag", "<i> is a tag"),
        ("Q&amp;A, AT&T, a &amp;lt; b, &copy", "Q&A, AT&T, a &lt; b, &copy"),
        ("one&nbsp;two&#39;s &#x4F60;", "one two's 你"),
        ("<i>Yes</i>, <b>please</b> < i >now</ i >", "Yes, please now"),
        ('<font color="#ff0000" size=3>red</font> <FONT FACE=x>face</FONT>', "red face"),
        ("<c.yellow.bg_black>yes</c> <v.loud Ann Lee>Ann</v> <lang en-GB>hi</lang>", "yes Ann hi"),
        ("<00:00:01.200>we<00:00:01.400><c> got</c>", "we got"),
        ("one<br/>two<br>three", "one two three"),
        (r"{\an8}up {\i1}and{\i0} {smiles}", "up and {smiles}"),
        ("<ruby>東<rt>ひがし</rt></ruby>", "東ひがし"),
        ("[door slams]\nGo!", "Go!"),
        ("\u200eעברית\u200f \ufeffx", "עברית x"),
    ],
)
def test_tags_go_before_entities_and_signs_stay(tmp_path, text, words):
    assert said(tmp_path, "a.srt", srt((0, 1, text))) == words
    assert said(tmp_path, "a.vtt", "WEBVTT\n\n" + srt((0, 1, text))) == words


# --- what rolls over, what is said again


def youtube(*lines: str, step: float = 1.3) -> str:
    """As YouTube's automatic captions: the last line grows word by word, the one before stays above it."""
    cues, at, before = [], 0.16, " "
    for line in lines:
        first, *others = line.split()
        timed = first + "".join(f"<00:00:{at + i / 10:06.3f}><c> {word}</c>" for i, word in enumerate(others, 1))
        cues += [(at, at + step - 0.01, f"{before}\n{timed}"), (at + step - 0.01, at + step, f"{line}\n ")]
        at, before = at + step, line
    return "WEBVTT\nKind: captions\nLanguage: en\n\n" + srt(*cues, numbers=False).replace(",", ".")


def test_rolling_captions_are_joined(tmp_path):
    lines = ("we got the letter", "today and they", "said yes", "no no no", "said yes")
    assert said(tmp_path, "a.vtt", youtube(*lines)) == " | ".join(lines)
    three = [(0, 1, "a b"), (1, 2, "a b\nc d"), (2, 3, "a b\nc d\ne f"), (3, 4, "c d\ne f\ng h"), (4, 5, "e f\ng h")]
    assert said(tmp_path, "a.srt", srt(*three)) == "a b | c d | e f | g h"
    gaps = [(0, 1, "a b\nc d"), (1, 2, "c d\ne f"), (2, 3, "e f\ng h"), (5, 6, "g h\ni j")]
    assert said(tmp_path, "b.srt", srt(*gaps)) == "a b c d | e f | g h | i j"


def test_captions_that_grow_word_by_word_are_joined(tmp_path):
    grows = [(0, 1, "we"), (1, 2, "we got"), (2, 3, "we got the letter."), (3, 4, "we got the letter.\nToday")]
    assert said(tmp_path, "a.srt", srt(*grows)) == "we got the letter. | Today"
    assert said(tmp_path, "b.srt", srt((0, 1, "我们"), (1, 2, "我们收到信了"))) == "我们收到信了"


@pytest.mark.parametrize("gap", [0.1, 0.2, 3.0])
def test_what_is_said_again_is_kept(tmp_path, gap):
    cues = [(i * (1 + gap), i * (1 + gap) + 1, "No!") for i in range(3)]
    assert said(tmp_path, "a.srt", srt(*cues)) == "No! | No! | No!"
    assert said(tmp_path, "b.srt", srt((0, 1, "No!"), (1, 2, "No! Never!"))) == "No! | No! Never!"
    assert said(tmp_path, "c.srt", srt((0, 1, "Go home."), (1 + gap, 2 + gap, "Go home.\nNow!"))) == (
        "Go home. | Go home. Now!"
    )


# --- .ass, .ssa, .lrc


def test_substation_without_styles_comments_and_drawings(tmp_path):
    content = dialogue(
        ("0:00:02.00", "0:00:03.00", r"{\i1}Bye{\i0}, now"),
        ("0:00:00.50", "0:00:01.50", r"{\an8\pos(10,10)}Hello,\Nyou\htwo{a remark}"),
        ("0:00:00.50", "0:00:01.50", r"{\bord3}Hello,\Nyou\htwo"),
        ("0:00:00.00", "0:00:05.00", r"{\p1}m 0 0 l 100 0{\p0}"),
        ("-0:00:01.00", "0:00:00.40", "Before"),
    ).replace("[Events]", "[Fonts]\nfontname: a.ttf\n" + "M" * 3000 + "\n\n[Events]")
    content += "\nComment: 0,0:00:00.00,0:00:05.00,Default,,0,0,0,,not shown\n"
    assert said(tmp_path, "a.ass", content) == "Before | Hello, you two | Bye, now"
    assert said(tmp_path, "a.ssa", content.replace("Dialogue: 0", "Dialogue: Marked=0")) == (
        "Before | Hello, you two | Bye, now"
    )
    (tmp_path / "b.ass").write_bytes(dialogue(("0:00:00.50", "0:00:01.50", "我不知道该怎么办")).encode("gbk"))
    assert overlapping(read_cues(tmp_path / "b.ass"), 9) == ["我不知道该怎么办"]
    with pytest.raises(BadSidecar, match="not a subtitle file"):
        said(tmp_path, "c.ass", dialogue(("soon", "0:00:03.00", "Bye")))


@pytest.mark.filterwarnings("error")
def test_a_layer_and_margins_that_are_no_numbers_do_not_matter(tmp_path):
    content = "[Events]\nDialogue: x,0:00:00.00,0:00:01.00,Default,,a,,c,,Hello, you two\n"
    assert said(tmp_path, "a.ass", content) == "Hello, you two"


def test_lyrics(tmp_path):
    content = "[ar:Someone]\n[ti:Song]\n[00:00.50]First\n[00:02.00][00:06.00]Again\n[00:04.00]\n"
    content += "[00:05]<00:05.1>Word <00:05.3>by\n"
    assert said(tmp_path, "a.lrc", content) == "First | Again | Word by | Again"
    assert [(cue.start, cue.end) for cue in read_cues(tmp_path / "a.lrc")][:2] == [(0.5, 2.0), (2.0, 4.0)]
    assert said(tmp_path, "a.lrc", content, seconds=4.5) == "First | Again"
    assert said(tmp_path, "b.lrc", "[offset:+1000]\n[00:02.00]Early\n") == "Early"
    assert read_cues(tmp_path / "b.lrc")[0].start == 1.0


def test_which_file_comes_first(tmp_path):
    for name in ("a.lrc", "a.ass", "a.ssa", "a.VTT", "a.srt", "a.mp4.ass", "a.en.lrc", "a.zh.srt"):
        (tmp_path / name).write_text("x")
    found = [path.name for path in find_sidecars(tmp_path / "a.mp4")]
    assert found == ["a.srt", "a.VTT", "a.ass", "a.ssa", "a.lrc", "a.mp4.ass", "a.en.lrc", "a.zh.srt"]


# --- bounds


def test_what_is_too_much_is_refused(tmp_path):
    with pytest.raises(BadSidecar, match="larger than 256 KiB"):
        said(tmp_path, "a.srt", "x" * (MAX_BYTES + 1))
    with pytest.raises(BadSidecar, match=f"0.000 s has more than {MAX_CHARACTERS} characters"):
        said(tmp_path, "a.srt", srt((0, 1, "x" * (MAX_CHARACTERS + 1))))
    for name, content in (
        ("a.srt", "0:0:0 --> 0:0:1\na\n" * (MAX_CUES + 1)),
        ("a.lrc", "[0:0]" * (MAX_CUES + 1)),
        ("a.ass", "Dialogue: 0,0:00:00.00,0:00:01.00,,,,,,,\n" * (MAX_CUES + 1)),
    ):
        with pytest.raises(BadSidecar, match=f"more than {MAX_CUES} subtitles"):
            said(tmp_path, name, content)


OPENERS = (
    *("{", "{\\", "{\\p1", "<", "<a", "<c ", "</", "< ", "<v a", "<font ", "<font a=", "<00:00:00.0", "[", "(", "♪"),
    *(
        "&",
        "&#",
        "&a",
        " ",
        "\t",
        "\n",
        "\r",
        "1",
        "1\n",
        "1 ",
        "-",
        "->",
        "-->",
        ":",
        "00:00",
        "0:0:0,0",
        "0:0:0 --> ",
    ),
    *("[0:", "[0:0]", "[offset:", "[offset: ", "Dialogue:", "Dialogue: 0,", "\\N", "a\n", "é", "\xa0", "\u0301", "一"),
)
SHAPES = {
    "a.srt": "1\n00:00:00,000 --> 00:00:01,000\n{}",
    "a.vtt": "WEBVTT\n\n00:00.000 --> 00:01.000\n{}",
    "a.ass": "[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,{}",
    "a.lrc": "[00:00.00]{}",
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("length", [MAX_CHARACTERS, MAX_BYTES])
def test_no_text_takes_long(tmp_path, name, length):
    """In one cue that is as long as may be, and in as many cues and lines as fit a file."""
    slowest = ("", 0.0)
    for opener in OPENERS:
        cue = SHAPES[name].replace("{}", (opener * length)[:length])
        body = (cue + "\n\n") * max(1, MAX_BYTES // (len(cue) + 2))
        data = body.encode()[:MAX_BYTES]
        for content in (data, (opener * MAX_BYTES).encode()[:MAX_BYTES]):
            (tmp_path / name).write_bytes(content)
            began = time.process_time()
            with suppress(BadSidecar):
                overlapping(read_cues(tmp_path / name), 1e9)
            slowest = max(slowest, (opener, time.process_time() - began), key=lambda one: one[1])
    assert slowest[1] < 2.0, slowest
