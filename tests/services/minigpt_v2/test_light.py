"""Light and colour against pictures whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_minigpt_v2.engines.measured.light import active_area, measure_light
from tests.services.minigpt_v2.pictures import flat, pattern


@pytest.mark.parametrize(("grey", "lightness"), [(0, 0.0), (119, 50.0), (255, 100.0)])
def test_lightness_is_cielab(grey, lightness):
    light = measure_light(flat(grey, grey, grey), None)
    assert light.lightness == pytest.approx(lightness, abs=0.5)
    assert light.chroma == pytest.approx(0, abs=0.2) and light.contrast == pytest.approx(0, abs=0.01)


def test_srgb_red_has_its_published_lab_values():
    light = measure_light(flat(255, 0, 0), None)  # L* 53.2, a* 80.1, b* 67.2 (D65)
    assert (light.lightness, light.green_red, light.warmth) == pytest.approx((53.2, 80.1, 67.2), abs=0.5)


def test_orange_light_is_warm_and_blue_light_is_cool():
    assert measure_light(flat(200, 150, 90), None).warmth > 20
    assert measure_light(flat(90, 150, 200), None).warmth < -20


def test_letterbox_bars_do_not_darken_the_picture():
    image = flat(180, 180, 180)
    boxed = image.copy()
    boxed[:40] = boxed[-40:] = 4
    assert active_area(boxed) == (0, 40, 320, 200)
    assert measure_light(boxed, None).lightness == pytest.approx(measure_light(image, None).lightness, abs=0.1)


def test_a_dark_picture_is_not_all_bars():
    night = flat(2, 2, 2)
    night[100:120, 150:170] = 200
    assert active_area(night) == (0, 0, 320, 240)
    assert active_area(flat(0, 0, 0)) == (0, 0, 320, 240)


def test_a_face_against_a_bright_window_is_darker_than_its_surroundings():
    image = flat(230, 230, 230)
    image[60:180, 120:200] = 70
    against = measure_light(image, (120, 60, 80, 120)).face_difference
    assert against == pytest.approx(measure_light(flat(70, 70, 70), None).lightness - 91.3, abs=1)
    assert measure_light(255 - image, (120, 60, 80, 120)).face_difference > 30


def test_a_face_that_fills_the_picture_has_no_surroundings():
    assert measure_light(flat(90, 90, 90), (0, 0, 320, 240)).face_difference is None


def test_sharpness_falls_with_blur():
    import cv2

    image = pattern()
    assert measure_light(cv2.GaussianBlur(image, (0, 0), 3), None).sharpness < measure_light(image, None).sharpness / 2


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 4000)])
def test_any_shape_can_be_measured(size):
    assert np.isfinite(measure_light(flat(10, 20, 30, size), None).lightness)
