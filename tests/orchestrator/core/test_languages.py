"""Codes of languages by ISO 639."""

from __future__ import annotations

import pytest

from merrflow.core.settings import RunSettings
from merrflow_serving.media.languages import language_of


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        *[
            ("en", "en"),
            ("eng", "en"),
            ("EN-us", "en"),
            ("zho", "zh"),
            ("chi", "zh"),
            ("zh-Hans", "zh"),
            ("pt_BR", "pt"),
        ],
        *[("ger", "de"), ("deu", "de"), ("fre", "fr"), ("no", "no"), ("yue", "yue"), (" slo ", "sk")],
        *[("", ""), ("und", ""), ("mul", ""), ("xx", ""), ("english", ""), ("e", ""), ("en\n<b>", ""), ("中文", "")],
    ],
)
def test_the_shortest_code(tag, code):
    assert language_of(tag) == code


def test_the_setting_is_checked_and_kept_in_its_shortest_form():
    assert RunSettings(subtitle_language="chi").subtitle_language == "zh"
    assert RunSettings(subtitle_language="").subtitle_language == ""
    with pytest.raises(ValueError, match="is no code of a language by ISO 639, such as en or zho"):
        RunSettings(subtitle_language="chinese")
