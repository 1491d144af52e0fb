"""Pictures as players show them: turned, mirrored, with square pixels, in SDR; transparent is black."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

from merrflow_serving.errors import TooLarge
from merrflow_serving.media.colours import REFERENCE_WHITE, map_to_sdr
from merrflow_serving.media.images import decode_image
from merrflow_serving.media.video import VideoFrame, iter_frames
from tests.services.serving.odd_containers import encoded

GREYS = np.array([[30, 90], [150, 230]], np.uint8)  # a corner each


def corners(width: int = 96, height: int = 64) -> np.ndarray:
    quarter = np.ones((height // 2, width // 2), np.uint8)
    return np.repeat(np.kron(GREYS, quarter)[..., None], 3, axis=2)


def seen(image: np.ndarray) -> np.ndarray:
    """The brightness of the four corners, to the nearest of `GREYS`."""
    height, width = image.shape[:2]
    found = image[height // 4 :: height // 2, width // 4 :: width // 2, 0][:2, :2].astype(int)
    return GREYS.ravel()[np.abs(found[..., None] - GREYS.ravel().astype(int)).argmin(axis=-1)]


@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_all_eight_orientations(container, rotation, flips):
    """rotation: counterclockwise, then the flips (PyAV's `set_display_rotation`)."""
    frame = next(iter_frames(encoded([corners()], format=container, rotation=rotation, flips=flips)))
    right = np.rot90(GREYS, rotation // 90)
    right = right[:, ::-1] if flips[0] else right
    right = right[::-1] if flips[1] else right
    np.testing.assert_array_equal(seen(frame.image), right)
    np.testing.assert_array_equal(seen(frame.scaled(48)), right)
    assert frame.size == frame.image.shape[1::-1] == ((64, 96) if rotation % 180 else (96, 64))


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        (Fraction(2), (192, 64)),
        (Fraction(1, 2), (96, 128)),
        (Fraction(16, 15), (102, 64)),
        (Fraction(404, 405), (96, 64)),  # rounding
        (Fraction(50), (96, 64)),  # a fault
    ],
)
@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_pixels_become_square(container, ratio, size):
    frame = next(iter_frames(encoded([corners()], format=container, pixel_ratio=ratio)))
    assert frame.size == frame.image.shape[1::-1] == size
    assert max(frame.scaled(48).shape) == 48
    np.testing.assert_array_equal(seen(frame.image), GREYS)


def test_a_turned_picture_is_stretched_before_it_is_turned():
    frame = next(iter_frames(encoded([corners()], rotation=90, pixel_ratio=Fraction(2))))
    assert frame.size == frame.image.shape[1::-1] == (64, 192)


def test_the_size_that_is_shown_is_what_is_limited():
    film = encoded([corners()], pixel_ratio=Fraction(2))
    assert next(iter_frames(film, max_pixels=192 * 64)).size == (192, 64)
    with pytest.raises(TooLarge, match="192x64"):
        next(iter_frames(film, max_pixels=192 * 64 - 1))


def hdr_frame(light: np.ndarray, transfer: ColorTrc) -> av.VideoFrame:
    """A 10-bit BT.2020 frame of (height, width, 3) linear light in cd/m2, as a camera writes it."""
    if transfer == ColorTrc.SMPTE2084:
        power = (light / 10_000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    else:
        scene = (light / 1000) ** (1 / 1.2)  # for greys
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)
    full = av.VideoFrame.from_ndarray(np.rint(signal * 65535).astype(np.uint16), format="rgb48le")
    frame = full.reformat(format="yuv420p10le", dst_colorspace=Colorspace.BT2020)
    frame.color_trc, frame.color_primaries, frame.colorspace = transfer, ColorPrimaries.BT2020, Colorspace.BT2020
    return frame


@pytest.mark.parametrize("transfer", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
@pytest.mark.parametrize("level", [2.0, 10.0, 40.0, 90.0])
def test_what_is_no_highlight_has_the_brightness_of_sdr(transfer, level):
    shown = VideoFrame(0, 0.0, hdr_frame(np.full((16, 16, 3), level), transfer)).image
    assert shown.mean() == pytest.approx(255 * (level / REFERENCE_WHITE) ** (1 / 2.4), abs=3)


@pytest.mark.parametrize("transfer", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
def test_highlights_are_compressed_and_not_cut(transfer):
    levels = [203.0, 400.0, 700.0, 1000.0]
    shown = [VideoFrame(0, 0.0, hdr_frame(np.full((16, 16, 3), level), transfer)).image.mean() for level in levels]
    assert shown == sorted(shown) and 215 < shown[0] < 245 and shown[1] < 254 and shown[-1] > 252


def test_wide_colours_become_those_of_bt709():
    red = np.array([0.6274, 0.0691, 0.0164]) * 90  # BT.709's red in BT.2020
    shown = VideoFrame(0, 0.0, hdr_frame(np.broadcast_to(red, (16, 16, 3)), ColorTrc.SMPTE2084)).image.mean(axis=(0, 1))
    assert shown[0] > 150 and shown[1] < 30 and shown[2] < 30


def test_sdr_frames_are_as_ffmpeg_converts_them():
    raw = av.VideoFrame.from_ndarray(corners(), format="rgb24").reformat(format="yuv420p")
    np.testing.assert_array_equal(VideoFrame(0, 0.0, raw).image, raw.to_ndarray(format="rgb24"))


@pytest.mark.parametrize("transfer", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67, ColorTrc.BT2020_10])
def test_black_is_black(transfer):
    frame = hdr_frame(np.full((4, 4, 3), 1e-4), ColorTrc.SMPTE2084)
    frame.color_trc = transfer
    assert map_to_sdr(np.zeros((4, 4, 3), np.uint16), frame).max() == 0


@pytest.mark.parametrize("matrix", [Colorspace.ITU601, Colorspace.ITU709, Colorspace.BT2020])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p", "yuv444p10le"])
def test_matrix_and_range_are_those_of_the_file(matrix, pixels):
    colour = np.broadcast_to(np.array([200, 80, 40], np.uint8), (16, 16, 3))
    full = 2 if pixels.startswith("yuvj") else 1
    source = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), format="rgb24")
    raw = source.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=full)
    raw.colorspace, raw.color_range = matrix, full
    assert VideoFrame(0, 0.0, raw).image.mean(axis=(0, 1)) == pytest.approx([200, 80, 40], abs=3)


def test_what_is_transparent_is_black():
    picture = np.full((8, 8, 4), 200, np.uint8)
    picture[:4, :, 3], picture[4:, :, 3] = 0, 255
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="apng") as container:
        stream = container.add_stream("apng", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgba"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba")))
        container.mux(stream.encode())
    image = decode_image(buffer.getvalue())
    assert image[0].max() == 0 and image[-1].min() == 200


def photo(orientation: int) -> bytes:
    """A JPEG of `corners` with that orientation in its EXIF data, as cameras write it (CIPA DC-008, 4.6.5)."""
    done, data = cv2.imencode(".jpg", corners(), [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    tags = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tags
    return data.tobytes()[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data.tobytes()[2:]


@pytest.mark.parametrize(
    ("orientation", "right"),
    [
        (1, GREYS),
        (2, GREYS[:, ::-1]),
        (3, GREYS[::-1, ::-1]),
        (4, GREYS[::-1]),
        (5, GREYS.T),
        (6, np.rot90(GREYS, -1)),
        (7, GREYS[::-1, ::-1].T),
        (8, np.rot90(GREYS, 1)),
    ],
)
def test_photos_are_turned_and_mirrored_as_their_exif_data_says(orientation, right):
    np.testing.assert_array_equal(seen(decode_image(photo(orientation))), right)
