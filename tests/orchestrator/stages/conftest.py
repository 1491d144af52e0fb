from __future__ import annotations

import pytest

from merrflow_serving.media.ocr import TextReader


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()
