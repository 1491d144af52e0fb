"""report.html: what it shows, that it fetches nothing, and that no text in it becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from merrflow.core.measurements import ShownFrame
from merrflow.core.records import Outcome
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Claim, Origin
from merrflow.datasets.report import write_report
from merrflow.datasets.report.survey import MAX_CARDS, draw
from tests.orchestrator.datasets.report.runs import Page, many, read, record, run

EVIL = """</title></script><script>alert(1)</script><img src=x onerror="alert('2')">' " & <b>"""


def test_a_record_is_shown_with_all_its_clues(tmp_path: Path) -> None:
    page = read(write_report(run(tmp_path, [record("first")]), tmp_path))
    for text in (
        "The smile and the bright voice tell of joy.",
        "One person in a close-up.",
        "A bright voice.",
        "pitch mean 212 Hz",
        "What a day",
        "from: table",
        "happy: AU12 of AU06 AU12",
        "rule set: default 2",
        "AU12 Lip corner puller, 3.0 of 5",
        "Also present at the peak: AU06 Cheek raiser 1.5 .",
        "a proxy, not OpenFace",
        "sha256:0a1b2c3d ",
        "peak: frame 20, 0.80 s",
        "intensity (0–5)",
        "time (s)",
        "Mean computing time a record: probe 0.50 s; action units 1.20 s.",
        "probe 0.50 s · action units 1.50 s each with its wait for a turn",
    ):
        assert text in page.text, text
    assert "0a1b2c3d0a1b2c3d" not in page.text


def test_the_tones_key_measurements_stand_with_it_and_the_others_in_the_details(tmp_path: Path) -> None:
    first = record("first")
    measurements = {"jitter_local": (0.03, "1"), "loudness": (-30.64, "dBFS"), "pitch_mean": (217.9, "Hz")}
    first = replace(first, tone=replace(first.tone, measurements=measurements))
    page = read(write_report(run(tmp_path, [first]), tmp_path))
    assert "speech · pitch mean 218 Hz · loudness -30.6 dBFS" in page.text
    assert "Tone, more jitter local 0.03" in page.text


def test_what_the_model_makes_of_the_clues_and_a_tone_that_was_measured_otherwise(tmp_path: Path) -> None:
    first = record("first")
    shares = {"sad": 0.05, "neutral": 0.12, "doubt": 0.21, "happy": 0.62}
    scorer = replace(first.origins["action_units"], model="a-scorer")
    first = replace(
        first,
        origins=dict(first.origins) | {"score_all": scorer},
        distribution={"all": shares, "voice": shares},
        grounding=(
            Claim("bright", "high pitch", "contradicted", "pitch_median 98 Hz"),
            Claim("calm", "calm", "supported", "arousal -2"),
        ),
    )
    page = read(write_report(run(tmp_path, [first]), tmp_path))
    assert "Given all clues, a-scorer finds likely: happy 62 %, doubt 21 %, neutral 12 %" in page.text
    assert "Given the voice alone, the model finds likely: happy 62 %" in page.text
    assert "“bright” is not what was measured: pitch_median 98 Hz" in page.text
    assert "arousal -2" not in page.text


def test_files_of_action_units_are_one_writer(tmp_path: Path) -> None:
    def read_from(name: str) -> Origin:
        return Origin("openface-csv", "OpenFace 2", "", "", f"read from {name}.csv", 0.0, 0.0)

    runs = [replace(record(name), origins={"action_units": read_from(name)}) for name in ("a", "b", "c")]
    page = read(write_report(run(tmp_path, runs), tmp_path))
    assert "action units openface-csv · OpenFace 2 3 Mean computing time a record: probe 0.50 s" in page.text
    assert "read from b.csv" in page.text, "it stands with its clip"


def test_nothing_is_fetched(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("first"), record("second")], [("third", Outcome.FAILED, "not a video")])
    path = write_report(ledger, tmp_path)
    page = read(path)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href", "background"):
            value = attributes.get(name, "")
            assert not value or value.startswith(("data:", "#")), (tag, name, value)
        assert "style" not in attributes, "the policy blocks style attributes"
        assert not any(name.startswith("on") for name in attributes)
    assert not {"iframe", "object", "embed", "base", "audio", "video"} & {tag for tag, _ in page.elements}
    assert "url(" not in page.styles[0] and "@import" not in page.styles[0]
    assert not re.search(
        r"fetch|XMLHttpRequest|import\(|WebSocket|innerHTML|insertAdjacent|document\.write", page.scripts[0]
    )
    assert "http:" not in path.read_text() and "https:" not in path.read_text()


def test_the_policy_allows_only_the_pages_own_script_and_style(tmp_path: Path) -> None:
    page = read(write_report(run(tmp_path, [record("first")]), tmp_path))
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    for kind, content in (("script-src", page.scripts), ("style-src", page.styles)):
        (text,) = content
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"


def test_untrusted_text_stays_text(tmp_path: Path) -> None:
    first = record("first")
    evil = replace(
        first,
        name='it\'s_“我”_"x"',
        path="/data/<i>.mp4",
        subtitle=Subtitle(EVIL, "picture", '"><script>', EVIL),
        coarse=EVIL,
        label=replace(first.label, label='"><u>', reason=EVIL, expressions=(EVIL,)),
        scene=replace(first.scene, text=EVIL, measurements={"<s>": (1.0, "<s>")}, on_screen_text=(EVIL,)),
        tone=replace(first.tone, text=EVIL, content="<u>"),
        reasoning=replace(first.reasoning, text=EVIL),
        origins={"<s>": replace(first.origins["action_units"], engine=EVIL, note=EVIL, revision=EVIL)},
        seconds={"<s>": 1.0},
        missing={"<s>": EVIL},
        curves=replace(first.curves, intensity={'"><s>': first.curves.intensity["AU12"]}),
    )
    ledger = run(tmp_path / EVIL.replace("/", "-"), [evil], [("dropped'\"", Outcome.FAILED, EVIL)])
    page = read(write_report(ledger, tmp_path / EVIL.replace("/", "-")))
    assert len(page.scripts) == 1 and len(page.all("script")) == 1
    assert len(page.all("img")) == 1 and not page.all("u") and not page.all("i") and not page.all("s")
    assert page.text.count(" ".join(EVIL.split())) >= 10
    (card,) = page.all("article")
    assert card["data-label"] == '"><u>'
    (image,) = page.all("img")
    assert image["alt"] == 'Peak frame of it\'s_“我”_"x"'


def test_a_crowded_page_escapes_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("merrflow.datasets.report.survey.MAX_CARDS", 1)
    bad = [replace(r, subtitle=Subtitle(EVIL, "table", "en", ""), coarse=EVIL) for r in many(3)]
    page = read(write_report(run(tmp_path, bad), tmp_path))
    assert len(page.all("script")) == 1 and len(page.all("article")) == 1
    assert page.text.count(" ".join(EVIL.split())) == 2 + 2  # two rows' subtitles; the card's subtitle and coarse text


def test_counts_and_filters_agree(tmp_path: Path) -> None:
    records = many(7)  # happy 3, sad 2, neutral 2
    dropped = [
        ("a", Outcome.SKIPPED, "nobody is in view"),
        ("b", Outcome.FAILED, "not a video"),
        ("c", None, ""),
    ]
    page = read(write_report(run(tmp_path, records, dropped), tmp_path))
    assert "10 clips: 7 with a record, 7 of them with a fine-grained text; 3 without a record." in page.text
    assert Counter(item["data-outcome"] for item in page.items) == {
        "done": 7,
        "skipped": 1,
        "failed": 1,
        "unfinished": 1,
    }
    assert Counter(item["data-label"] for item in page.items) == {"happy": 3, "sad": 2, "neutral": 2, "": 3}
    for kind in ("outcome", "label"):
        values = [button["data-value"] for button in page.all("button", data_filter=kind)]
        assert set(values) == {item[f"data-{kind}"] for item in page.items} - {""}
    assert [b["data-value"] for b in page.all("button", data_filter="label")] == ["happy", "neutral", "sad"]
    widths = [float(rect["width"]) for rect in page.all("rect") if rect["class"] == "bar-full"]
    assert widths == [100.0, 14.3, 14.3, 14.3, 100.0, 66.7, 66.7]
    assert all("disabled" in button for button in page.all("button") if "data-filter" in button)
    for text in (
        "nobody is in view",
        "not a video",
        "the run was stopped before this clip was finished",
        "tries again",
    ):
        assert text in page.text


def test_what_is_missing_is_said_with_its_reason(tmp_path: Path) -> None:
    bare = record(
        "first",
        tone=None,
        scene=None,
        reasoning=None,
        subtitle=Subtitle(None, "none", "", "nobody speaks"),
        missing={
            "tone": "the file has no sound track",
            "scene": "the frame is black",
            "reasoning": "cut at 256 tokens",
        },
    )
    ledger = run(tmp_path, [bare], outcome=Outcome.TRUNCATED, reason="cut at 256 tokens")
    (tmp_path / "peaks" / "first.jpg").unlink()
    page = read(write_report(ledger, tmp_path))
    for text in (
        "No fine-grained text: cut at 256 tokens",
        "None: the file has no sound track",
        "None: the frame is black",
        "None: nobody speaks",
        "The peak frame’s picture is not there: peaks/first.jpg",
        "0 of them with a fine-grained text",
    ):
        assert text in page.text, text
    assert not page.all("img")


def test_a_refusal_is_not_shown_as_the_fine_text(tmp_path: Path) -> None:
    text = "I cannot help with that."
    refused = record("first", missing={"reasoning": "the model declined"})
    refused = replace(refused, reasoning=replace(refused.reasoning, text=text))
    ledger = run(tmp_path, [refused], outcome=Outcome.REFUSED, reason="the model declined")
    page = read(write_report(ledger, tmp_path))
    assert "No fine-grained text: the model declined" in page.text
    assert f"what is not used: {text}" in page.text
    assert page.items[0]["data-outcome"] == "refused"


def test_the_picture_is_a_small_jpeg_of_the_peak_frame(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("first")], size=(1920, 1080))
    (image,) = read(write_report(ledger, tmp_path)).all("img")
    assert (image["width"], image["height"]) == ("480", "270")
    jpeg = np.frombuffer(base64.b64decode(image["src"].removeprefix("data:image/jpeg;base64,")), np.uint8)
    small = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    whole = cv2.imread(str(tmp_path / "peaks" / "first.jpg"))
    expected = cv2.resize(whole, (480, 270), interpolation=cv2.INTER_AREA)
    assert small.shape == (270, 480, 3)
    assert np.abs(small.astype(int) - expected).mean() < 4


def test_a_picture_of_another_frame_says_so_and_has_its_box(tmp_path: Path) -> None:
    other = ShownFrame(27, 1.08, (11.0, 12.0, 13.0, 14.0), "0.28 s after the peak the subject looks 0.90 from neutral")
    page = read(write_report(run(tmp_path, [replace(record("first"), shown=other)]), tmp_path))
    assert "Peak frame 20" in page.text and "Picture: frame 27, 1.08 s" in page.text and other.reason in page.text
    assert page.all("img")[0]["alt"] == "Frame near the peak of first"
    assert ("11.0", "13.0") in [(box.get("x"), box.get("width")) for box in page.all("rect")]


def test_a_run_that_only_failed(tmp_path: Path) -> None:
    page = read(write_report(run(tmp_path, [], [("a", Outcome.FAILED, "the file is empty")]), tmp_path))
    assert "1 clip: 0 with a record" in page.text and "the file is empty" in page.text
    assert "No clip has a record" in page.text
    assert not page.all("article") and page.items[0]["data-outcome"] == "failed"


def test_a_run_without_clips(tmp_path: Path) -> None:
    page = read(write_report(run(tmp_path), tmp_path))
    assert "This run has no clips yet." in page.text
    assert not page.items


def test_two_thousand_clips(tmp_path: Path) -> None:
    records = many(2000, ("happy", "sad", "neutral", "happy", "happy", "happy"))
    records[17] = replace(records[17], label=replace(records[17].label, label="contempt"))
    ledger = run(tmp_path, records)
    cpu = time.process_time()
    path = write_report(ledger, tmp_path)
    assert time.process_time() - cpu < 10.0  # of the processor, because the machine may be shared
    assert path.stat().st_size < 15_000_000
    page = read(path)
    cards = page.all("article")
    assert len(cards) == MAX_CARDS and len(page.items) == 2000
    assert f"{MAX_CARDS} of 2,000 records are shown in full" in page.text
    # drawn evenly: the one rare label has its card, the three others about a third each
    labels = Counter(card["data-label"] for card in cards)
    assert labels["contempt"] == 1 and min(labels["happy"], labels["sad"], labels["neutral"]) >= 99
    assert max(int(image["width"]) for image in page.all("img")) == 320


def test_the_page_stays_bounded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("merrflow.datasets.report.survey.MAX_CARDS", 3)
    monkeypatch.setattr("merrflow.datasets.report.survey.MAX_ROWS", 5)
    monkeypatch.setattr("merrflow.datasets.report.build.MAX_ROWS", 5)
    dropped = [(f"bad_{i}", Outcome.SKIPPED, "no face") for i in range(9)]
    page = read(write_report(run(tmp_path, many(20), dropped), tmp_path))
    assert len(page.items) == 3 + 5 + 5
    assert "The first 5 by name; 12 more are in records.jsonl." in page.text
    assert "The first 5 by name of 9; all are in dropped.jsonl." in page.text
    assert "29 clips: 20 with a record" in page.text


def test_drawing_does_not_depend_on_order() -> None:
    names = [f"clip_{i}" for i in range(50)]
    once = draw({"a": names, "b": ["rare"]}, 10)
    assert once == draw({"b": ["rare"], "a": names[::-1]}, 10)
    assert len(once) == 10 and "rare" in once
    assert draw({"a": names, "b": ["rare"]}, 100) == {*names, "rare"}


def test_the_old_report_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch) -> None:
    ledger = run(tmp_path, [record("first")])
    path = write_report(ledger, tmp_path)
    before = path.read_bytes()
    write_report(ledger, tmp_path)
    assert path.read_bytes() == before  # the same run, the same bytes

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("merrflow.datasets.report.build.card", broken)
    try:
        write_report(ledger, tmp_path)
    except OSError:
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.glob(".report*")] == []
    else:
        raise AssertionError("the fault was swallowed")


def test_every_control_has_a_name_and_every_reference_a_target(tmp_path: Path) -> None:
    page: Page = read(write_report(run(tmp_path, many(3)), tmp_path))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "for"):
            if name in attributes:
                assert attributes[name] in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    assert all(image["alt"] for image in page.all("img"))
