"""Only the native library's own messages are dropped."""

from __future__ import annotations

import os

import pytest

from merrflow_serving.quiet import quiet_stderr


def test_other_lines_come_through(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"W0000 00:00:1795392597.174373   10757 face_landmarker_graph.cc:174] Sets something\n")
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"E0000 00:00:1795392597.174373   10757 graph.cc:1] an error\n")
        os.write(2, b"a log line of the service\n")
    assert capfd.readouterr().err == (
        "E0000 00:00:1795392597.174373   10757 graph.cc:1] an error\na log line of the service\n"
    )


def test_standard_error_is_back_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), quiet_stderr():
        raise ValueError("inside")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
