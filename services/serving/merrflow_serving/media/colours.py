"""From high dynamic range and wide gamut to what screens and models of faces expect: BT.709 in 8 bits."""

from __future__ import annotations

from functools import cache

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc

REFERENCE_WHITE = 203.0  # cd/m2; of HDR, shown as white in SDR (ITU-R BT.2408, table 1)
PEAK = 1000.0  # cd/m2; of the display that most HDR is graded on, and the nominal one of HLG (BT.2100)
_GAMMA = 2.4  # of an SDR display (BT.1886)
_TO_709 = np.array(  # linear light, BT.2020 to BT.709 (ITU-R BT.2087)
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084


def needs_mapping(raw: av.VideoFrame) -> bool:
    """Whether a frame is PQ or HLG, or has the primaries of BT.2020."""
    return raw.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67) or raw.color_primaries == ColorPrimaries.BT2020


def map_to_sdr(picture: np.ndarray, raw: av.VideoFrame) -> np.ndarray:
    """(height, width, 3) uint16 R'G'B' of frame `raw` as uint8 of BT.709.

    Highlights are compressed by the curve of ITU-R BT.2390 (5.4.1), by the largest channel, so that hues stay; what is
    darker than about 95 cd/m2 keeps its brightness.
    """
    if raw.color_trc == ColorTrc.SMPTE2084:
        light = _compressed(_pq_table()[picture])
    elif raw.color_trc == ColorTrc.ARIB_STD_B67:
        scene = _hlg_table()[picture]
        light = _compressed(PEAK * scene * np.power(scene @ _LUMINANCE, 0.2, dtype=np.float32)[..., None])
    else:
        light = REFERENCE_WHITE * _gamma_table()[picture]
    light *= 1 / REFERENCE_WHITE
    if raw.color_primaries != ColorPrimaries.BT709:
        light = light @ _TO_709.T
    shown: np.ndarray = np.rint(255 * np.clip(light, 0, 1) ** np.float32(1 / _GAMMA))
    return shown.astype(np.uint8)


def _compressed(light: np.ndarray) -> np.ndarray:
    """Linear light in cd/m2, up to `REFERENCE_WHITE`."""
    levels, gains = _gains()
    gain: np.ndarray = np.interp(light.max(axis=2), levels, gains).astype(np.float32)
    compressed: np.ndarray = light * gain[..., None]
    return compressed


@cache
def _gains() -> tuple[np.ndarray, np.ndarray]:
    """Levels in cd/m2, and by how much the curve of BT.2390 changes each (a factor)."""
    levels = _pq_to_light(np.linspace(0, 1, 4097))
    top, most = _light_to_pq(PEAK), _light_to_pq(REFERENCE_WHITE) / _light_to_pq(PEAK)
    knee = 1.5 * most - 0.5
    signal = np.minimum(_light_to_pq(levels) / top, 1.0)
    t = np.maximum(0, (signal - knee) / (1 - knee))
    curve = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    shown = _pq_to_light(np.where(signal < knee, signal, curve) * top)
    return levels, np.divide(shown, levels, out=np.ones_like(levels), where=levels > 0)


@cache
def _pq_table() -> np.ndarray:
    return _pq_to_light(np.linspace(0, 1, 65536)).astype(np.float32)


@cache
def _hlg_table() -> np.ndarray:
    """Scene light, 0 to 1 (inverse OETF of BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.linspace(0, 1, 65536)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


@cache
def _gamma_table() -> np.ndarray:
    return np.power(np.linspace(0, 1, 65536), _GAMMA).astype(np.float32)


def _pq_to_light(signal: np.ndarray) -> np.ndarray:
    power = np.power(signal, 1 / _M2)
    light: np.ndarray = 10_000 * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)
    return light


def _light_to_pq(light: np.ndarray | float) -> np.ndarray:
    power = np.power(np.asarray(light) / 10_000, _M1)
    signal: np.ndarray = np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)
    return signal
