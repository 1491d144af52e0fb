"""The log of a run in Prefect: every tenth, every event, and never a flood."""

from __future__ import annotations

import logging

from merrflow.flow.run_log import AT_ONCE, LONGEST, SECONDS_A_LINE, RateLimit, Tenths


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_few_events_are_all_there_with_their_clips():
    lines = []
    limit = RateLimit(lambda level, line: lines.append(line), Clock())
    for number in range(AT_ONCE):
        limit.line("failed", logging.WARNING, f"clip c{number} failed")
    limit.close()
    assert lines == [f"clip c{number} failed" for number in range(AT_ONCE)]


def test_100000_clips_with_errors_in_ten_hours_do_not_flood_the_log_and_none_is_forgotten():
    clock, lines = Clock(), []
    limit = RateLimit(lambda level, line: lines.append(line), clock)
    clips, seconds = 100_000, 36_000.0
    for number in range(clips):
        clock.now = number * seconds / clips
        limit.line("failed", logging.WARNING, f"clip c{number} failed")
    limit.close()
    assert len(lines) <= AT_ONCE + seconds / SECONDS_A_LINE + 2
    held = sum(int(line.split("(and ")[1].split()[0]) for line in lines if "(and " in line)
    last = [int(line.split(": ")[1].split()[0]) for line in lines if line.startswith("failed: ")]
    assert held + sum(last) + len(lines) - len(last) == clips


def test_kinds_do_not_take_each_others_lines():
    lines = []
    limit = RateLimit(lambda level, line: lines.append(line), Clock())
    for _ in range(1000):
        limit.line("retry", logging.WARNING, "clip a: asked again")
    limit.line("replica lost", logging.WARNING, "llama3 is gone")
    assert lines[-1] == "llama3 is gone"


def test_what_a_service_says_stays_one_line_of_bounded_length():
    lines = []
    limit = RateLimit(lambda level, line: lines.append(line), Clock())
    limit.line("failed", logging.WARNING, "clip a: \x1b[2J" + "x\n" * 10_000)
    assert "\n" not in lines[0] and "\x1b" not in lines[0] and len(lines[0]) < LONGEST + 50


def test_each_tenth_is_one_line():
    class Log:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def info(self, text: str, *values: object) -> None:
            self.lines.append(text % values)

    log, clock = Log(), Clock()
    tenths = Tenths(log, 256, "256 clips", clock)
    for done in range(257):
        clock.now = done / 2
        tenths.at(done)
    assert len(log.lines) == 10
    assert log.lines[0] == "10 % of 256 clips: 26 done, 2.00 clips/s, about 115 s left"
    assert log.lines[-1] == "100 % of 256 clips: 256 done, 2.00 clips/s"
