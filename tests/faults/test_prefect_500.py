"""A Prefect server that answers 500, for a while or for ever: the clips are done, or one line says what is wrong."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.faults.conftest import make_clips
from tests.faults.processes import Faults
from tests.faults.processes_checks import assert_whole
from tests.faults.surroundings import WHOLE, ended, environment, start
from tests.prefect_server import prefect_server

MERRFLOW = WHOLE[:-1]  # the command, without `run`


@contextmanager
def answering(answers: Callable[[str, int], int | str]) -> Iterator[str]:
    """The URL of an API. answers: from a path and the number of the request to a status, or the URL of who answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        count = 0

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            Handler.count += 1
            answer = answers(self.path, Handler.count)
            status, data = (answer, b"{}") if isinstance(answer, int) else self._forwarded(answer, body)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer  # noqa: N815

        def _forwarded(self, url: str, body: bytes) -> tuple[int, bytes]:
            kept = {name: value for name, value in self.headers.items() if name.lower().startswith(("content-t", "x-"))}
            asked = urllib.request.Request(url + self.path, body or None, kept, method=self.command)
            try:
                with urllib.request.urlopen(asked, timeout=20) as reply:
                    return reply.status, reply.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), ["a", "b"])


@pytest.fixture
def env(tmp_path) -> dict[str, str]:
    return environment(Faults(tmp_path / "faults"), {}) | {"PREFECT_HOME": str(tmp_path / "prefect")}


def healthy(path: str, number: int) -> int:
    return 200 if path.endswith(("/health", "/ready")) else 500


@pytest.mark.slow
def test_a_server_that_can_nothing_but_say_that_it_is_healthy_is_done_without(tmp_path, clips, env):
    with answering(healthy) as url:
        code, output = ended(
            start([*WHOLE, str(clips), "--out", str(tmp_path / "out")], env | {"PREFECT_API_URL": url})
        )
    assert code == 0, output
    assert "continuing without it" in output
    assert_whole(tmp_path / "out", ["a", "b"])


@pytest.mark.slow
def test_a_server_that_answers_500_for_a_while_is_no_matter(tmp_path, clips, env):
    with prefect_server(tmp_path / "server") as real:
        behind = real.removesuffix("/api")

        def answers(path: str, number: int) -> int | str:
            return 500 if 12 <= number < 40 and not path.endswith("/health") else behind

        with answering(answers) as url:
            code, output = ended(
                start([*WHOLE, str(clips), "--out", str(tmp_path / "out")], env | {"PREFECT_API_URL": url})
            )
    assert code == 0, output
    assert_whole(tmp_path / "out", ["a", "b"])


@pytest.mark.parametrize(
    ("command", "answers"),
    [
        pytest.param(["run"], lambda path, number: 500, id="run"),
        pytest.param(["run", "--server"], healthy, id="run --server", marks=pytest.mark.slow),
        pytest.param(["run", "--server"], lambda path, number: 500, id="run --server, ill", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_begin_says_so_in_one_line(tmp_path, clips, env, command, answers):
    with answering(answers) as url:
        run = start([*MERRFLOW, *command, str(clips), "--out", str(tmp_path / "out")], env | {"PREFECT_API_URL": url})
        code, output = ended(run, 90)
    (line,) = [line for line in output.splitlines() if line.startswith("merrflow: ")]
    assert code == 2 and url in line and "it answers 500" in line, output


@pytest.mark.slow
def test_a_worker_waits_until_its_server_can_register_it(tmp_path, env):
    with prefect_server(tmp_path / "server") as real:
        behind = real.removesuffix("/api")

        def answers(path: str, number: int) -> int | str:
            return 500 if number < 12 and not path.endswith("/health") else behind

        with answering(answers) as url:
            worker = start([*MERRFLOW, "worker", "--register-only"], env | {"PREFECT_API_URL": url})
            code, output = ended(worker, 120)
    assert code == 0 and output.count(f"waiting for Prefect's server at {url} (it answers 500)") == 1, output


@pytest.mark.slow
def test_a_worker_that_its_server_refuses_says_so_in_one_line(env):
    with answering(lambda path, number: 200 if path.endswith("/health") else 403) as url:
        code, output = ended(start([*MERRFLOW, "worker", "--register-only"], env | {"PREFECT_API_URL": url}), 90)
    assert code == 2 and f"Prefect's server at {url} refuses this worker (it answers 403)" in output, output
