"""Pulling from hubs: the real client libraries against a small local server that speaks what they ask of a hub."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import re
import shutil
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from safetensors.numpy import save as save_safetensors

from merrflow_serving.errors import PASSING, NotReady
from merrflow_serving.weights import Place, locate, revision, storage
from merrflow_serving.weights.entries import Entry, Repository, WeightFile
from merrflow_serving.weights.manifest import read_manifest
from merrflow_serving.weights.progress import Progress
from merrflow_serving.weights.pull import pull

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_a-secret-token"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


WEIGHTS = save_safetensors({"x": np.arange(50_000, dtype=np.float32)})


@dataclass
class Hub:
    """What the server holds, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    gated: bool = False  # 403 without the token, or with one that may not read this
    open_listing: bool = False  # as on Hugging Face: what a gated repository holds is told to all
    knows_tokens: bool = False  # 401 for one that is not TOKEN
    cut: dict[str, int] = field(default_factory=dict)  # file -> how many more times to break off in the middle
    busy: dict[str, int] = field(default_factory=dict)  # file -> how many more times to answer 503
    told_sha: dict[str, str] = field(default_factory=dict)  # file -> another sha256 than its own
    asked: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    pause: float = 0.0
    url: str = ""

    def listing(self) -> list[dict]:
        return [
            {
                "rfilename": name,
                "size": len(data),
                "blobId": hashlib.sha1(data).hexdigest(),
                **(
                    {"lfs": {"sha256": self.told_sha.get(name, sha(data)), "size": len(data), "pointerSize": 134}}
                    if name.endswith((".safetensors", ".bin"))
                    else {}
                ),
            }
            for name, data in self.files.items()
        ]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        url = urlparse(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        token = self.headers.get("Authorization")
        closed = token != f"Bearer {TOKEN}" and not (hub.open_listing and "/api/" in self.path)
        if closed and hub.knows_tokens and (token or hub.gated):
            return self.say(401, {"error": "Invalid username or password."}, {})
        if closed and hub.gated:
            return self.say(403, {"error": "Access to model o/m is restricted"}, {"X-Error-Code": "GatedRepo"})
        if re.fullmatch(r"/api/models/o/m(/revision/[^/]+)?", url.path):
            if "nope" in url.path:
                return self.say(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            return self.say(200, {"id": "o/m", "modelId": "o/m", "sha": COMMIT, "siblings": hub.listing()})
        if url.path == "/api/v1/models/o/m/repo/files":
            files = [
                {"Path": one["rfilename"], "Name": one["rfilename"], "Size": one["size"], "Type": "blob",
                 "Sha256": hub.told_sha.get(one["rfilename"], sha(hub.files[one["rfilename"]]))}
                for one in hub.listing()
            ]  # fmt: skip
            return self.say(200, {"Code": 200, "Success": True, "Data": {"Files": files}})
        if url.path == "/api/v1/models/o/m/repo":
            return self.send_file(hub, query["FilePath"])
        found = re.fullmatch(r"/(?:o/m/resolve|plain)/([^/]+)/(.+)", url.path)
        if found:
            return self.send_file(hub, found[2])
        return self.say(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def send_file(self, hub: Hub, name: str) -> None:
        if name not in hub.files:
            return self.say(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        if hub.busy.get(name) and self.command == "GET":
            hub.busy[name] -= 1
            return self.say(503, {"error": "busy"})
        data = hub.files[name]
        start, code = 0, 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        end = len(data)
        if wanted:
            start, code = int(wanted[1]), 206
            end = min(end, int(wanted[2]) + 1) if wanted[2] else end
        self.send_response(code)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{hub.told_sha.get(name, sha(data))}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        hub.asked[name] += 1
        if wanted:
            hub.ranges.append(f"{name} {start}")
        if hub.pause:
            threading.Event().wait(hub.pause)
        if hub.cut.get(name):
            hub.cut[name] -= 1
            self.wfile.write(data[start : (start + end) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(data[start:end])

    def say(self, code: int, document: dict, headers: dict | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def hub(monkeypatch, tmp_path: Path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = found = Hub(  # type: ignore[attr-defined]
        {
            "config.json": b'{"model_type": "llama"}',
            "tokenizer.json": b"{}",
            "model.safetensors": WEIGHTS,
            "pytorch_model.bin": b"the same once more, as a pickle",
            "flax_model.msgpack": b"x" * 1000,
            "original/consolidated.00.pth": b"y" * 1000,
        }
    )
    found.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", found.url)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", found.url)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "modelscope"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "MERRFLOW_OFFLINE", "MODELSCOPE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def an_entry(**changes) -> Entry:
    fields = {
        "name": "m",
        "service": "llama3",
        "repositories": {name: Repository("o/m", "main") for name in ("huggingface", "modelscope")},
        "files": (WeightFile("config.json"), WeightFile("model.safetensors"), WeightFile("extra.json", needed=False)),
    }
    return Entry(**(fields | changes))


def place(tmp_path: Path, hub: str = "huggingface", **changes) -> Place:
    return Place(**({"hub": hub, "models_dir": tmp_path / "models", "offline": False} | changes))  # type: ignore[arg-type]


HUBS = pytest.mark.parametrize("name", ["huggingface", "modelscope"])


@HUBS
def test_pull_takes_only_what_is_needed_and_records_it(hub: Hub, tmp_path: Path, name: str) -> None:
    folder = pull(an_entry(), place(tmp_path, name))
    assert folder == tmp_path / "models" / "m"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "merrflow.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert set(hub.asked) == {"config.json", "model.safetensors"}
    manifest = read_manifest(folder)
    assert (manifest.hub, manifest.repository) == (name, "o/m")
    assert manifest.files["model.safetensors"].sha256 == sha(WEIGHTS)
    assert manifest.files["config.json"].sha256 == sha(hub.files["config.json"])
    assert manifest.revision == COMMIT if name == "huggingface" else manifest.revision.startswith("main-")


@HUBS
def test_a_second_pull_asks_for_no_file(hub: Hub, tmp_path: Path, name: str) -> None:
    pull(an_entry(), place(tmp_path, name))
    hub.asked.clear()
    pull(an_entry(), place(tmp_path, name))
    assert not hub.asked


@HUBS
def test_a_damaged_file_is_fetched_anew_and_only_it(hub: Hub, tmp_path: Path, name: str) -> None:
    folder = pull(an_entry(), place(tmp_path, name))
    (folder / "config.json").write_text("{}")
    hub.asked.clear()
    pull(an_entry(), place(tmp_path, name))
    assert dict(hub.asked) == {"config.json": 1}


def test_locate_pulls_what_lacks_and_refuses_what_changed(hub: Hub, tmp_path: Path) -> None:
    where = place(tmp_path)
    folder = locate("o/m", where)  # a repository by name: any causal language model
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "merrflow.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert revision("o/m", where) == COMMIT
    hub.asked.clear()
    assert locate("o/m", place(tmp_path, offline=True)) == folder
    assert not hub.asked
    (folder / "config.json").write_text('{"model_type": "LLAMA"}')  # of the same size
    with pytest.raises(NotReady, match=r"config.json has sha256 .* merrflow models pull o/m") as caught:
        locate("o/m", where)
    assert caught.value.reason == "MODEL_DAMAGED"
    assert revision("o/m", where).startswith("sampled:")  # no longer what the commit stands for


@HUBS
def test_the_pull_goes_on_where_it_broke_off(hub: Hub, tmp_path: Path, name: str) -> None:
    # Larger than the 10 MiB that huggingface_hub writes at once: what came after the last full piece is lost.
    data = hub.files["model.safetensors"] = save_safetensors({"x": np.zeros(8 << 20, dtype=np.float32)})
    hub.cut["model.safetensors"] = 1
    folder = pull(an_entry(), place(tmp_path, name))
    assert (folder / "model.safetensors").read_bytes() == data
    starts = [int(line.split()[1]) for line in hub.ranges]
    assert any(start >= 10 << 20 for start in starts)  # not from the beginning


@HUBS
def test_a_hub_that_is_busy_is_asked_again(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.busy["model.safetensors"] = 2
    folder = pull(an_entry(), place(tmp_path, name))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert not hub.busy["model.safetensors"]


def test_a_hub_that_stays_broken_is_said_and_nothing_half_stays(hub: Hub, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(NotReady, match="could not be reached.*try again") as caught:
        pull(an_entry(), place(tmp_path))
    assert caught.value.reason == "HUB_UNREACHABLE"
    assert not (tmp_path / "models" / "m" / "merrflow.json").exists()


@HUBS
def test_a_file_that_comes_damaged_is_named(hub: Hub, tmp_path: Path, name: str, monkeypatch) -> None:
    monkeypatch.setattr("modelscope_hub._download.DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0)
    hub.told_sha["model.safetensors"] = sha(b"what the hub thinks it has")
    with pytest.raises(NotReady, match=r"model.safetensors.*damaged|damaged.*model.safetensors") as caught:
        pull(an_entry(), place(tmp_path, name))
    assert caught.value.reason == "MODEL_DAMAGED"
    assert not (tmp_path / "models" / "m" / "model.safetensors").exists()


@HUBS
def test_another_revision_is_refused_before_it_is_fetched(hub: Hub, tmp_path: Path, name: str) -> None:
    entry = an_entry(
        files=(WeightFile("config.json"), WeightFile("model.safetensors", size=len(WEIGHTS), sha256=sha(b"older")))
    )
    with pytest.raises(NotReady, match="is not what the engines were made for: model.safetensors has another sha256"):
        pull(entry, place(tmp_path, name))
    assert not hub.asked


@HUBS
def test_a_file_that_the_repository_lacks_is_named(hub: Hub, tmp_path: Path, name: str) -> None:
    with pytest.raises(NotReady, match="qwen.tiktoken is not there"):
        pull(an_entry(files=(WeightFile("qwen.tiktoken"),)), place(tmp_path, name))


def test_pickles_are_pulled_where_there_is_nothing_else(hub: Hub, tmp_path: Path) -> None:
    entry = an_entry(
        files=(WeightFile("config.json"),), patterns=("model*.safetensors", "pytorch_model*.bin", "*.index.json")
    )
    pull(entry, place(tmp_path))
    assert "pytorch_model.bin" not in hub.asked
    shutil.rmtree(tmp_path / "models")
    del hub.files["model.safetensors"]
    pull(entry, place(tmp_path))
    assert hub.asked["pytorch_model.bin"] == 1
    del hub.files["pytorch_model.bin"]
    shutil.rmtree(tmp_path / "models")
    with pytest.raises(NotReady, match="there are no weights"):
        pull(entry, place(tmp_path))


def test_gated_weights_give_the_steps_and_the_token_opens_them(hub: Hub, tmp_path: Path, monkeypatch, capfd) -> None:
    hub.gated = True
    entry = an_entry(repositories={"huggingface": Repository("o/m", "main", gated=True)})
    with pytest.raises(NotReady) as caught:
        pull(entry, place(tmp_path))
    assert caught.value.reason == "MODEL_GATED"
    assert "(1) log in at https://huggingface.co/o/m and accept the licence" in str(caught.value)
    assert "(2) make a token" in str(caught.value) and "(3) run: merrflow models pull m" in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert (pull(entry, place(tmp_path)) / "model.safetensors").is_file()
    said = "".join(capfd.readouterr())
    assert "pulling weights" in said and TOKEN not in said


@pytest.mark.parametrize("open_listing", [True, False])
@pytest.mark.parametrize("gated", [True, False])
def test_a_wrong_token_is_said_to_be_wrong(hub: Hub, tmp_path: Path, monkeypatch, gated: bool, open_listing) -> None:
    hub.gated, hub.knows_tokens, hub.open_listing = gated, True, open_listing
    monkeypatch.setenv("HF_TOKEN", "hf_mistyped")
    with pytest.raises(NotReady) as caught:
        pull(an_entry(repositories={"huggingface": Repository("o/m", "main", gated=gated)}), place(tmp_path))
    assert caught.value.reason == "MODEL_GATED"
    text = str(caught.value)
    assert "the weights m (o/m, HTTP 401): the token in HF_TOKEN is wrong, or has expired. (1) make a token" in text
    assert "hf_mistyped" not in text


def test_a_token_whose_user_has_not_accepted_the_licence(hub: Hub, tmp_path: Path, monkeypatch) -> None:
    hub.gated = hub.open_listing = True
    monkeypatch.setenv("HF_TOKEN", "hf_of_another_user")
    with pytest.raises(NotReady, match=r"HTTP 403\).* has not accepted the licence. \(1\) log in at .*/o/m") as caught:
        pull(an_entry(repositories={"huggingface": Repository("o/m", "main", gated=True)}), place(tmp_path))
    assert caught.value.reason in PASSING  # once it is accepted, a service that tries again gets them


def test_a_revision_and_a_repository_that_are_not_there(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="o/m on Hugging Face has no revision nope"):
        pull(an_entry(repositories={"huggingface": Repository("o/m", "nope")}), place(tmp_path))
    with pytest.raises(NotReady, match=r"o/none on Hugging Face is not there, or not for this user"):
        pull(an_entry(repositories={"huggingface": Repository("o/none", "main")}), place(tmp_path))


def test_a_hub_that_has_not_the_entry(hub: Hub, tmp_path: Path) -> None:
    entry = an_entry(repositories={"huggingface": Repository("o/m", "main")})
    with pytest.raises(NotReady, match="m is not on modelscope.*set MERRFLOW_HUB to one of: huggingface"):
        pull(entry, place(tmp_path, "modelscope"))


def test_room_is_checked_before_anything_is_fetched(hub: Hub, tmp_path: Path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(NotReady, match=r"0.0 GB are free; make 0.27 GB of room there") as caught:
        pull(an_entry(), place(tmp_path))
    assert caught.value.reason == "STORAGE"
    assert not hub.asked


def test_what_came_before_counts_as_room(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(storage, "SPARE_BYTES", 0)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(NotReady):
        storage.need_room(an_entry(), tmp_path, 100_000)
    (tmp_path / "x.incomplete").write_bytes(b"x" * 100_000)
    storage.need_room(an_entry(), tmp_path, 100_000)


def _pull_with_little_disk(folder: Path, name: str, queue) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # a write past it fails, as on a full disk
    try:
        pull(an_entry(), place(folder, name))
    except NotReady as error:
        queue.put((error.reason, str(error)))


@pytest.mark.slow
@HUBS
def test_a_disk_that_fills_up_in_the_middle(hub: Hub, tmp_path: Path, name: str) -> None:
    queue = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(target=_pull_with_little_disk, args=(tmp_path, name, queue))
    process.start()
    reason, text = queue.get(timeout=60)
    process.join(10)
    assert reason == "STORAGE"
    assert "the disk ran full while m was pulled into" in text and "set MERRFLOW_MODELS_DIR to a larger disk" in text


def test_faults_of_the_disk_are_told_from_those_of_the_network() -> None:
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied", "/models/m"),
        RuntimeError("Data processing error: I/O error: No space left on device (os error 28)"),
    ):
        wrapped = RuntimeError("download failed")
        wrapped.__cause__ = error
        assert storage.disk_fault(error) and storage.disk_fault(wrapped), error
    for error in (ConnectionRefusedError(111, "refused"), PermissionError(errno.EACCES, "denied"), ValueError("x")):
        assert storage.disk_fault(error) is None, error


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, r"belongs to user \d+, and this is user \d+; run as root: chown -R \d+ "),
        (errno.EROFS, "it is mounted read-only; mount it writable, or set MERRFLOW_MODELS_DIR"),
    ],
)
def test_a_volume_that_refuses(hub: Hub, tmp_path: Path, monkeypatch, number: int, words: str) -> None:
    def refuse(self: Path, *args: object, **more: object) -> None:
        raise OSError(number, "no", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(NotReady, match=words) as caught:
        pull(an_entry(), place(tmp_path))
    assert caught.value.reason == "STORAGE"


def test_a_folder_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(NotReady, match="cannot be written.*MERRFLOW_MODELS_DIR"):
        pull(an_entry(), place(tmp_path))


def test_names_that_lead_out_of_the_folder_are_not_taken(hub: Hub, tmp_path: Path) -> None:
    hub.files["../model-evil.safetensors"] = hub.files["a/../../model.safetensors"] = b"evil"
    entry = an_entry(files=(WeightFile("config.json"),), patterns=("*.safetensors",))
    folder = pull(entry, place(tmp_path))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "merrflow.json", "model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [".locks", "m"]


def _pull_in_a_process(folder: Path, queue) -> None:
    queue.put(str(pull(an_entry(), place(folder))))


def test_two_processes_pull_once(hub: Hub, tmp_path: Path) -> None:
    hub.pause = 0.3
    fork = multiprocessing.get_context("spawn")
    queue = fork.Queue()
    both = [fork.Process(target=_pull_in_a_process, args=(tmp_path, queue)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    found = [queue.get(timeout=1) for _ in both]
    assert found == [str(tmp_path / "models" / "m")] * 2
    assert dict(hub.asked) == {"config.json": 1, "model.safetensors": 1}


@HUBS
def test_a_pull_that_was_killed_leaves_no_lock_and_only_what_can_be_resumed(hub: Hub, tmp_path: Path, name) -> None:
    hub.pause = 60
    process = multiprocessing.get_context("spawn").Process(target=pull, args=(an_entry(), place(tmp_path, name)))
    process.start()
    folder = tmp_path / "models" / "m"
    deadline = time.monotonic() + 60
    while not list(folder.rglob("*.incomplete")):
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)
    process.kill()
    process.join(10)
    hub.pause = 0
    resumable = [folder / "config.json.incomplete"] if name == "modelscope" else []
    for partial in resumable:
        partial.write_bytes(hub.files["config.json"][:10])
    storage.drop_leftovers(folder)
    assert list(folder.rglob("*.incomplete")) == resumable
    pull(an_entry(), place(tmp_path, name))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "merrflow.json", "model.safetensors"]
    assert (folder / "config.json").read_bytes() == hub.files["config.json"]
    assert hub.ranges == (["config.json 10"] if resumable else [])


def test_progress_is_logged_and_told(hub: Hub, tmp_path: Path, capfd) -> None:
    hub.pause = 0.5
    told = []
    progress = Progress()

    def pull_and_report() -> None:
        with progress.open():
            pull(an_entry(), place(tmp_path), report_seconds=0.1)

    pulling = threading.Thread(target=pull_and_report)
    pulling.start()
    while pulling.is_alive():
        told += [step.text for step in [progress.now()] if step]
        pulling.join(0.05)
    assert any(re.fullmatch(r"pulling m: [\d.]+ of 0.0 GB", text) for text in told), set(told)
    assert progress.now() is None
    said = capfd.readouterr().out
    assert "percent=" in said and "weights are whole" in said


def test_a_missing_library_is_named(hub: Hub, tmp_path: Path, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(NotReady, match="pip install huggingface_hub"):
        pull(an_entry(), place(tmp_path))
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    with pytest.raises(NotReady, match="pip install modelscope"):
        pull(an_entry(), place(tmp_path, "modelscope"))


def on_the_web(hub: Hub, **changes) -> Entry:
    names = ("config.json", "model.safetensors")
    fields = {
        "repositories": {"web": Repository("o/m", "v1.0", url=f"{hub.url}/plain/v1.0/")},
        "files": tuple(WeightFile(name, len(hub.files[name]), sha(hub.files[name])) for name in names),
    }
    return an_entry(**(fields | changes))


@HUBS
def test_files_at_plain_addresses_are_pulled_whatever_the_hub(hub: Hub, tmp_path: Path, name: str) -> None:
    elsewhere = WeightFile("tokenizer.json", url=f"{hub.url}/plain/v2.0/tokenizer.json")
    one = on_the_web(hub)
    one = on_the_web(hub, files=(*one.files, elsewhere))
    folder = pull(one, place(tmp_path, name))
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    manifest = read_manifest(folder)
    assert (manifest.hub, manifest.revision) == ("web", "v1.0")
    pull(one, place(tmp_path, name))
    assert set(hub.asked.values()) == {1}


def test_a_file_at_a_plain_address_that_breaks_off_is_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    hub.cut["model.safetensors"] = hub.busy["config.json"] = 1
    folder = pull(on_the_web(hub), place(tmp_path))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_plain_address_with_another_file_or_none_is_said(hub: Hub, tmp_path: Path) -> None:
    one = on_the_web(hub)
    hub.files["config.json"] = b'{"model_type": "other"}'
    with pytest.raises(NotReady, match="config.json has sha256 .* another revision") as caught:
        pull(one, place(tmp_path))
    assert caught.value.reason == "MODEL_DAMAGED" and not (tmp_path / "models/m/config.json").exists()
    del hub.files["config.json"]
    with pytest.raises(NotReady, match="config.json answers 404") as caught:
        pull(one, place(tmp_path))
    assert caught.value.reason == "MODEL_MISSING"


def test_weights_that_ask_for_acceptance_are_not_pulled_unasked(hub: Hub, tmp_path: Path, monkeypatch) -> None:
    one = on_the_web(hub, asks=True, licence_url="https://example.org/licence")
    monkeypatch.setattr(sys.modules["merrflow_serving.weights.locate"], "entry", lambda name: one)
    with pytest.raises(NotReady, match="merrflow models pull m --accept-licence"):
        locate("m", place(tmp_path))
    assert not hub.asked
