"""Hugging Face and ModelScope through their own libraries, and plain addresses: what there is, and one file of it.

The libraries are imported when a pull begins. They take tokens from the environment
(`HF_TOKEN`, `MODELSCOPE_API_TOKEN`) or from their own login; no token passes through here, so none can be logged.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

from merrflow_serving.errors import NotReady
from merrflow_serving.weights import messages, storage
from merrflow_serving.weights.entries import Entry, Repository, WeightFile, is_plain
from merrflow_serving.weights.places import Source

PACKAGES = {"huggingface": "huggingface_hub", "modelscope": "modelscope"}
NETWORK = ("httpx", "httpcore", "httpx2", "httpcore2", "requests")  # packages whose errors are the network's
WEB_SECONDS = 60.0  # without an answer
WEB_BYTES = 64 << 20  # of one file, which is held in memory
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Listing:
    """A repository at one revision."""

    revision: str  # the commit if the hub names it
    files: tuple[WeightFile, ...]  # hubs know the sha256 of large files only


class HubClient(ABC):
    """One entry's repository on a hub, pulled into one folder. An error of the hub's library becomes `NotReady`."""

    def __init__(self, entry: Entry, repository: Repository, folder: Path) -> None:
        self._entry = entry
        self._repository = repository
        self._folder = folder

    def list(self) -> Listing:
        """All files. Raises `NotReady` with what to do."""
        with self._explained():
            return self._list()

    def let_in(self, listing: Listing, file: WeightFile) -> None:
        """Asks for the file without fetching it: what a gated repository holds is listed to everybody.

        Raises `NotReady` with what to do.
        """
        with self._explained():
            self._let_in(listing, file)

    def fetch(self, listing: Listing, file: WeightFile) -> None:
        """Puts the file at `folder/file.name`, which must not exist. Raises `NotReady` with what to do."""
        with self._explained():
            self._fetch(listing, file)

    @abstractmethod
    def _list(self) -> Listing: ...

    def _let_in(self, listing: Listing, file: WeightFile) -> None:  # noqa: B027 - only Hugging Face needs it
        """Raises an error of the library for a file that may not be fetched."""

    @abstractmethod
    def _fetch(self, listing: Listing, file: WeightFile) -> None: ...

    @abstractmethod
    def _explain(self, error: Exception) -> NotReady | None:
        """What to say of an error of the library; None for one that is no fault of hub, network or user."""

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            fault = storage.disk_fault(error)
            explained = storage.problem(self._entry, self._folder, fault) if fault else self._explain(error)
            if explained is None:
                raise
            raise explained from error


def client(hub: Source, repository: Repository, *, entry: Entry, folder: Path) -> HubClient:
    """The hub's client. Raises `NotReady` if its library is not installed."""
    if hub == "web":
        return Web(entry, repository, folder)
    try:
        return (HuggingFace if hub == "huggingface" else ModelScope)(entry, repository, folder)
    except ModuleNotFoundError as error:
        raise NotReady(
            f"weights are pulled with {PACKAGES[hub]}, which is not installed: pip install {PACKAGES[hub]}",
            reason="LIBRARY_MISSING",
        ) from error


class HuggingFace(HubClient):
    """huggingface_hub. `HF_ENDPOINT` names a mirror."""

    def __init__(self, entry: Entry, repository: Repository, folder: Path) -> None:
        super().__init__(entry, repository, folder)
        import huggingface_hub
        from huggingface_hub.utils.tqdm import disable_progress_bars

        self._hub = huggingface_hub
        self._endpoint = os.environ.get("HF_ENDPOINT") or None
        disable_progress_bars()  # progress is logged, for every hub alike

    def _list(self) -> Listing:
        info = self._hub.HfApi(endpoint=self._endpoint).model_info(
            self._repository.id, revision=self._repository.revision or None, files_metadata=True
        )
        files = (_listed(one.rfilename, one.size, one.lfs.sha256 if one.lfs else "") for one in info.siblings or ())
        return Listing(info.sha or self._repository.revision, tuple(filter(None, files)))

    def _let_in(self, listing: Listing, file: WeightFile) -> None:
        address = self._hub.hf_hub_url(
            self._repository.id, file.name, revision=listing.revision, endpoint=self._endpoint
        )
        self._hub.get_hf_file_metadata(address, endpoint=self._endpoint)

    def _fetch(self, listing: Listing, file: WeightFile) -> None:
        self._hub.hf_hub_download(
            self._repository.id, file.name, revision=listing.revision, local_dir=self._folder, endpoint=self._endpoint
        )

    def _explain(self, error: Exception) -> NotReady | None:
        from huggingface_hub import errors

        where = f"{self._repository.id} on Hugging Face"
        if isinstance(error, errors.RevisionNotFoundError):
            return NotReady(f"{where} has no revision {self._repository.revision}", reason="MODEL_MISSING")
        if isinstance(error, errors.HfHubHTTPError):
            code = error.response.status_code if error.response is not None else 0
            has_token = bool(self._hub.get_token())
            unknown = isinstance(error, errors.RepositoryNotFoundError) and not isinstance(error, errors.GatedRepoError)
            if code == 403 or (code == 401 and (has_token or not unknown)) or (unknown and self._repository.gated):
                return messages.refused(self._entry, self._repository, "huggingface", code, has_token)
            if unknown:  # what the hub also says of a private repository to a user who may not see it
                return NotReady(
                    f"{where} is not there, or not for this user; check its name, or set HF_TOKEN",
                    reason="MODEL_MISSING",
                )
        return messages.unreachable(where, error) if _is_of_network(error, errors.HfHubHTTPError) else None


class ModelScope(HubClient):
    """modelscope_hub, the client part of modelscope. `MODELSCOPE_ENDPOINT` names another site."""

    def __init__(self, entry: Entry, repository: Repository, folder: Path) -> None:
        super().__init__(entry, repository, folder)
        from modelscope_hub import HubApi

        self._api = HubApi(endpoint=os.environ.get("MODELSCOPE_ENDPOINT") or None)

    def _list(self) -> Listing:
        revision = self._repository.revision
        found = self._api.list_repo_files(self._repository.id, "model", revision=revision or None)
        listed = (_listed(one.path, one.size, one.sha256) for one in found if not one.is_dir)
        files = tuple(filter(None, listed))
        if _COMMIT.fullmatch(revision):
            return Listing(revision, files)
        # The hub names no commit for a branch, so the files identify it.
        text = "\n".join(f"{one.name} {one.sha256 or one.size}" for one in sorted(files, key=lambda one: one.name))
        return Listing(f"{revision or 'master'}-{hashlib.sha256(text.encode()).hexdigest()[:16]}", files)

    def _fetch(self, listing: Listing, file: WeightFile) -> None:
        self._api.download_file(
            self._repository.id,
            "model",
            file.name,
            revision=self._repository.revision or None,
            local_dir=self._folder,
            expected_sha256=file.sha256 or None,
            file_size=file.size or None,
        )

    def _explain(self, error: Exception) -> NotReady | None:
        from modelscope_hub import errors

        where = f"{self._repository.id} on ModelScope"
        if isinstance(error, errors.AuthenticationError | errors.PermissionDeniedError):
            code = 403 if isinstance(error, errors.PermissionDeniedError) else 401
            has_token = bool(os.environ.get("MODELSCOPE_API_TOKEN"))
            return messages.refused(self._entry, self._repository, "modelscope", code, has_token)
        if isinstance(error, errors.NotExistError):
            return NotReady(
                f"{where}, revision {self._repository.revision or 'master'}, is not there, or not for this user",
                reason="MODEL_MISSING",
            )
        if isinstance(error, errors.FileIntegrityError):
            return NotReady(f"{where} sends damaged files: {error}; try again later", reason="MODEL_DAMAGED")
        return messages.unreachable(where, error) if _is_of_network(error, errors.HubError) else None


class Web(HubClient):
    """Files at addresses of their own: the table says which there are, so nothing is asked before they are fetched."""

    def _list(self) -> Listing:
        return Listing(self._repository.revision, self._entry.files)

    def _fetch(self, listing: Listing, file: WeightFile) -> None:
        target = self._folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with urlopen(self._address(file), timeout=WEB_SECONDS) as answer:
            content = answer.read(WEB_BYTES + 1)
            if answer.length and len(content) <= WEB_BYTES:  # `read` with a limit says nothing of what did not come
                raise IncompleteRead(content, answer.length)
        if len(content) > WEB_BYTES:
            raise NotReady(
                f"{self._address(file)} is larger than {WEB_BYTES} bytes: another file", reason="MODEL_MISMATCH"
            )
        target.write_bytes(content)

    def _explain(self, error: Exception) -> NotReady | None:
        if isinstance(error, HTTPError) and error.code in (401, 403, 404, 410):
            return NotReady(f"{error.url} answers {error.code}: the file is not there any more", reason="MODEL_MISSING")
        if isinstance(error, NotReady):
            return error
        # What is broken off in the middle is no OSError.
        return messages.unreachable(self._repository.id, error) if isinstance(error, OSError | HTTPException) else None

    def _address(self, file: WeightFile) -> str:
        return file.url or self._repository.url + quote(file.name)


def _listed(name: str, size: int | None, sha256: str | None) -> WeightFile | None:
    """A file of a listing; None for a name that leads out of the folder."""
    if not is_plain(name):
        return None
    return WeightFile(name, size, sha256 if sha256 and _SHA256.fullmatch(sha256) else "")


def _is_of_network(error: Exception, library: type[Exception]) -> bool:
    return isinstance(error, (library, OSError)) or type(error).__module__.split(".")[0] in NETWORK
