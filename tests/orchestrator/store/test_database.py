"""Each dataset has a ledger of its own, wherever it is."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from merrflow.cli.app import app
from merrflow.core.errors import InputError
from merrflow.core.inputs import Found
from merrflow.store import Ledger, database, existing_ledger
from merrflow.store.database import SCHEMA_FILE, locate_ledger


def test_datasets_in_one_database_do_not_see_each_other(tmp_path, ledger_url):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (Ledger.in_folder(tmp_path / name, ledger_url) for name in ("one", "two"))
    clip = tmp_path / "clip.mp4"
    one.register([Found(clip)], {clip: "clip"})
    assert (set(one.names()), set(two.names())) == ({"clip"}, set())
    assert set(Ledger.in_folder(tmp_path / "one", ledger_url).names()) == {"clip"}


def test_a_ledger_takes_few_connections_of_a_server_that_many_workers_share(tmp_path, postgres_url):
    """A server allows a hundred by default; sixteen workers have to fit, each with one for its lock, too."""
    with closing(Ledger.in_folder(tmp_path, postgres_url)) as ledger, ThreadPoolExecutor(8) as threads:
        query = sa.select(sa.func.pg_backend_pid(), sa.func.pg_sleep(0.05))
        found = list(threads.map(lambda number: ledger._rows(query)[0][0], range(24)))
    assert len(set(found)) * 16 + 2 * 16 < 100


def test_a_moved_folder_keeps_its_ledger(tmp_path, ledger_url):
    (tmp_path / "old").mkdir()
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    ledger = Ledger.in_folder(tmp_path / "old", ledger_url)
    ledger.register([Found(clip)], {clip: "clip"})
    ledger.close()
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert set(Ledger.in_folder(tmp_path / "new", ledger_url).names()) == {"clip"}


def test_a_folder_without_a_run_has_no_ledger_and_gets_none(tmp_path, ledger_url, monkeypatch):
    if ledger_url:
        monkeypatch.setenv("MERRFLOW_LEDGER_URL", ledger_url)
    with pytest.raises(InputError, match="no run"):
        existing_ledger(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "public; DROP SCHEMA public"}', '{"schema": "x", "more": 1}'])
def test_a_schema_file_that_is_not_one_is_named(tmp_path, text):
    (tmp_path / SCHEMA_FILE).write_text(text)
    with pytest.raises(InputError, match=SCHEMA_FILE):
        locate_ledger(tmp_path, "postgresql+psycopg://nobody@127.0.0.1:1/none")


def emptied(folder, ledger_url):
    """A folder with results, whose ledger was deleted and made anew, as after `docker-compose down -v`."""
    folder.mkdir()
    (folder / "records.jsonl").write_text('{"name": "clip"}\n')
    Ledger.in_folder(folder, ledger_url).close()
    return folder


def test_results_of_which_the_ledger_knows_nothing_are_not_said_to_be_none(tmp_path, ledger_url, monkeypatch):
    if ledger_url:
        monkeypatch.setenv("MERRFLOW_LEDGER_URL", ledger_url)
    out = emptied(tmp_path / "out", ledger_url)
    with pytest.raises(InputError, match=r"its ledger holds no clip, but records.jsonl hold results.*as they were"):
        existing_ledger(out)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"video")
    ledger = Ledger.in_folder(out, ledger_url)
    ledger.register([Found(clip)], {clip: "clip"})
    ledger.close()
    assert set(existing_ledger(out).names()) == {"clip"}


def test_results_without_a_ledger_are_not_said_to_be_of_no_run(tmp_path):
    (tmp_path / "records.jsonl").write_text('{"name": "clip"}\n')
    with pytest.raises(InputError, match=r"its ledger is gone, though records.jsonl is there"):
        existing_ledger(tmp_path)
    (tmp_path / SCHEMA_FILE).write_text("{}")
    with pytest.raises(InputError, match=r"in a database \(ledger.json\).*set MERRFLOW_LEDGER_URL"):
        existing_ledger(tmp_path)


@pytest.mark.parametrize("command", ["status", "report", "export", "curate"])
def test_no_command_takes_results_away_of_which_the_ledger_knows_nothing(tmp_path, command):
    out = emptied(tmp_path / "out", "")
    files = ["--format", "csv"] if command == "export" else []
    ended = CliRunner().invoke(app, [command, "--out", str(out), *files])
    assert ended.exit_code and "holds no clip" in str(ended.exception or ended.output)
    assert (out / "records.jsonl").read_text() == '{"name": "clip"}\n'


def break_connections(url):
    """Ends all connections to the database but its own."""
    with closing_engine(url) as engine, engine.begin() as db:
        db.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


@contextmanager
def closing_engine(url):
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def asked(ledger, monkeypatch):
    """Each time that a connection of the ledger is asked whether it is alive."""
    times, ping = [], ledger._engine.dialect.do_ping
    monkeypatch.setattr(ledger._engine.dialect, "do_ping", lambda connection: times.append(1) or ping(connection))
    return times


def test_a_connection_that_is_in_use_is_not_asked_whether_it_is_alive(tmp_path, postgres_url, monkeypatch):
    with closing(Ledger.in_folder(tmp_path, postgres_url)) as ledger:
        times = asked(ledger, monkeypatch)
        assert all(ledger.is_empty() for _ in range(20)) and len(times) <= 1


def test_a_connection_that_broke_while_nobody_used_it_is_replaced(tmp_path, postgres_url, monkeypatch):
    with closing(Ledger(locate_ledger(tmp_path, postgres_url), patience=0)) as ledger:
        assert ledger.is_empty()
        times = asked(ledger, monkeypatch)
        break_connections(postgres_url)
        monkeypatch.setattr(database, "IDLE_SECONDS", 0.0)
        assert ledger.is_empty() and times  # at once: without patience, an error would not be waited for


def test_what_breaks_between_two_queries_is_begun_again(tmp_path, postgres_url):
    with closing(Ledger.in_folder(tmp_path, postgres_url)) as ledger:
        assert ledger.is_empty()
        break_connections(postgres_url)
        assert ledger.is_empty()
