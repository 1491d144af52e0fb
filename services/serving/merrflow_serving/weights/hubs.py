"""Hugging Face and ModelScope through their own libraries: what a repository holds, and one file of it.

The libraries download, retry and resume. They are imported when a pull begins. They take tokens from the environment
(`HF_TOKEN`, `MODELSCOPE_API_TOKEN`) or from their own login; no token passes through here, so none can be logged.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from merrflow_serving.errors import NotReady
from merrflow_serving.weights import messages, storage
from merrflow_serving.weights.entries import Entry, Repository, WeightFile, is_plain
from merrflow_serving.weights.places import Hub

PACKAGES = {"huggingface": "huggingface_hub", "modelscope": "modelscope"}
NETWORK = ("httpx", "httpcore", "httpx2", "httpcore2", "requests")  # packages whose errors are the network's
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Listing:
    """A repository at one revision."""

    revision: str  # the commit if the hub names it
    files: tuple[WeightFile, ...]  # hubs know the sha256 of large files only


class HubClient(Protocol):
    """What a pull needs of a hub."""

    def list(self, entry: Entry, repository: Repository) -> Listing:
        """All files. Raises `NotReady` with what to do."""

    def fetch(self, entry: Entry, repository: Repository, commit: str, file: WeightFile, folder: Path) -> None:
        """Puts the file at `folder/file.name`, which must not exist. Raises `NotReady` with what to do."""


def client(hub: Hub) -> HubClient:
    """The hub's client. Raises `NotReady` if its library is not installed."""
    try:
        return HuggingFace() if hub == "huggingface" else ModelScope()
    except ModuleNotFoundError as error:
        raise NotReady(
            f"weights are pulled with {PACKAGES[hub]}, which is not installed: pip install {PACKAGES[hub]}",
            reason="LIBRARY_MISSING",
        ) from error


class HuggingFace:
    """huggingface_hub. `HF_ENDPOINT` names a mirror."""

    def __init__(self) -> None:
        import huggingface_hub
        from huggingface_hub.utils.tqdm import disable_progress_bars

        self._hub = huggingface_hub
        self._endpoint = os.environ.get("HF_ENDPOINT") or None
        disable_progress_bars()  # progress is logged, for every hub alike

    def list(self, entry: Entry, repository: Repository) -> Listing:
        with _explained(lambda error: self._explain(entry, repository, error)):
            info = self._hub.HfApi(endpoint=self._endpoint).model_info(
                repository.id, revision=repository.revision or None, files_metadata=True
            )
        files = (_listed(one.rfilename, one.size, one.lfs.sha256 if one.lfs else "") for one in info.siblings or ())
        return Listing(info.sha or repository.revision, tuple(filter(None, files)))

    def fetch(self, entry: Entry, repository: Repository, commit: str, file: WeightFile, folder: Path) -> None:
        with _explained(lambda error: self._explain(entry, repository, error)), storage.written_to(entry, folder):
            self._hub.hf_hub_download(
                repository.id, file.name, revision=commit, local_dir=folder, endpoint=self._endpoint
            )

    def _explain(self, entry: Entry, repository: Repository, error: Exception) -> NotReady | None:
        from huggingface_hub import errors

        where = f"{repository.id} on Hugging Face"
        if isinstance(error, errors.RevisionNotFoundError):
            return NotReady(f"{where} has no revision {repository.revision}", reason="MODEL_MISSING")
        if isinstance(error, errors.HfHubHTTPError):
            code = error.response.status_code if error.response is not None else 0
            has_token = bool(self._hub.get_token())
            unknown = isinstance(error, errors.RepositoryNotFoundError) and not isinstance(error, errors.GatedRepoError)
            if code == 403 or (code == 401 and (has_token or not unknown)) or (unknown and repository.gated):
                return messages.refused(entry, repository, "huggingface", code, has_token)
            if unknown:  # what the hub also says of a private repository to a user who may not see it
                return NotReady(
                    f"{where} is not there, or not for this user; check its name, or set HF_TOKEN",
                    reason="MODEL_MISSING",
                )
        return messages.unreachable(where, error) if _is_of_network(error, errors.HfHubHTTPError) else None


class ModelScope:
    """modelscope_hub, the client part of modelscope. `MODELSCOPE_ENDPOINT` names another site."""

    def __init__(self) -> None:
        from modelscope_hub import HubApi

        self._api = HubApi(endpoint=os.environ.get("MODELSCOPE_ENDPOINT") or None)

    def list(self, entry: Entry, repository: Repository) -> Listing:
        with _explained(lambda error: self._explain(entry, repository, error)):
            found = self._api.list_repo_files(repository.id, "model", revision=repository.revision or None)
        listed = (_listed(one.path, one.size, one.sha256) for one in found if not one.is_dir)
        files = tuple(filter(None, listed))
        if _COMMIT.fullmatch(repository.revision):
            return Listing(repository.revision, files)
        # The hub names no commit for a branch, so the files identify it.
        text = "\n".join(f"{one.name} {one.sha256 or one.size}" for one in sorted(files, key=lambda one: one.name))
        return Listing(f"{repository.revision or 'master'}-{hashlib.sha256(text.encode()).hexdigest()[:16]}", files)

    def fetch(self, entry: Entry, repository: Repository, commit: str, file: WeightFile, folder: Path) -> None:
        with _explained(lambda error: self._explain(entry, repository, error)), storage.written_to(entry, folder):
            self._api.download_file(
                repository.id,
                "model",
                file.name,
                revision=repository.revision or None,
                local_dir=folder,
                expected_sha256=file.sha256 or None,
                file_size=file.size or None,
            )

    def _explain(self, entry: Entry, repository: Repository, error: Exception) -> NotReady | None:
        from modelscope_hub import errors

        where = f"{repository.id} on ModelScope"
        if isinstance(error, errors.AuthenticationError | errors.PermissionDeniedError):
            code = 403 if isinstance(error, errors.PermissionDeniedError) else 401
            has_token = bool(os.environ.get("MODELSCOPE_API_TOKEN"))
            return messages.refused(entry, repository, "modelscope", code, has_token)
        if isinstance(error, errors.NotExistError):
            return NotReady(
                f"{where}, revision {repository.revision or 'master'}, is not there, or not for this user",
                reason="MODEL_MISSING",
            )
        if isinstance(error, errors.FileIntegrityError):
            return NotReady(f"{where} sends damaged files: {error}; try again later", reason="MODEL_DAMAGED")
        return messages.unreachable(where, error) if _is_of_network(error, errors.HubError) else None


def _listed(name: str, size: int | None, sha256: str | None) -> WeightFile | None:
    """A file of a listing; None for a name that leads out of the folder."""
    if not is_plain(name):
        return None
    return WeightFile(name, size, sha256 if sha256 and _SHA256.fullmatch(sha256) else "")


@contextmanager
def _explained(explain: Callable[[Exception], NotReady | None]) -> Iterator[None]:
    """Inside, an error of a library becomes the `NotReady` that `explain` makes of it."""
    try:
        yield
    except NotReady:
        raise
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        raise explained from error


def _is_of_network(error: Exception, library: type[Exception]) -> bool:
    return isinstance(error, (library, OSError)) or type(error).__module__.split(".")[0] in NETWORK
