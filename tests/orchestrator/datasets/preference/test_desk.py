"""Which pair a reviewer sees next, in which order, and what the page is not told; and the page's requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from merrflow.datasets.preference.answers import Answers, By
from merrflow.datasets.preference.app import compare_app
from merrflow.datasets.preference.desk import BETWEEN, CompareDesk
from merrflow.datasets.review.guard import Guard
from merrflow.store import Ledger
from merrflow_serving.credentials import Tokens
from tests.orchestrator.datasets.preference.runs import matched, numbered, run_with

HOST = "127.0.0.1:4211"
COUNT = 60


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("runs")
    a, b = top / "secret_old", top / "secret_new"
    run_with(a, numbered("A wrote", COUNT))
    run_with(b, numbered("B wrote", COUNT) | {"clip_00": "A wrote 0"})
    return a, b


@pytest.fixture
def made(folders, tmp_path: Path):
    import shutil

    a, b = folders[0], tmp_path / "secret_new"
    shutil.copytree(folders[1], b)
    matching, ledger = matched(a, b)
    first = Ledger.in_folder(a)

    def make(seed: int = 0, again: float = 0.0) -> CompareDesk:
        return CompareDesk((first, ledger), matching, matching.pairs, seed, again)

    yield make, ledger, matching
    first.close()
    ledger.close()


def client(desk: CompareDesk) -> TestClient:
    return TestClient(
        Guard(compare_app(desk), (HOST,), Tokens(()), False),
        base_url=f"http://{HOST}",
        headers={"Origin": f"http://{HOST}"},
    )


def answer(page: TestClient, shown: dict, who: str = "ann", place: str = "first", key: str = "key-000001"):
    body = {"key": key, "reviewer": who, "left": shown["left"]["digest"], "right": shown["right"]["digest"]}
    return page.post(f"/api/pairs/{shown['id']}/answer", json=body | {"place": place})


def left_is_a(shown: dict) -> bool:
    return shown["left"]["text"].startswith("A")


def test_left_and_right_are_drawn_for_each_clip_and_reviewer(made) -> None:
    make, _, _ = made
    ann, ben = (make().queue(who, COUNT)["next"] for who in ("ann", "ben"))
    assert len(ann) == COUNT - 1  # the one with the same text is not asked about
    assert 15 < sum(map(left_is_a, ann)) < 45
    sides = {one["id"]: left_is_a(one) for one in ann}
    assert 10 < sum(sides[one["id"]] != left_is_a(one) for one in ben) < 50
    assert [one["id"] for one in ann] != [one["id"] for one in ben]
    assert make().queue("ann", COUNT)["next"] == ann
    assert make(seed=1).queue("ann", COUNT)["next"] != ann


def test_a_share_is_shown_again_the_other_way_round_and_later(made) -> None:
    make, _, _ = made
    found = make(again=0.3).queue("ann", 500)
    shown = found["next"]
    places: dict[str, list[int]] = {}
    for number, one in enumerate(shown):
        places.setdefault(one["id"], []).append(number)
    twice = [where for where in places.values() if len(where) == 2]
    assert 8 < len(twice) < 30
    assert found["total"] == len(shown) == COUNT - 1 + len(twice)
    for first, second in twice:
        assert shown[first]["left"] == shown[second]["right"]
        assert second - first > BETWEEN or second >= COUNT - 2
    assert len(make(again=1).queue("ann", 500)["next"]) == 2 * (COUNT - 1)


def test_nothing_that_the_page_gets_says_which_run_it_is(made) -> None:
    make, _, _ = made
    page = client(make())
    everything = page.get("/").text + page.get("/api/about").text
    everything += page.get("/api/queue", params={"reviewer": "ann"}).text
    assert "secret" not in everything
    shown = page.get("/api/queue", params={"reviewer": "ann"}).json()["next"][0]
    assert set(shown) == {"id", "name", "left", "right"}
    assert set(shown["left"]) == {"text", "digest"}


def test_an_answer_is_in_the_ledger_when_the_reply_comes_and_once(made) -> None:
    make, ledger, matching = made
    page = client(make())
    shown = page.get("/api/queue", params={"reviewer": "ann"}).json()["next"][0]
    first, again = answer(page, shown), answer(page, shown)
    assert first.status_code == 200 and first.json() == again.json()
    (one,) = Answers(ledger, matching.pairs).all()
    assert (one.by, one.judge, one.choice == "a") == (By.PEOPLE, "ann", left_is_a(shown))
    after = page.get("/api/queue", params={"reviewer": "ann"}).json()
    assert (after["done"], after["last"]) == (1, shown)
    assert shown["id"] not in [one["id"] for one in after["next"]]
    assert page.get("/api/queue", params={"reviewer": "ben"}).json()["done"] == 0


def test_an_answer_counts_for_the_texts_as_they_were_shown_whatever_the_seed_is_by_then(made) -> None:
    make, ledger, matching = made
    shown = make().queue("ann", 50)["next"]
    page = client(make(seed=7, again=1.0))  # the server was started anew with another seed
    for number, one in enumerate(shown):
        assert (
            answer(page, one, key=f"key-{number:06}", place="first" if left_is_a(one) else "second").status_code == 200
        )
    assert {one.choice for one in Answers(ledger, matching.pairs).all()} == {"a"}
    again = {one["id"]: one for one in page.get("/api/queue", params={"reviewer": "ann", "limit": 50}).json()["next"]}
    assert all(again[one["id"]]["left"] == one["right"] for one in shown if one["id"] in again)


def test_undo(made) -> None:
    make, ledger, matching = made
    page = client(make())
    shown = page.get("/api/queue", params={"reviewer": "ann"}).json()["next"][0]
    body = {"key": "undo-0001", "reviewer": "ann", "left": shown["left"]["digest"], "right": shown["right"]["digest"]}
    assert page.post(f"/api/pairs/{shown['id']}/undo", json=body).status_code == 409
    answer(page, shown)
    assert page.post(f"/api/pairs/{shown['id']}/undo", json=body).status_code == 200
    assert Answers(ledger, matching.pairs).all() == []
    assert page.get("/api/queue", params={"reviewer": "ann"}).json()["next"][0] == shown


@pytest.mark.parametrize(
    ("path", "change", "status"),
    [
        ("0" * 16, {}, 404),
        ("../../etc", {}, 404),
        (None, {"left": "0" * 16}, 404),  # another text by now
        (None, {"place": "a"}, 422),
        (None, {"place": None}, 422),
        (None, {"reviewer": " "}, 422),
        (None, {"reviewer": "a\u202eb"}, 422),
        (None, {"extra": 1}, 422),
        (None, {"key": "short"}, 422),
        (None, {"left": "x" * 100_000}, 422),
    ],
)
def test_bad_answers_are_refused_and_nothing_is_kept(made, path, change, status) -> None:
    make, ledger, _ = made
    page = client(make())
    shown = page.get("/api/queue", params={"reviewer": "ann"}).json()["next"][0]
    body = {"key": "key-000001", "reviewer": "ann", "left": shown["left"]["digest"], "right": shown["right"]["digest"]}
    reply = page.post(f"/api/pairs/{path or shown['id']}/answer", json=body | {"place": "first"} | change)
    assert reply.status_code == status
    assert ledger.verdicts() == []


def test_the_film_comes_from_b_or_from_a_or_is_said_to_be_gone(made, folders) -> None:
    make, _, matching = made
    pair = matching.pairs[1]
    page = client(make())
    assert page.get(f"/pairs/{pair.id}/video").content == b"clip_01"
    film_b = next(iter(make().films(pair.id)))
    film_b.unlink()
    try:
        assert page.get(f"/pairs/{pair.id}/video").content == b"clip_01"  # of A
        (folders[0] / "clips/clip_01.mp4").rename(folders[0] / "away")
        assert page.get(f"/pairs/{pair.id}/video").json() == {"detail": "the clip's file is gone"}
        shown = next(one for one in make().queue("ann", 500)["next"] if one["id"] == pair.id)
        assert answer(page, shown).status_code == 200  # the texts can be compared without it
    finally:
        (folders[0] / "away").rename(folders[0] / "clips/clip_01.mp4")
        film_b.write_bytes(b"clip_01")
    assert page.get("/pairs/" + "0" * 16 + "/video").status_code == 404
    assert page.get(f"/pairs/{pair.id}/picture").status_code == 404


def test_two_servers_on_one_folder_go_on_with_each_others_answers(made) -> None:
    make, _, _ = made
    one, other = client(make()), client(make())
    shown = other.get("/api/queue", params={"reviewer": "ann"}).json()["next"][0]
    answer(one, shown)
    assert other.get("/api/queue", params={"reviewer": "ann"}).json()["done"] == 1


def test_texts_of_models_reach_the_page_as_data(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    a, b = run_with(tmp_path / "a", {"x": evil}), run_with(tmp_path / "b", {"x": "B"})
    matching, ledger = matched(a, b)
    page = client(CompareDesk((ledger, ledger), matching, matching.pairs, 0, 0))
    found = page.get("/api/queue", params={"reviewer": "ann"})
    assert found.headers["content-type"] == "application/json"
    assert evil in json.dumps(found.json())
    assert evil not in page.get("/").text
    ledger.close()
