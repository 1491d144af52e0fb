"""Reading text in pictures with the real models, on text drawn here."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import replace

import cv2
import numpy as np
import pytest

from merrflow_serving.errors import NotReady
from merrflow_serving.media import ocr
from merrflow_serving.media.ocr import TextLine, TextReader, reading_order


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def page(*lines: tuple[str, int, int, int], size: tuple[int, int] = (240, 720)) -> np.ndarray:
    """A dark picture with (text, x, baseline, height) in white, in OpenCV's own fonts."""
    image = np.full((*size, 3), 50, np.uint8)
    for text, x, y, height in lines:
        font = cv2.FontFace("sans" if text.isascii() else "uni")
        cv2.putText(image, text, (x, y), (255, 255, 255), font, height)
    return image


def test_reads_english_and_chinese_with_their_positions(reader):
    image = page(("I organized that plan", 60, 180, 30), ("您真这么认为啊", 100, 80, 36))
    lines = reader.read(image)
    assert [line.text for line in lines] == ["您真这么认为啊", "I organized that plan"]
    for line, (x, baseline) in zip(lines, [(100, 80), (60, 180)], strict=True):
        left, top, width, height = line.box
        assert abs(left - x) < 15
        assert top < baseline - 15 and baseline - 5 < top + height < baseline + 25
        assert 0.8 < line.confidence <= 1
        assert left + width <= 720


def test_detection_alone_finds_the_same_places(reader):
    image = page(("where are you going", 60, 120, 30))
    (box,) = reader.detect(image)
    (line,) = reader.read(image)
    assert np.allclose(box, line.box, atol=6)
    crop = image[int(box[1]) : int(box[1] + box[3]), int(box[0]) : int(box[0] + box[2])]
    read = reader.recognise(crop)
    assert read is not None and read.text == "where are you going"


def test_colour_order_is_rgb(reader, monkeypatch):
    """The models want BGR; red letters on blue must arrive as such, not as blue on red."""
    seen = []

    class Spy:
        def __call__(self, image, **_):
            seen.append(image[0, 0].tolist())

    monkeypatch.setattr(reader, "_models", lambda: Spy())
    reader.detect(np.full((40, 80, 3), (255, 10, 0), np.uint8))
    assert seen == [[0, 10, 255]]


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 300, 3), (300, 4, 3)])
def test_a_picture_too_small_for_letters_has_no_text(reader, shape):
    image = np.zeros(shape, np.uint8)
    assert reader.read(image) == () and reader.detect(image) == () and reader.recognise(image) is None


def test_a_picture_without_text_has_no_text(reader):
    assert reader.read(np.full((200, 300, 3), 90, np.uint8)) == ()


def test_works_offline_and_writes_nothing_beside_the_package(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    folder = ocr.model_file(ocr.DETECTION).parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert TextReader().read(page(("hello there", 60, 120, 36)))[0].text == "hello there"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_start_up_is_silent(capfd):
    TextReader().read(page(("hello there", 60, 120, 36)))
    out, err = capfd.readouterr()
    assert out == "" and "RapidOCR" not in err


def test_a_missing_model_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ocr, "RECOGNITION", replace(ocr.RECOGNITION, file="rapidocr/models/no_such_model.onnx"))
    with pytest.raises(NotReady, match="rapidocr"):
        TextReader().read(page(("hello", 60, 120, 36)))


def test_the_revision_is_that_of_the_installed_files():
    digest = hashlib.sha256()
    for file in (ocr.DETECTION, ocr.RECOGNITION):
        digest.update(ocr.model_file(file).read_bytes())
    assert ocr.revision() == f"sha256:{digest.hexdigest()[:16]}", "records made before would be made again"


def test_reading_order_takes_rows_first():
    def line(text: str, x: float, y: float) -> TextLine:
        return TextLine(text, 1.0, (x, y, 50, 20))

    lines = [line("d", 0, 60), line("b", 200, 8), line("c", 100, 33), line("a", 10, 12)]
    assert [one.text for one in reading_order(lines)] == ["a", "b", "c", "d"]
