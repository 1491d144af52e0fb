"""The review server without a browser: who may ask, what is hidden, what is refused, and films of any size."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from merrflow.core import records
from merrflow.core.errors import InputError
from merrflow.core.records import Outcome
from merrflow.datasets.entries import RECORDS
from merrflow.datasets.review.app import review_app
from merrflow.datasets.review.audit import draw
from merrflow.datasets.review.desk import Desk
from merrflow.datasets.review.guard import Guard
from merrflow.datasets.review.index import item_id, read_items
from merrflow.datasets.review.server import Listen, serve
from merrflow.datasets.review.verdicts import Kind
from merrflow_serving.credentials import Tokens
from tests.orchestrator.datasets.review.runs import reviewable, say

HOST = "127.0.0.1:4210"
TOKEN = "0123456789abcdef0123"
FIRST = item_id("clip_000")


@pytest.fixture
def ledger(tmp_path: Path):
    ledger = reviewable(tmp_path, ("happy", "sad", "angry"))
    yield ledger
    ledger.close()


def client(desk: Desk, tokens: tuple[str, ...] = (), base: str = f"http://{HOST}") -> TestClient:
    app = Guard(review_app(desk), () if tokens else (HOST,), Tokens(tokens), base.startswith("https"))
    return TestClient(app, base_url=base, headers={"Origin": base})


@pytest.fixture
def page(ledger, tmp_path: Path) -> TestClient:
    return client(Desk(ledger, tmp_path))


def body(page: TestClient, clip: str = FIRST, key: str = "key-00001", **said) -> dict:
    sha256 = page.get(f"/api/clips/{clip}", params={"reviewer": "ann"}).json()["sha256"]
    return {"key": key, "reviewer": "ann", "kind": "keep", "sha256": sha256, "said": {"label": "happy"} | said}


def rows(page: TestClient, **values) -> list[str]:
    found = page.get("/api/clips", params={"reviewer": "ann"} | values).json()
    assert found["total"] >= len(found["rows"])
    return [row["name"] for row in found["rows"]]


def test_the_most_doubtful_first_and_filters(page, ledger) -> None:
    assert rows(page) == ["clip_002", "clip_001", "clip_000"]
    assert rows(page, sort="name", offset=1, limit=1) == ["clip_001"]
    assert rows(page, label="sad") == ["clip_001"]
    assert rows(page, standing="contradicted") == rows(page, disagree=True) == ["clip_002"]
    assert rows(page, outcome="failed") == []
    assert rows(page, text="_001") == ["clip_001"]
    say(ledger, "clip_001", label="sad")
    say(ledger, "clip_001", "ben", Kind.REJECT)
    assert rows(page, mine="said") == rows(page, people="differ") == rows(page, people="rejected") == ["clip_001"]
    assert rows(page, mine="open") == ["clip_002", "clip_000"]


def test_a_second_engine_that_does_not_agree_counts_as_disagreement(ledger, tmp_path: Path) -> None:
    for name, agreement in (("clip_000", {"entailment_rules": 0.2}), ("clip_001", {})):
        row = ledger.record(name)
        said = records.Testimony("qwen-audio.b", "b", "b-1", None, {"text": "Calm."}, Outcome.DONE, agreement=agreement)
        changed = replace(RECORDS.validate_json(row.payload), witnesses={"tone": (said,)})
        ledger.finish_clip(name, "second", replace(row, payload=RECORDS.dump_json(changed)))
    assert rows(client(Desk(ledger, tmp_path)), disagree=True) == ["clip_002", "clip_000"]


def test_rows_do_not_move_under_who_scrolls(page, ledger) -> None:
    first = page.get("/api/clips", params={"reviewer": "ann", "mine": "open", "limit": 1}).json()
    say(ledger, "clip_002", label="angry")
    assert rows(page, mine="open", offset=1, as_of=first["as_of"]) == ["clip_001", "clip_000"]
    assert rows(page, mine="open") == ["clip_001", "clip_000"]


def test_a_verdict_is_in_the_ledger_when_the_answer_comes_and_once(page, ledger) -> None:
    sent = body(page)
    first = page.post(f"/api/clips/{FIRST}/verdict", json=sent)
    assert first.status_code == 200
    assert [row.id for row in ledger.verdicts()] == [first.json()["row"]]
    assert page.post(f"/api/clips/{FIRST}/verdict", json=sent).json() == first.json()
    undo = {"key": "key-00002", "reviewer": "ann"}
    assert page.post(f"/api/clips/{FIRST}/undo", json=undo).status_code == 200
    assert page.post(f"/api/clips/{FIRST}/undo", json=undo).status_code == 200  # sent again after a break
    assert page.post(f"/api/clips/{FIRST}/undo", json=undo | {"key": "key-00003"}).status_code == 409
    assert len(ledger.verdicts()) == 2


def test_blind_until_one_has_said_ones_own(page, ledger) -> None:
    asked = {"reviewer": "ann", "blind": True}
    say(ledger, "clip_000", "ben", label="fear")
    covered = page.get(f"/api/clips/{FIRST}", params=asked).json()
    assert covered["covered"]
    assert not {"label", "standing", "votes", "fine", "coarse", "views", "reason", "scene"} & set(covered)
    assert covered["others"] == []
    row = page.get("/api/clips", params=asked | {"label": "happy"}).json()
    assert row["total"] == 3  # the filter would give it away
    assert "label" not in row["rows"][0]
    page.post(f"/api/clips/{FIRST}/verdict", json=body(page, label="sad", blind=True))
    shown = page.get(f"/api/clips/{FIRST}", params=asked).json()
    assert (shown["label"], shown["mine"]["label"], shown["others"][0]["reviewer"]) == ("happy", "sad", "ben")
    found = page.get("/api/progress", params={"reviewer": "ann"}).json()
    assert (found["mine"], found["clips"], found["several"], found["blind"]["same"]) == (1, 1, 1, 0)


def test_an_audit_is_blind_whatever_is_asked_and_shows_its_clips_alone(ledger, tmp_path: Path) -> None:
    audit = draw(list(read_items(ledger).values())[:2], 2, 0)
    page = client(Desk(ledger, tmp_path, audit))
    assert sorted(rows(page, sort="name")) == ["clip_000", "clip_001"]
    assert page.get(f"/api/clips/{FIRST}", params={"reviewer": "ann"}).json()["covered"]
    assert page.get(f"/api/clips/{item_id('clip_002')}", params={"reviewer": "ann"}).status_code == 404
    page.post(f"/api/clips/{FIRST}/verdict", json=body(page))
    assert [row.audit for row in ledger.verdicts()] == [audit.id]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"said": {"label": "gleeful"}}, 422, "is not a label"),
        ({"said": {"label": "happy", "peak": 50}}, 422, "has no frame 50; its last is 49"),
        ({"said": {"label": "happy", "peak": -1}}, 422, "peak"),
        ({"said": {"label": "happy", "path": "/etc/passwd"}}, 422, "path"),
        ({"said": {"label": "happy", "text": "x" * 10_001}}, 422, "text"),
        ({"reviewer": "a\nb"}, 422, "printable"),
        ({"reviewer": " "}, 422, "reviewer"),
        ({"kind": "undo"}, 422, "kind"),
        ({"key": "short"}, 422, "key"),
        ({"sha256": "0" * 64}, 409, "the clip is gone, or its file was replaced"),
    ],
)
def test_verdicts_that_make_no_sense_are_refused(page, ledger, change, status, words) -> None:
    answer = page.post(f"/api/clips/{FIRST}/verdict", json=body(page) | change)
    assert answer.status_code == status
    assert words in answer.text
    assert ledger.verdicts() == []


@pytest.mark.parametrize("clip", ["..%2F..%2Fetc%2Fpasswd", "clip_000", "0" * 16, "%00", "0" * 15 + "g"])
@pytest.mark.parametrize(
    "what", ["/clips/{}/video", "/clips/{}/picture", "/clips/{}/sound", "/api/clips/{}?reviewer=a"]
)
def test_only_ids_of_the_list_name_anything(page, clip, what) -> None:
    assert page.get(what.format(clip)).status_code in (404, 422)


def test_other_sites_can_neither_ask_nor_embed_nor_rebind(page, ledger) -> None:
    sent = body(page)
    for headers, status in (
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost:1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ):
        assert page.post(f"/api/clips/{FIRST}/verdict", json=sent, headers=headers).status_code == status
    assert page.get(f"/clips/{FIRST}/video", headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
    answer = page.get("/")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert page.post(f"/api/clips/{FIRST}/undo", content=iter([b"{}"])).status_code == 413  # no length
    assert page.post(f"/api/clips/{FIRST}/undo", content=b" " * 300_000).status_code == 413
    assert ledger.verdicts() == []


def test_with_a_token_nobody_gets_in_without_it(ledger, tmp_path: Path) -> None:
    page = client(Desk(ledger, tmp_path), (TOKEN,), "https://dataset.example:8443")
    for path in (
        "/",
        "/static/page.js",
        "/api/about",
        f"/clips/{FIRST}/video",
        "/?token=wrong",
        f"/api/about?token={TOKEN}",
    ):
        assert page.get(path, follow_redirects=False).status_code == 401, path
    assert page.get("/api/about", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    answer = page.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert {"httponly", "secure", "samesite=strict"} <= set(answer.headers["set-cookie"].lower().split("; "))
    assert page.get("/api/about").status_code == 200  # by the cookie


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        (Listen("0.0.0.0"), "give --tls-cert, --tls-key and --token-file too"),
        (Listen("::"), "give --tls-cert"),
        (Listen(tls_cert=Path(__file__)), "give both or neither"),
        (Listen(tls_cert=Path("no.pem"), tls_key=Path("no.pem")), "no.pem: there is no such file"),
        (Listen("no.such.host.invalid", token_file=None), "other machines could see"),
    ],
)
def test_it_does_not_listen_where_strangers_could_come_in(ledger, tmp_path: Path, listen, words) -> None:
    with pytest.raises(InputError, match=words):
        serve(Desk(ledger, tmp_path), listen, print)


def test_a_port_that_is_taken_is_named(ledger, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="is another merrflow review running"):
            serve(Desk(ledger, tmp_path), Listen(port=taken.getsockname()[1]), print)


def test_two_servers_on_one_folder_see_each_others_verdicts(ledger, tmp_path: Path) -> None:
    one, other = client(Desk(ledger, tmp_path)), client(Desk(ledger, tmp_path))
    assert rows(other, mine="said") == []
    one.post(f"/api/clips/{FIRST}/verdict", json=body(one))
    assert rows(other, mine="said") == ["clip_000"]


def test_a_film_of_10_gb_is_sent_in_pieces(page, ledger, tmp_path: Path) -> None:
    size = 10 << 30
    os.truncate(tmp_path / "clips/clip_000.mp4", size)  # sparse: takes no room
    tracemalloc.start()
    answer = page.get(f"/clips/{FIRST}/video", headers={"Range": f"bytes={size - 1000}-"})
    middle = page.get(f"/clips/{FIRST}/video", headers={"Range": "bytes=5000000000-5000999999"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (answer.status_code, len(answer.content), len(middle.content)) == (206, 1000, 1_000_000)
    assert answer.headers["content-range"] == f"bytes {size - 1000}-{size - 1}/{size}"
    assert peak < 50_000_000
    assert page.get(f"/clips/{FIRST}/video", headers={"Range": f"bytes={size}-"}).status_code == 416
    assert page.get(f"/clips/{FIRST}/sound").status_code == 404  # that it cannot be read is said, in time


def test_a_clip_whose_file_is_gone_or_no_file_is_said_to_be_so(page, tmp_path: Path) -> None:
    path = tmp_path / "clips/clip_000.mp4"
    path.unlink()
    assert page.get(f"/clips/{FIRST}/video").json() == {"detail": "the clip's file is gone"}
    os.mkfifo(path)  # would never end
    assert page.get(f"/clips/{FIRST}/video").status_code == 404


def test_the_sound_of_a_clip_is_drawn_with_its_pitch(tmp_path: Path) -> None:
    ledger = reviewable(tmp_path, ("happy",), video=True)
    found = client(Desk(ledger, tmp_path)).get(f"/clips/{FIRST}/sound").json()
    ledger.close()
    assert found["png"].startswith("data:image/png;base64,")
    assert 3.0 < found["seconds"] < 4.0
    assert all(70 <= hertz <= 500 for _, hertz in found["pitch"])
    assert len(found["pitch"]) > 20
