"""Files that a person hands in, and the command that messages name."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.weights import storage
from merrflow_serving.weights.add import add
from merrflow_serving.weights.files import structural_fault
from merrflow_serving.weights.places import Place
from merrflow_serving.weights.state import states

NAME = "eva_vit_g.pth"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(models_dir=tmp_path / "models")


def test_a_file_goes_where_its_engine_looks(tmp_path: Path, place: Place) -> None:
    (tmp_path / NAME).write_bytes(b"\x80weights")
    there = add(tmp_path / NAME, place)
    assert there == place.models_dir / "eva-vit-g" / NAME
    assert there.read_bytes() == b"\x80weights"
    assert there.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in there.parent.iterdir()] == [NAME]


@pytest.mark.parametrize(("name", "said"), [("other.pth", "those files are: eva_vit_g.pth"), (NAME, "not a file")])
def test_what_is_not_such_a_file(tmp_path: Path, place: Place, name: str, said: str) -> None:
    if name != NAME:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InvalidInput, match=said):
        add(tmp_path / name, place)
    assert not place.models_dir.exists()


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path, place: Place, monkeypatch) -> None:
    (tmp_path / NAME).write_bytes(b"\x80one")
    there = add(tmp_path / NAME, place)
    (tmp_path / NAME).write_bytes(b"\x80two")
    monkeypatch.setattr(storage, "SPARE_BYTES", 1 << 60)
    with pytest.raises(NotReady, match="needs"):
        add(tmp_path / NAME, place)
    assert there.read_bytes() == b"\x80one"


def test_messages_name_the_command_of_containers(place: Place, monkeypatch) -> None:
    steps = {one.entry.name: " ".join(one.to_get) for one in states(["eva-vit-g", "qwen-audio-chat"], place)}
    assert "merrflow models verify eva-vit-g" in steps["eva-vit-g"]
    monkeypatch.setenv("MERRFLOW_MODELS_COMMAND", "docker-compose run --rm weights")
    steps = {one.entry.name: " ".join(one.to_get) for one in states(["eva-vit-g", "qwen-audio-chat"], place)}
    assert "docker-compose run --rm weights add eva_vit_g.pth" in steps["eva-vit-g"]
    assert "docker-compose run --rm weights pull qwen-audio-chat" in steps["qwen-audio-chat"]
    assert "merrflow models" not in " ".join(steps.values())


def test_a_file_may_come_from_standard_input(place: Place) -> None:
    there = add(Path(NAME), place, io.BytesIO(b"\x80weights"))
    assert there.read_bytes() == b"\x80weights"
    with pytest.raises(InvalidInput, match="nothing came of it on standard input"):
        add(Path(NAME), place, io.BytesIO())
    assert there.read_bytes() == b"\x80weights"


KUBECTL = "kubectl -n merrflow exec deploy/weights -- merrflow models"


def test_messages_name_the_command_of_a_cluster(place: Place, monkeypatch) -> None:
    monkeypatch.setenv("MERRFLOW_MODELS_COMMAND", KUBECTL)
    (state,) = states(["minigpt-v2"], place)
    name = "minigptv2_checkpoint.pth"
    handed = f"kubectl -n merrflow exec -i deploy/weights -- merrflow models add --stdin {name} < {name}"
    assert state.to_get[-2:] == (handed, f"{KUBECTL} verify minigpt-v2")
    assert f"-O ./{name}" in state.to_get[1], "it is fetched to the folder in which the commands are given"


def test_a_page_that_a_site_sent_instead_of_the_file_is_refused(tmp_path: Path) -> None:
    """As Google Drive does for large files; and a download that was cut."""
    place = Place(models_dir=tmp_path / "models")
    for content, said in (
        (b"<!DOCTYPE html><html>virus scan</html>", "torch's or CTranslate2's: it begins with '<!DOCTYPE html><'"),
        (b"PK\x03\x04 cut", "is cut short"),
    ):
        (tmp_path / NAME).write_bytes(content)
        with pytest.raises(InvalidInput, match="download it again") as caught:
            add(tmp_path / NAME, place)
        assert said in str(caught.value)
        folder = tmp_path / "models/eva-vit-g"
        assert not list(folder.iterdir())
        (folder / NAME).write_bytes(content)  # by a copy of the user's own
        (state,) = states(["eva-vit-g"], place)
        assert state.word == "damaged" and said in state.found.broken[0]
        (folder / NAME).unlink()


def test_weights_of_ctranslate2_are_no_damaged_ones_of_torch(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"\x06\x00\x00\x00\x0c\x00WhisperSpec\x00\x03\x00\x00\x00")
    assert structural_fault(file, "model.bin") == ""
