"""Passwords and tokens: in no message, no log, no list of settings, no record and no parameter of a Prefect run."""

from __future__ import annotations

import io
import traceback

import pytest
from rich.console import Console

from merrflow.cli.app import app
from merrflow.cli.services import show_settings
from merrflow.core.errors import InputError
from merrflow.core.settings_file import load_settings
from merrflow.flow.submit import _parameters
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow_serving import health
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.orchestrator.fakes import fake_services, make_video
from tests.orchestrator.pipeline.test_pipeline import annotate
from tests.services.serving.toy import SPEC

PASSWORD, TOKEN = "hunter2-of-postgres", "token-of-the-services-0123"
URL = f"postgresql+psycopg://merrflow:{PASSWORD}@127.0.0.1:1/merrflow"


@pytest.fixture
def secrets(monkeypatch):
    monkeypatch.setenv("MERRFLOW_LEDGER_URL", URL)
    monkeypatch.setenv("MERRFLOW_TOKEN", TOKEN)


def everything(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_settings_show_no_secret_however_they_are_printed(secrets):
    settings = load_settings()
    out = io.StringIO()
    show_settings(Console(file=out, width=300))
    for text in (repr(settings), str(settings), out.getvalue()):
        assert PASSWORD not in text and TOKEN not in text
    assert TOKEN not in settings.model_dump_json() + str(settings.model_dump())
    assert settings.token.get_secret_value() == TOKEN


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"postgresql+psycopg://merrflow:{PASSWORD}@no-such-host.invalid/merrflow",
        f"postgresql+psycopg://merrflow:{PASSWORD}@127.0.0.1:port/merrflow",
        f"postgresql+nothing://merrflow:{PASSWORD}@127.0.0.1/merrflow",
        f"nothing://merrflow:{PASSWORD}@127.0.0.1/merrflow",
        f"merrflow:{PASSWORD}@127.0.0.1",
    ],
)
async def test_a_database_that_cannot_be_opened_tells_no_password(url, tmp_path, monkeypatch):
    monkeypatch.setenv("MERRFLOW_LEDGER_URL", url)
    clip = make_video(tmp_path / "a.mp4", "red")
    with pytest.raises(InputError) as refused:
        async with open_session(Request((str(clip),), str(tmp_path / "out"))):
            pass
    assert PASSWORD not in str(refused.value)
    assert PASSWORD not in everything(refused.value)


def test_a_setting_that_is_wrong_is_told_without_its_value(monkeypatch, tmp_path):
    monkeypatch.setenv("MERRFLOW_TOKEN", TOKEN)
    (tmp_path / "config.yaml").write_text(f"token: [{TOKEN}]\n")
    monkeypatch.delenv("MERRFLOW_TOKEN")
    with pytest.raises(InputError) as refused:
        load_settings(tmp_path / "config.yaml")
    assert "token" in str(refused.value) and TOKEN not in str(refused.value)


def test_a_run_on_a_server_is_given_no_secret(secrets, tmp_path):
    request = Request((str(tmp_path),), str(tmp_path / "out"), overrides={"seed": 1})
    assert PASSWORD not in str(_parameters(request)) and TOKEN not in str(_parameters(request))


def test_a_traceback_shows_no_variables():
    assert app.pretty_exceptions_enable is False


async def test_no_file_of_a_run_and_no_line_of_its_log_holds_the_token(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setenv("MERRFLOW_TOKEN", TOKEN)
    caplog.set_level("DEBUG")
    make_video(tmp_path / "clips/smile.mp4", "red")
    async with fake_services() as addresses:
        await annotate([tmp_path / "clips"], tmp_path / "out", addresses)
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert len(files) > 5
    assert not [file for file in files if TOKEN.encode() in file.read_bytes()]
    assert TOKEN not in "".join(capsys.readouterr()) + caplog.text


async def test_a_service_tells_no_token_when_it_starts_or_cannot(tmp_path, capsys, monkeypatch):
    settings = ServiceSettings(port=0, token=TOKEN, host="0.0.0.0")
    with pytest.raises(Exception) as refused:
        Server(SPEC, settings)
    assert TOKEN not in everything(refused.value)
    assert TOKEN not in repr(settings) + str(settings.model_dump(mode="json"))
    monkeypatch.setenv("MERRFLOW_LLAMA3_TOKEN", "brief-one")
    assert health.main(["llama3"]) == 1
    assert "brief-one" not in capsys.readouterr().out
