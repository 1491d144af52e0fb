"""Several services on one card: what each may take, and that no byte is counted twice. The card's memory is faked."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from merrflow_serving.errors import PASSING, NotReady
from merrflow_serving.machine import Memory
from merrflow_serving.torch.card import CONTEXT_BYTES, GIB, CardShare, Claim, Part, part_of
from merrflow_serving.torch.need import Need
from tests.services.cards import CARD_80_GB

# Rounded from the published shapes in 16 bits (docs/gpu-sharing.md).
MINIGPT = Claim("minigpt-v2", 17 * GIB, 20 * GIB, 17 * GIB)
QWEN = Claim("qwen-audio", 18 * GIB, 40 * GIB, 18 * GIB)
LLAMA = Claim("llama3", 16 * GIB, 35 * GIB, 16 * GIB)


def placed(claim: Claim, part: int, held: int) -> Claim:
    return Claim(claim.service, claim.least, part, part - held, waits=False)


def test_what_is_left_beyond_what_all_need_is_shared_by_what_each_could_use() -> None:
    parts = [
        part_of(one, [other for other in (MINIGPT, QWEN, LLAMA) if other is not one], CARD_80_GB)
        for one in (MINIGPT, QWEN, LLAMA)
    ]
    assert sum(parts) <= CARD_80_GB
    assert all(one.least < part < one.full for one, part in zip((MINIGPT, QWEN, LLAMA), parts, strict=True))


def test_whoever_is_alone_may_take_all() -> None:
    assert part_of(QWEN, [], CARD_80_GB) == CARD_80_GB


def test_who_fits_with_full_batches_leaves_the_others_theirs() -> None:
    part = part_of(MINIGPT, [QWEN], CARD_80_GB)
    assert part == CARD_80_GB - QWEN.full


def test_what_was_promised_and_not_yet_taken_is_not_free() -> None:
    other = placed(QWEN, 30 * GIB, 20 * GIB)  # 10 GiB of it are still free by the card's own account
    free = CARD_80_GB - 20 * GIB
    assert part_of(LLAMA, [other], free) == free - 10 * GIB


def test_a_card_that_is_full_is_refused_with_the_plan() -> None:
    with pytest.raises(NotReady) as caught:
        part_of(LLAMA, [placed(MINIGPT, 17 * GIB, 17 * GIB), QWEN], 5 * GIB)
    said = str(caught.value)
    assert "5.0 GiB of the card's memory are left for llama3, which needs 16.0 GiB at least" in said
    assert "(minigpt-v2 has up to 17.0 GiB; qwen-audio needs 18.0 GiB at least)" in said
    assert "--gpu-sharing sequential" in said and "\n" not in said
    assert caught.value.reason == "CARD_FULL" and "CARD_FULL" in PASSING, "what is on the card may end"


def test_if_not_all_fit_as_many_as_possible_do() -> None:
    """40 GiB: the first leaves room for the second, and the third is told."""
    room = 40 * GIB
    assert part_of(QWEN, [MINIGPT, LLAMA], room) == QWEN.least
    left = room - QWEN.least
    assert part_of(MINIGPT, [placed(QWEN, QWEN.least, QWEN.least), LLAMA], left) == MINIGPT.least
    with pytest.raises(NotReady, match="llama3"):
        part_of(LLAMA, [placed(QWEN, QWEN.least, QWEN.least), placed(MINIGPT, MINIGPT.least, MINIGPT.least)], 5 * GIB)


def test_a_device_that_nobody_shares_has_no_limit_but_its_own() -> None:
    part = Part.unlimited(lambda: Memory(2, 10, 2, 8))
    assert part.left() == 8 and not part.is_small()


SERVICE = """
import json, os, pathlib, sys, time
from merrflow_serving.machine import Memory
from merrflow_serving.torch.card import CONTEXT_BYTES, CardShare
from merrflow_serving.torch.need import Need

name, stop_at = sys.argv[1], sys.argv[5]
least, full, folder = int(sys.argv[2]), int(sys.argv[3]), pathlib.Path(sys.argv[4])
total = int((folder / "total").read_text())
mine = folder / f"{os.getpid()}.held"

def held(path):
    try:
        os.kill(int(path.stem), 0)
        return int(path.read_text() or 0)
    except (OSError, ValueError):
        return 0

def look():
    used = held(mine)
    others = sum(held(path) + CONTEXT_BYTES for path in folder.glob("*.held") if path != mine)
    return Memory(used, total, used, total - used - CONTEXT_BYTES - others)

mine.write_text("0")
share = CardShare(folder / "card", name, look)
share.claim(Need(least, full))
(folder / f"{name}.claimed").touch()
if stop_at == "claimed":
    time.sleep(60)
while len(list(folder.glob("*.claimed"))) < int(stop_at):
    time.sleep(0.01)
with share.turn() as part:
    weights = least - CONTEXT_BYTES
    mine.write_text(str(weights))
    time.sleep(0.2)  # gigabytes are read
    more = min(part.left(), full - least)
    assert look().free_bytes >= more, "out of memory"
    mine.write_text(str(weights + more))
print(json.dumps([name, weights + more + CONTEXT_BYTES]), flush=True)
sys.stdin.read()
"""


def start(folder: Path, claim: Claim, wait_for: str) -> subprocess.Popen[str]:
    words = (claim.service, str(claim.least), str(claim.full), str(folder), wait_for)
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_three_processes_that_load_at_once_fit_on_one_card(tmp_path: Path) -> None:
    (tmp_path / "total").write_text(str(CARD_80_GB))
    processes = [start(tmp_path, one, "3") for one in (MINIGPT, QWEN, LLAMA)]
    try:
        held = dict(json.loads(one.stdout.readline()) for one in processes)  # type: ignore[union-attr]
    finally:
        for one in processes:
            one.kill()
            one.wait()
    assert sum(held.values()) <= CARD_80_GB
    for claim in (MINIGPT, QWEN, LLAMA):
        assert claim.least < held[claim.service] <= claim.full


def test_the_claim_of_a_process_that_was_killed_counts_for_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, QWEN, "claimed") if (tmp_path / "total").write_text("1") else None
    assert process is not None
    while not (tmp_path / f"{QWEN.service}.claimed").exists():
        time.sleep(0.02)
    share = CardShare(tmp_path / "card", "llama3", lambda: Memory(0, CARD_80_GB, 0, CARD_80_GB - CONTEXT_BYTES))
    share.claim(Need(LLAMA.least, LLAMA.full))
    try:
        with share.turn() as part:
            assert part.bytes() == CARD_80_GB - QWEN.full
        process.send_signal(signal.SIGKILL)
        process.wait()
        share.claim(Need(LLAMA.least, LLAMA.full))
        with share.turn() as part:
            assert part.bytes() == CARD_80_GB
    finally:
        process.kill()
        process.wait()
        share.close()
    assert not list((tmp_path / "card").glob("*.claim"))


def test_a_folder_that_cannot_be_written_means_no_sharing_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    share = CardShare(tmp_path / "file" / "card", "llama3", lambda: Memory(0, 10 * GIB, 0, 9 * GIB))
    share.claim(Need(GIB, 2 * GIB))
    with share.turn() as part:
        assert part.left() == 9 * GIB
