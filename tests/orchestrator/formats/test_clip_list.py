"""What the user names becomes clips: every file once, every name unique, every mistake one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow.core.errors import InputError
from merrflow.core.inputs import Found, assign_names, with_tables
from merrflow.core.paths import ESCAPED, NAME_BYTES, path_text, safe_name, text_path
from merrflow.formats.clip_list import find_clips


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_folder_gives_its_videos_at_any_depth_in_any_case(tmp_path):
    wanted = {touch(tmp_path / name) for name in ("a.mp4", "b.MP4", "deep/er/c [1].MoV", "片 段.mkv")}
    for name in ("notes.txt", ".hidden.mp4", ".cache/d.mp4", "peaks/a.jpg"):
        touch(tmp_path / name)
    assert {clip.path for clip in find_clips([tmp_path])} == wanted


def test_linked_folders_are_searched_too_and_circles_end(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "clips"
    touch(elsewhere / "deep/b.mp4")
    touch(folder / "zoo/a.mp4")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder / "zoo")  # already there under its own path
    (folder / "zoo/circle").symlink_to(folder)
    (elsewhere / "back").symlink_to(folder)
    (folder / ".hidden").symlink_to(elsewhere)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    assert [clip.path for clip in find_clips([folder])] == [folder / "linked/deep/b.mp4", folder / "zoo/a.mp4"]


def test_a_folder_that_is_a_link_itself(tmp_path):
    touch(tmp_path / "real/a.mp4")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [clip.path for clip in find_clips([tmp_path / "link"])] == [tmp_path / "link/a.mp4"]


def test_names_that_are_no_utf_8_get_safe_names_of_their_own(tmp_path):
    folder = os.fsencode(tmp_path)
    for name in (b"caf\xe9.mp4", b"caf\xe8.mp4", "café.mp4".encode()):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"x")
    found = find_clips([tmp_path])
    assert len(found) == 3
    names = set(assign_names(found, {}).values())
    assert len(names) == 3 and "café" in names
    for text in (*names, *(path_text(clip.path) for clip in found)):
        assert text.encode().decode() == text
    texts = {path_text(clip.path) for clip in found}
    assert {f"escaped:{tmp_path}/caf%E9.mp4", f"{tmp_path}/café.mp4"} <= texts
    assert all(text_path(text).exists() for text in texts)


@given(
    st.binary().map(lambda name: name.replace(b"\0", b"")) | st.text().map(lambda text: text.encode(errors="ignore"))
)
def test_every_path_has_a_text_and_comes_back(name):
    path = Path(os.fsdecode(b"/" + name.replace(b"\0", b"")))
    text = path_text(path)
    assert text_path(text) == path
    assert text.encode().decode() == text
    try:
        plain = os.fsencode(path).decode()
    except UnicodeDecodeError:
        assert text.startswith(ESCAPED)
    else:
        assert text == plain


@given(st.text(alphabet=[*"a/%25E9", "\udce9", "\udcc3", "\udca9", "é"], max_size=12), st.booleans())
def test_escapes_and_markers_in_names_do_not_mislead(rest, marked):
    path = Path((ESCAPED if marked else "") + rest)
    assert text_path(path_text(path)) == path
    path_text(path).encode()


def test_a_file_named_by_itself_is_taken_whatever_its_suffix(tmp_path):
    file = touch(tmp_path / "clip.dat")
    assert [clip.path for clip in find_clips([file, str(file)])] == [file]


def test_table_with_relative_paths_and_optional_columns(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("\ufeffpath,name,sentence,label\nin/a.mp4,first,Hello,happy\nb.mp4,,,\n", encoding="utf-8")
    assert find_clips([table]) == [
        Found(tmp_path / "b.mp4"),
        Found(tmp_path / "in/a.mp4", "first", "Hello", "happy"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list.csv", b"file,name\na.mp4,a\n", "needs a column `path`; it has: file, name"),
        ("list.csv", b"", "needs a column `path`; it has: none"),
        ("list.csv", b"\xff\xfe\x00p", "needs a column `path`"),
        ("list.csv", b"path,name\na.mp4,same\nb.mp4,Same\n", "the name 'same' to 2 clips"),
        ("missing.csv", None, "no such file"),
        ("missing.mp4", None, "no such file or folder"),
        ("empty", "folder", "no video files in this folder"),
    ],
)
def test_unusable_inputs_say_what_to_do(tmp_path, name, content, words):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        find_clips([path])
    assert len(str(caught.value).splitlines()) == 1


def test_same_stem_in_two_folders_gives_two_names():
    found = [Found(Path("/x/mon/clip.mp4")), Found(Path("/x/tue/clip.mp4")), Found(Path("/x/mon/other.mp4"))]
    assert set(assign_names(found, {}).values()) == {"mon__clip", "tue__clip", "other"}
    # folders of one name too
    found = [Found(Path("/x/1/mon/clip.mp4")), Found(Path("/x/2/mon/clip.mp4"))]
    assert len(set(assign_names(found, {}).values())) == 2


def test_a_name_once_given_stays():
    first = assign_names([Found(Path("/x/a/clip.mp4"))], {})
    taken = {name: str(path) for path, name in first.items()}
    both = assign_names([Found(Path("/x/a/clip.mp4")), Found(Path("/x/b/clip.mp4"))], taken)
    assert both == {Path("/x/a/clip.mp4"): "clip", Path("/x/b/clip.mp4"): "b__clip"}


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "b"]), st.text(max_size=300)), unique=True, max_size=20))
def test_names_are_unique_and_safe_whatever_the_files_are_called(parts):
    found = [Found(Path("/r") / folder / (stem.replace("/", "").replace("\0", "") + ".mp4")) for folder, stem in parts]
    found = list({clip.path: clip for clip in found}.values())
    names = assign_names(found, {})
    assert len({name.casefold() for name in names.values()}) == len(found)
    for name in names.values():
        assert name and len(f"{name}.jpg".encode()) <= 255
        assert not any(character.isspace() or character in '/\\\0"' for character in name)


@given(st.text())
def test_safe_name_is_stable(text):
    once = safe_name(text)
    assert safe_name(once) == once
    assert len(once.encode()) <= NAME_BYTES


def test_safe_name_keeps_what_people_read():
    assert safe_name("采访 01 (final)") == "采访_01_(final)"


def test_sentences_and_labels_by_name_and_stem():
    found = [Found(Path("/x/clip.mp4")), Found(Path("/x/my clip.mp4")), Found(Path("/x/empty.mp4"), label="sad")]
    sentences = {"clip": "Oh no, it is gone.", "my clip": "Mine"}
    clips = with_tables(found, assign_names(found, {}), sentences, {"my_clip": "happy", "empty": "angry"})
    assert [clip.sentence for clip in clips] == ["Oh no, it is gone.", "Mine", None]
    assert [clip.label for clip in clips] == [None, "happy", "sad"], "what stands in the clip's own row goes first"


def test_a_stem_that_two_clips_share_does_not_tell_which_is_meant():
    found = [Found(Path("/x/a/clip.mp4")), Found(Path("/x/b/clip.mp4"))]
    clips = with_tables(found, assign_names(found, {}), {"clip": "Whose?", "b__clip": "B's own"}, {})
    assert [clip.sentence for clip in clips] == [None, "B's own"]
