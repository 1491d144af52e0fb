"""What each service has done of a shard, counted from what happens to its clips."""

from __future__ import annotations

from merrflow.flow.service_progress import Count, ServiceProgress
from merrflow.pipeline.stage_ended import Ending, StageEnded

STAGES = {"openface-au": ["action_units"], "qwen-audio": ["tone"], "llama3": ["score_all", "reasoning"]}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(clips: str = "abcd") -> tuple[ServiceProgress, Clock]:
    clock = Clock()
    found = ServiceProgress(STAGES, clips, clock)
    found.clip_begun(clips[0])
    return found, clock


def ended(clip: str, stage: str, ending: Ending = Ending.ANSWERED) -> StageEnded:
    service = next(name for name, stages in STAGES.items() if stage in stages)
    return StageEnded(clip, stage, service, ending, "")


def lines(found: ServiceProgress) -> list[str]:
    return [str(count) for count in found.counts()]


def test_a_clip_counts_for_a_service_once_all_its_stages_are_through():
    found, clock = progress()
    clock.now = 2.0
    found.stage_ended(ended("a", "action_units"))
    found.stage_ended(ended("a", "score_all"))
    assert lines(found) == [
        "openface-au 1 of 4, 0.5/s, errors 0",
        "qwen-audio 0 of 4, 0.0/s, errors 0",
        "llama3 0 of 4, 0.0/s, errors 0",
    ]
    found.stage_ended(ended("a", "reasoning"))
    assert lines(found)[2] == "llama3 1 of 4, 0.5/s, errors 0"


def test_a_clip_that_ends_without_a_service_is_taken_off_and_one_that_has_nothing_for_it_too():
    found, _ = progress()
    found.stage_ended(ended("a", "action_units"))
    found.clip_ended("a")  # skipped: nobody in it
    found.stage_ended(ended("b", "tone", Ending.NOT_NEEDED))
    found.stage_ended(ended("b", "score_all"))
    found.clip_ended("b")
    counts = {count.service: (count.done, count.of) for count in found.counts()}
    assert counts == {"openface-au": (1, 3), "qwen-audio": (0, 2), "llama3": (1, 3)}


def test_results_of_earlier_runs_count_but_not_for_the_rate():
    found, clock = progress()
    for clip in "ab":
        found.stage_ended(ended(clip, "action_units", Ending.KEPT))
    clock.now = 4.0
    found.stage_ended(ended("c", "action_units"))
    assert lines(found)[0] == "openface-au 3 of 4, 0.2/s, errors 0"


def test_to_wait_for_other_shards_makes_no_service_slow():
    clock = Clock()
    found = ServiceProgress(STAGES, "abcd", clock)
    clock.now = 60.0
    found.clip_begun("z")  # of the shard before
    clock.now = 90.0
    found.clip_begun("a")
    clock.now = 91.0
    found.clip_begun("b")
    clock.now = 92.0
    found.stage_ended(ended("a", "action_units"))
    assert lines(found)[0] == "openface-au 1 of 4, 0.5/s, errors 0"


def test_errors_are_clips_however_often_they_fail():
    found, _ = progress()
    for _ in range(3):  # a clip whose file was away is tried again
        found.stage_ended(ended("a", "tone", Ending.REFUSED))
    found.stage_ended(ended("b", "tone", Ending.FAILED))
    counts = {count.service: count for count in found.counts()}
    assert (counts["qwen-audio"].errors, counts["qwen-audio"].done) == (2, 2)


def test_clips_of_other_shards_are_not_counted():
    found, _ = progress("ab")
    found.stage_ended(ended("z", "action_units"))
    found.clip_ended("z")
    assert lines(found)[0] == "openface-au 0 of 2, 0.0/s, errors 0"


def test_a_slow_models_speed_is_by_the_minute():
    assert str(Count("llama3", 3, 9, 0.04, 0)) == "llama3 3 of 9, 2.4/min, errors 0"
    assert str(Count("llama3", 3, 9, 3.14, 1)) == "llama3 3 of 9, 3.1/s, errors 1"
    assert str(Count("llama3", 0, 9, 0.0, 0)) == "llama3 0 of 9, 0.0/s, errors 0"
