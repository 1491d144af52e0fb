"""A stand-in for the hub of Hugging Face: takes a dataset as huggingface_hub uploads it, and keeps its files."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Hub(ThreadingHTTPServer):
    """`files` has what was committed; `private` what repositories were made as; `full` makes it refuse commits."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.private: list[bool] = []
        self.commits = 0
        self.full = False


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on a port of its own."""
    with Hub() as hub:
        thread = Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if "/tree/" in self.path:
            self._say([{"type": "file", "path": p, "size": len(b), "oid": "0"} for p, b in self.server.files.items()])
        else:
            self._say({"id": "alice/set", "sha": "0" * 40, "siblings": [{"rfilename": p} for p in self.server.files]})

    def do_PUT(self) -> None:
        data = self._read()
        assert hashlib.sha256(data).hexdigest() == self.path.rpartition("/")[2]
        self.server.blobs[self.path.rpartition("/")[2]] = data
        self._say({})

    def do_POST(self) -> None:
        data, url = self._read(), self.server.url
        if self.path.endswith("/commit/main"):
            return self._commit([json.loads(line) for line in data.splitlines()])
        sent: Any = json.loads(data or b"{}")
        if self.path == "/api/repos/create":
            self.server.private.append(sent.get("private", sent.get("visibility") == "private"))
            self._say({"url": f"{url}/datasets/alice/set", "id": "alice/set", "name": "alice/set"})
        elif self.path == "/api/validate-yaml":
            self._say({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            modes = {True: "lfs", False: "regular"}
            files = [{"path": f["path"], "uploadMode": modes[not f["path"].endswith(".md")]} for f in sent["files"]]
            self._say({"files": [f | {"shouldIgnore": False, "oid": None} for f in files]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [o | {"actions": {"upload": {"href": f"{url}/blob/{o['oid']}"}}} for o in sent["objects"]]
            self._say({"transfer": "basic", "objects": objects})
        else:
            self.send_error(404, self.path)

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        if self.server.full:
            return self._say({"error": "no room is left"}, 507)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                self.server.files.pop(value["path"])
        self.server.commits += 1
        self._say({"commitUrl": f"{self.server.url}/datasets/alice/set/commit/{'a' * 40}", "commitOid": "a" * 40})

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _say(self, answer: object, status: int = 200) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
