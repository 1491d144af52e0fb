"""Tables of published data sets, by the columns that they have; the rows are made up."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from merrflow.core.datafile import DataFileError, read
from merrflow.core.errors import InputError
from merrflow.core.inputs import Found
from merrflow.facs import load_rules
from merrflow.formats.clip_list import find_clips
from merrflow.formats.layout import FOLDER, Layout, layouts, load_layout
from merrflow.formats.merr import read_annotations, read_labels, read_sentences

NORMAL = load_rules("default").normal
MELD = """Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime
1,"also, it\x92s done",Chandler,joy,positive,0,0,8,21,"00:16:16,059","00:16:21,731"
2,You must,The Interviewer,sadness,negative,0,1,8,21,"00:16:21,940","00:16:23,442"
"""
IEMOCAP = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_F001\tfru\t[2.5000, 2.5000, 2.5000]
C-E2:\tFrustration; Anger;\t()

[14.8872 - 18.0175]\tSes01F_impro01_F002\texc\t[2.0000, 3.0000, 3.0000]
"""
SPOKEN = """Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
M: [breathing]
Ses01F_impro01_M000 [007.5712-010.4750]: Do you have your forms?
"""


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", layouts())
def test_every_layout_labels_with_words_that_the_rules_know(name: str) -> None:
    layout = load_layout(name)
    assert {NORMAL(word) for word in layout.labels.values() if word} == {
        word for word in layout.labels.values() if word
    }
    assert all(form.said_in(form.sentence) or form.label or form.votes for form in layout.forms)


def test_meld(tmp_path: Path) -> None:
    path = written(tmp_path / "train_sent_emo.csv", MELD)
    assert read_sentences(path, "meld") == {"dia0_utt0": "also, it’s done", "dia0_utt1": "You must"}
    assert read_labels(path, NORMAL, "meld") == {"dia0_utt0": "happy", "dia0_utt1": "sad"}
    with pytest.raises(InputError, match=r"needs the columns .*it has: Sr No\., .*; it looks like the layout meld$"):
        read_sentences(path)
    with pytest.raises(InputError, match=r"a table of DFEW has the columns video_name, label or .*the layout meld"):
        read_labels(path, NORMAL, "dfew")
    with pytest.raises(InputError, match=r"line 3, column emotion: unknown label 'joyous': MELD has neutral, joy"):
        read_labels(written(path, MELD.replace(",sadness,", ",joyous,")), NORMAL, "meld")
    with pytest.raises(InputError, match="line 3: clip 'dia0_utt0' occurs twice .first in line 2."):
        read_labels(written(path, MELD.replace(",0,1,8", ",0,0,8")), NORMAL, "meld")


def test_melds_table_is_a_list_of_clips_too(tmp_path: Path) -> None:
    (tmp_path / "dia0_utt0.MP4").touch()
    (tmp_path / "dia0_utt1.mkv").touch()
    found = find_clips([written(tmp_path / "train_sent_emo.csv", MELD)], layout="meld")
    assert found == [
        Found(tmp_path / "dia0_utt0.mp4", None, "also, it’s done", "happy"),
        Found(tmp_path / "dia0_utt1.mkv", None, "You must", "sad"),
    ]


@pytest.mark.parametrize("layout", ["mer2023", "mer2024"])
def test_mer(tmp_path: Path, layout: str) -> None:
    labels = written(tmp_path / "train-label.csv", "name,discrete,valence\nsample_00000007,worried,-1.0\nb,happy,2\n")
    assert read_labels(labels, NORMAL, layout) == {"sample_00000007": "worried", "b": "happy"}
    said = written(tmp_path / "transcription.csv", "name,chinese,english\na,你好。,Hello.\nb,没有。,\n")
    assert read_sentences(said, layout) == {"a": "Hello."}
    with pytest.raises(InputError, match="it looks like the layout mer2023 or mer2024"):
        read_labels(labels)


def test_iemocap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "Ses01F_impro01.txt", IEMOCAP)
    with caplog.at_level(logging.WARNING):
        assert read_labels(path, NORMAL, "iemocap") == {
            "Ses01F_impro01_F000": "neutral",
            "Ses01F_impro01_F002": "happy",
        }
    assert "clips without a label, because merrflow has none for: fru (1)" in caplog.text
    said = read_sentences(written(tmp_path / "said.txt", SPOKEN), "iemocap")
    assert said == {"Ses01F_impro01_F000": "Excuse me.", "Ses01F_impro01_M000": "Do you have your forms?"}
    with pytest.raises(InputError, match=r"line 4: 'Neutral' is no line of such a file"):
        read_labels(written(path, IEMOCAP.replace("C-E2:\tNeutral;\t()", "Neutral")), NORMAL, "iemocap")
    header = "session,method,gender,emotion,n_annotators,agreement,path"
    text = f"{header}\n1,impro,F,hap,3,2,Session1/sentences/wav/Ses01F_x/Ses01F_x_F000.wav\n"
    assert read_labels(written(tmp_path / "full.csv", text), NORMAL, "iemocap") == {"Ses01F_x_F000": "happy"}


def test_mosei_has_words_and_no_emotions(tmp_path: Path) -> None:
    header = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"
    text = f"{header}\n-3g5yACwYnA,10,Key is part,1.0,,,,Positive,train\n"
    path = written(tmp_path / "label.csv", text)
    assert read_sentences(path, "cmu-mosei")["-3g5yACwYnA/10"] == "Key is part"
    with pytest.raises(InputError, match="holds no labels; none of them has a counterpart in merrflow: Positive .1."):
        read_labels(path, NORMAL, "cmu-mosei")


def test_dfew(tmp_path: Path) -> None:
    path = written(tmp_path / "set_1.csv", "video_name,label\n7,1\n16372,7\n")
    assert read_labels(path, NORMAL, "dfew") == {"7": "happy", "00007": "happy", "16372": "fear"}
    votes = "1happy,2sad,3neutral,4angry,5surprise,6disgust,7fear,order,label\n9,0,1,0,0,0,0,1,1\n3,3,4,0,0,0,0,2,0\n"
    assert read_labels(written(tmp_path / "annotation.csv", votes), NORMAL, "dfew") == {"1": "happy", "00001": "happy"}


def test_merrs_own_layout_is_the_one_without_a_name(tmp_path: Path) -> None:
    path = written(tmp_path / "transcription_en_all.csv", "name,sentence\na,Hello\n")
    assert read_annotations(path, layout="merr") == read_annotations(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("clip: ['{name:xx}']", "is not a name with"),
        ("clip: ['{}']", "is not a name with"),
        ("clip: ['{name}'], line: '('", "is not a regular expression"),
        ("clip: []", "clip"),
    ],
)
def test_a_wrong_layout_is_named_by_file_and_line(tmp_path: Path, change: str, told: str) -> None:
    path = written(tmp_path / "mine.yaml", f"version: 1\ntitle: Mine\nforms:\n  - {{{change}}}\n")
    with pytest.raises(DataFileError, match=f"line 4.*{told}"):
        read(path, Layout)
    assert FOLDER.is_dir()


def test_votes_are_counted_where_a_table_has_no_label(tmp_path, caplog):
    head = "1happy,2sad,3neutral,4angry,5surprise,6disgust,7fear,order\n"
    path = written(
        tmp_path / "annotation.csv", head + "9,0,1,0,0,0,0,1\n4,4,0,0,0,0,2,2\n0,0,0,0,0,0,0,3\n,,,7,,,3,4\n"
    )
    assert read_labels(path, NORMAL, "dfew") == {"1": "happy", "00001": "happy", "4": "angry", "00004": "angry"}
    assert "a tie of votes (1)" in caplog.text and "no votes (1)" in caplog.text
    with pytest.raises(InputError, match=r"line 2, column 4angry: 'x' is no number of votes"):
        read_labels(written(path, head + "1,0,0,x,0,0,0,1\n"), NORMAL, "dfew")
    with pytest.raises(InputError, match=r"occurs twice \(first in line 2\)"):
        read_labels(written(path, head + "1,0,0,0,0,0,0,1\n1,0,0,0,0,0,0,1\n"), NORMAL, "dfew")


MOSEI = (
    "HITId,WorkerId,Input.VIDEO_ID,Input.CLIP,Answer.anger,Answer.disgust,Answer.fear,Answer.happiness,Answer.sadness,"
    "Answer.sentiment,Answer.surprise\n"
    "h1,w1,-3g5yACwYnA,2,0,0,0,2,0,1,0\nh1,w2,-3g5yACwYnA,2,1,0,0,0,0,0,0\nh1,w3,-3g5yACwYnA,2,0,0,0,1,0,1,1\n"
    "h2,w1,-3g5yACwYnA,3,1,0,0,1,0,0,0\nh2,w2,-3g5yACwYnA,3,0,0,0,0,0,0,0\n"
)


def test_annotators_with_a_row_each_are_pooled(tmp_path, caplog):
    path = written(tmp_path / "batch_raw.csv", MOSEI)
    labels = read_labels(path, NORMAL, "cmu-mosei")
    assert labels["-3g5yACwYnA/2"] == "happy" and "-3g5yACwYnA/3" not in labels
    assert "a tie of votes (1)" in caplog.text


def test_votes_label_a_list_of_clips(tmp_path):
    path = written(tmp_path / "batch_raw.csv", MOSEI)
    assert [(clip.path.name, clip.label) for clip in find_clips([path], "cmu-mosei")] == [
        ("2.mp4", "happy"),
        ("3.mp4", None),
    ]
