"""Smoothing of a mesh over time."""

from __future__ import annotations

import numpy as np

from merrflow_openface_au.engines.mediapipe.smoothing import Smoother

MESH = np.random.default_rng(0).uniform(0, 200, (478, 3)).astype(np.float32)


def test_a_face_at_rest_is_smoothed_and_one_that_moves_is_followed() -> None:
    noise = np.random.default_rng(1).normal(0, 0.02, (30, 478, 3)).astype(np.float32)
    rest = Smoother()
    still = [rest.add(MESH + one, 0.04 * i) for i, one in enumerate(noise)]
    assert np.std([one - MESH for one in still[10:]]) < 0.7 * np.std(noise)
    moving = Smoother()
    for i in range(20):
        found = moving.add(MESH + np.float32(10 * i), 0.04 * i)
    assert np.abs(found - MESH - 190).max() < 2


def test_slow_and_fast_videos_are_smoothed_alike() -> None:
    """The filter goes by seconds, not by frames."""
    slow, fast = Smoother(), Smoother()
    for i in range(12):
        at_12 = slow.add(MESH + np.float32(i), i / 12)
    for i in range(56):
        at_60 = fast.add(MESH + np.float32(i / 5), i / 60)
    assert np.abs(at_12 - at_60).max() < 0.5


def test_a_lost_face_begins_anew() -> None:
    smoother = Smoother()
    smoother.add(MESH, 0)
    smoother.add(MESH, 0.04)
    smoother.forget()
    assert (smoother.add(MESH + 50, 0.08) == MESH + 50).all()
