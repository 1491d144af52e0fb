"""A Kubernetes API as Prefect's worker meets it: keeps the Jobs it is given, and notes who asked for what."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

KINDS = {"pods": ("", "v1", "Pod"), "jobs": ("batch", "v1", "Job")}
VERBS = ["create", "get", "list", "watch"]


@dataclass(frozen=True)
class Request:
    """A request as Kubernetes' authorizer sees it."""

    verb: str
    group: str
    resource: str  # with its subresource, such as "pods/log"
    namespace: str  # empty: all of the cluster


@dataclass
class FakeCluster:
    """`with FakeCluster() as cluster`; `kubeconfig(path)` writes how to reach it."""

    requests: set[Request] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)  # requests that are about nothing known
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __enter__(self) -> FakeCluster:
        cluster = self

        class Handler(_Handler):
            pass

        Handler.cluster = cluster
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.stopping = threading.Event()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, path: Path) -> Path:
        address = f"http://127.0.0.1:{self._server.server_port}"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "fake", "cluster": {"server": address}}],
                    "users": [{"name": "worker", "user": {"token": "none"}}],
                    "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "worker"}}],
                    "current-context": "fake",
                }
            )
        )
        return path


class _Handler(BaseHTTPRequestHandler):
    cluster: FakeCluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802
        url = urlsplit(self.path)
        if url.path in _DISCOVERY:
            return self._json(_DISCOVERY[url.path])
        watch = parse_qs(url.query).get("watch", ["false"])[0] in ("true", "1")
        asked = self._note("watch" if watch else "")
        if asked is None:
            return self._json({"kind": "Status", "code": 404}, 404)
        request, name = asked
        if request.verb == "watch":
            return self._watch()
        group, version, kind = KINDS[request.resource.partition("/")[0]]
        if name:
            return self._json(self.cluster.jobs.get(name, {"kind": "Status", "code": 404}))
        items = list(self.cluster.jobs.values()) if kind == "Job" else []
        api = f"{group}/{version}".lstrip("/")
        self._json({"kind": f"{kind}List", "apiVersion": api, "metadata": {"resourceVersion": "1"}, "items": items})

    def do_POST(self) -> None:  # noqa: N802
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._note("create")
        number = len(self.cluster.jobs)
        name = f"{body['metadata']['generateName']}{number}"
        self.cluster.jobs[name] = json.loads(json.dumps(body))
        answer = body | {"metadata": body["metadata"] | {"name": name, "uid": f"uid-{number}", "resourceVersion": "1"}}
        self._json(answer, 201)

    def _note(self, verb: str) -> tuple[Request, str] | None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        if not rest or rest[0] not in KINDS:
            self.cluster.unknown.append(f"{self.command} {self.path}")
            return None
        name = rest[1] if len(rest) > 1 else ""
        resource = "/".join([rest[0], *rest[2:]])
        request = Request(verb or ("get" if name else "list"), group, resource, namespace)
        self.cluster.requests.add(request)
        return request, name

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        while not self.cluster.stopping.wait(0.2):
            pass
        self.close_connection = True

    def _json(self, value: dict[str, Any], code: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


def _resources(version: str, *kinds: str) -> dict[str, Any]:
    """What the API says it has, as its clients ask at first."""
    resources = [
        {
            "name": f"{kind.lower()}s",
            "singularName": kind.lower(),
            "namespaced": kind != "Namespace",
            "kind": kind,
            "verbs": VERBS,
        }
        for kind in kinds
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


_BATCH = {"groupVersion": "batch/v1", "version": "v1"}
_DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "batch", "versions": [_BATCH], "preferredVersion": _BATCH}],
    },
    "/api/v1": _resources("v1", "Namespace", "Pod"),
    "/apis/batch/v1": _resources("batch/v1", "Job"),
}
