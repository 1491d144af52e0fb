"""The part of a scene that is reasoned over."""

from __future__ import annotations

import pytest

from merrflow_llama3.prompt import load_prompt
from merrflow_llama3.scenes import people_in, scene_rules
from merrflow_llama3.types import Clues

CLOSE = "A person is shown in a close-up, centred, facing the camera."


@pytest.mark.parametrize(
    ("scene", "kept"),
    [
        (f"{CLOSE} The scene is dimly lit with cool colours; the camera is still.", CLOSE),
        (f"{CLOSE} The scene is brightly lit; the person hardly moves.", f"{CLOSE} The person hardly moves."),
        ("The picture is black.", "The picture is black."),  # nothing else is known
        ("", ""),
    ],
)
def test_camera_and_light_are_left_out(scene, kept):
    assert people_in(scene) == kept


def test_a_long_scene_is_cut_after_whole_parts():
    scene = " ".join(f"One person waves with hand {number}." for number in range(20))
    kept = people_in(scene)
    assert scene.startswith(kept) and kept.endswith(".")
    assert 24 <= len(kept.split()) <= scene_rules().longest


def test_who_of_several_people_is_meant_is_not_cut_off():
    scene = (
        "Two people are visible, one of them without a visible face; the one whose face is visible is shown in a "
        "medium shot, left of centre, facing the camera, eyes down, one hand visible. The person moves slightly."
    )
    assert people_in(scene) == scene.removesuffix(" The person moves slightly.")


def test_the_published_prompt_has_the_whole_scene():
    clues = Clues(scene=f"{CLOSE} The scene is dimly lit.")
    assert load_prompt("merr").prepare(clues).scene == clues.scene
    assert load_prompt("grounded").prepare(clues).scene == CLOSE
