"""Where a setting comes from: the command line before the environment, before the YAML file, before defaults."""

from __future__ import annotations

import pytest

from merrflow.core.errors import InputError
from merrflow.core.settings import RunSettings
from merrflow.core.settings_file import load_settings
from merrflow_serving.catalog import SERVICES


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("seed: 1\nshard_size: 10\nneutral_sample: 0.5\n")
    return path


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in RunSettings.model_fields:
        monkeypatch.delenv(f"MERRFLOW_{name.upper()}", raising=False)


def test_each_source_beats_those_below_it(config, monkeypatch):
    monkeypatch.setenv("MERRFLOW_SHARD_SIZE", "20")
    monkeypatch.setenv("MERRFLOW_NEUTRAL_SAMPLE", "0.6")
    settings = load_settings(config, neutral_sample=0.7, seed=None)
    assert settings.max_clip_seconds == RunSettings().max_clip_seconds == 600.0  # default
    assert settings.seed == 1  # file
    assert settings.shard_size == 20  # environment, over the file
    assert settings.neutral_sample == 0.7  # command line, over both


def test_a_file_is_forgotten_after_its_settings(config):
    assert load_settings(config).seed == 1
    assert load_settings().seed == 0 and RunSettings().seed == 0
    assert load_settings(config) == RunSettings(seed=1, shard_size=10, neutral_sample=0.5)


def test_an_empty_file_changes_nothing(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing yet\n")
    assert load_settings(path) == RunSettings()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("neutral_sampel: 1\n", ["run.yaml: neutral_sampel: ", "the settings are: ", "neutral_sample, seed"]),
        ("1: 2\n", ["run.yaml: 1: ", "the settings are: "]),
        ("seed: soon\n", ["run.yaml: seed: ", "valid integer"]),
        ("- seed\n", ["run.yaml: must hold `setting: value` lines"]),
        ("[]\n", ["run.yaml: must hold `setting: value` lines"]),
        ("seed: [1\n", ["run.yaml: cannot be read as YAML"]),
        (None, ["run.yaml: cannot be read as YAML", "No such file"]),
    ],
)
def test_mistakes_in_the_file_are_one_line_with_file_and_key(tmp_path, content, words):
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as caught:
        load_settings(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message


def test_settings_that_do_not_go_together_are_said_in_plain_words():
    with pytest.raises(InputError, match=r"^the settings: labels_from: model needs label_scores: all or modalities$"):
        load_settings(labels_from="model", label_scores="none")


def test_mistakes_elsewhere_do_not_blame_the_file(config, monkeypatch):
    with pytest.raises(InputError, match=r"^seed: "):
        load_settings(config, seed="soon")
    monkeypatch.setenv("MERRFLOW_SEED", "soon")
    with pytest.raises(InputError, match=r"^the environment variable MERRFLOW_SEED: "):
        load_settings(config)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("seed: 2020-13-45", "month must be in 1..12.*line 1"),
        (f"seed: 0x{'F' * 5000}", r"0xF+\.\.\..*line 1"),
        ("call_seconds: 1e12", "call_seconds: Input should be less than or equal to 10000000"),
        ("max_clip_seconds: .inf", "max_clip_seconds: Input should be a finite number"),
        ('rules: "a\\0.yaml"', "rules: holds a zero byte"),
        ('tls_cert: "a\\0"', "tls_cert: holds a zero byte"),
        ('"a\\e[31m": 1', r"a\\x1b\[31m: Extra inputs"),
        ('"a\\uD800": 1', "surrogates not allowed.*line 1"),
    ],
)
def test_values_that_no_run_can_use_are_named(tmp_path, line, told):
    path = tmp_path / "config.yaml"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=told) as caught:
        load_settings(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1500


def test_every_service_of_the_catalog_has_its_address():
    found = RunSettings(**{f"{name.replace('-', '_')}_address": f"{name}:1" for name in SERVICES}).addresses(SERVICES)
    assert found == {name: f"{name}:1" for name in SERVICES}
    assert len([name for name in RunSettings.model_fields if name.endswith("_address")]) == len(SERVICES)


def test_the_environment_counts_in_any_case_and_only_if_it_is_not_empty(config, monkeypatch):
    monkeypatch.setenv("MERRFLOW_SEED", "")
    monkeypatch.setenv("merrflow_shard_size", "30")
    assert (load_settings(config).seed, load_settings(config).shard_size) == (1, 30)
    config.write_text("seed: soon\n")
    with pytest.raises(InputError, match=r"run\.yaml: seed: "):
        load_settings(config)


def test_a_file_cannot_reach_what_is_not_a_setting(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("_env_prefix: OTHER_\n")
    with pytest.raises(InputError, match="_env_prefix: Extra inputs"):
        load_settings(path)


def test_the_encoding_of_subtitles_is_one_that_exists(monkeypatch):
    monkeypatch.setenv("MERRFLOW_SUBTITLE_ENCODING", "GBK")
    assert load_settings().subtitle_encoding == "gbk" and RunSettings(subtitle_encoding="").subtitle_encoding == ""
    for wrong in ("klingon", "rot13", "base64"):
        monkeypatch.setenv("MERRFLOW_SUBTITLE_ENCODING", wrong)
        with pytest.raises(InputError, match="SUBTITLE_ENCODING: is not an encoding of text that Python knows"):
            load_settings()
