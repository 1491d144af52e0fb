"""Hugging Face and ModelScope through their own libraries: what a repository holds, and one file of it.

The libraries are imported when a pull begins. They take tokens from the environment (`HF_TOKEN`,
`MODELSCOPE_API_TOKEN`) or from their own login; no token passes through here, so none can be logged.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from merrflow_serving.errors import NotReady
from merrflow_serving.weights import steps, storage
from merrflow_serving.weights.entries import Entry, Repository
from merrflow_serving.weights.places import Hub

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository, as the hub describes it."""

    name: str
    size: int | None
    sha256: str = ""  # hubs know it of large files only


@dataclass(frozen=True)
class Listing:
    """A repository at one revision."""

    revision: str  # the commit where the hub tells it
    files: tuple[RemoteFile, ...]


class HubClient(Protocol):
    """What a pull needs of a hub."""

    def list(self, entry: Entry, place: Repository) -> Listing:
        """All files. Raises `NotReady` with what to do."""
        ...

    def fetch(self, entry: Entry, place: Repository, listing: Listing, file: RemoteFile, folder: Path) -> None:
        """Puts the file at `folder/file.name`, going on where an earlier try stopped. Raises `NotReady`."""
        ...


def client(hub: Hub) -> HubClient:
    """The hub's client. Raises `NotReady` where its library is not installed."""
    return HuggingFace() if hub == "huggingface" else ModelScope()


class HuggingFace:
    """huggingface_hub. `HF_ENDPOINT` names a mirror."""

    def __init__(self) -> None:
        with _library("huggingface_hub"):
            import huggingface_hub
            from huggingface_hub.utils import disable_progress_bars
        self._hub = huggingface_hub
        self._endpoint = os.environ.get("HF_ENDPOINT") or None
        disable_progress_bars()  # progress is logged, for every hub alike

    def list(self, entry: Entry, place: Repository) -> Listing:
        with self._said_plainly(entry, place):
            info = self._hub.HfApi(endpoint=self._endpoint).model_info(
                place.id, revision=place.revision or None, files_metadata=True
            )
        files = tuple(
            RemoteFile(one.rfilename, one.size, (one.lfs.sha256 or "") if one.lfs else "")
            for one in info.siblings or ()
        )
        return Listing(info.sha or place.revision, files)

    def fetch(self, entry: Entry, place: Repository, listing: Listing, file: RemoteFile, folder: Path) -> None:
        with self._said_plainly(entry, place), storage.written_to(entry, folder):
            self._hub.hf_hub_download(
                place.id, file.name, revision=listing.revision, local_dir=folder, endpoint=self._endpoint
            )

    @contextmanager
    def _said_plainly(self, entry: Entry, place: Repository) -> Iterator[None]:
        from huggingface_hub import errors

        where = f"{place.id} on Hugging Face"
        try:
            yield
        except errors.RevisionNotFoundError as error:
            raise NotReady(f"{where} has no revision {place.revision}", reason="MODEL_MISSING") from error
        except errors.HfHubHTTPError as error:
            code = error.response.status_code if error.response is not None else 0
            has_token = bool(self._hub.get_token())
            unknown = isinstance(error, errors.RepositoryNotFoundError) and not isinstance(error, errors.GatedRepoError)
            if code == 403 or (code == 401 and (has_token or not unknown)) or (unknown and place.gated):
                raise _closed(entry, place, "huggingface", code, has_token) from error
            if unknown:  # said of private ones too, to whom may not see them
                raise NotReady(
                    f"{where} is not there, or not for this user; check its name, or set HF_TOKEN",
                    reason="MODEL_MISSING",
                ) from error
            raise _broken(where, error) from error
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
            raise _broken(where, error) from error
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("httpx", "httpcore", "httpx2", "httpcore2", "requests"):
                raise
            raise _broken(where, error) from error


class ModelScope:
    """modelscope_hub, the client part of modelscope. `MODELSCOPE_ENDPOINT` names another site."""

    def __init__(self) -> None:
        with _library("modelscope_hub", "modelscope"):
            from modelscope_hub import HubApi
        self._api = HubApi(endpoint=os.environ.get("MODELSCOPE_ENDPOINT") or None)

    def list(self, entry: Entry, place: Repository) -> Listing:
        with self._said_plainly(entry, place):
            found = self._api.list_repo_files(place.id, "model", revision=place.revision or None)
        files = tuple(
            RemoteFile(one.path, one.size, one.sha256 if one.sha256 and _SHA256.fullmatch(one.sha256) else "")
            for one in found
            if not one.is_dir
        )
        if _COMMIT.fullmatch(place.revision):
            return Listing(place.revision, files)
        # The hub names no commit for a branch: what identifies the files are the files.
        text = "\n".join(f"{one.name} {one.sha256 or one.size}" for one in sorted(files, key=lambda one: one.name))
        return Listing(f"{place.revision or 'master'}-{hashlib.sha256(text.encode()).hexdigest()[:16]}", files)

    def fetch(self, entry: Entry, place: Repository, listing: Listing, file: RemoteFile, folder: Path) -> None:
        with self._said_plainly(entry, place), storage.written_to(entry, folder):
            self._api.download_file(
                place.id,
                "model",
                file.name,
                revision=place.revision or None,
                local_dir=folder,
                expected_sha256=file.sha256 or None,
                file_size=file.size or None,
            )

    @contextmanager
    def _said_plainly(self, entry: Entry, place: Repository) -> Iterator[None]:
        from modelscope_hub import errors

        where = f"{place.id} on ModelScope"
        try:
            yield
        except (errors.AuthenticationError, errors.PermissionDeniedError) as error:
            code = 403 if isinstance(error, errors.PermissionDeniedError) else 401
            has_token = bool(os.environ.get("MODELSCOPE_API_TOKEN"))
            raise _closed(entry, place, "modelscope", code, has_token) from error
        except errors.NotExistError as error:
            raise NotReady(
                f"{where}, revision {place.revision or 'master'}, is not there, or not for this user",
                reason="MODEL_MISSING",
            ) from error
        except errors.FileIntegrityError as error:
            raise NotReady(f"{where} sends damaged files: {error}; try again later", reason="MODEL_DAMAGED") from error
        except (errors.HubError, OSError) as error:
            raise _broken(where, error) from error


@contextmanager
def _library(module: str, package: str = "") -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise NotReady(
            f"weights are pulled with {package or module}, which is not installed: pip install {package or module}",
            reason="LIBRARY_MISSING",
        ) from error


def _closed(entry: Entry, place: Repository, hub: Hub, code: int, has_token: bool) -> NotReady:
    """What to say where the hub does not let this user in: for want of a token, a right one, or its licence."""
    variable = steps.TOKEN_VARIABLES[hub]
    todo = steps.to_pull(entry, place, hub, gated=True)
    if not has_token:
        why = f"no token is set in {variable}"
    elif code == 401:
        why, todo = f"the token in {variable} is wrong, or has expired", todo[1:]  # the licence may well be accepted
    else:
        why = f"the token in {variable} may not read it, or its user has not accepted the licence"
    return NotReady(
        f"{hub} refuses the weights {entry.name} ({place.id}, HTTP {code}): {why}. {steps.numbered(todo)}, or start "
        "the service again with the token",
        reason="MODEL_GATED",
    )


def _broken(where: str, error: BaseException) -> NotReady:
    text = str(error).strip().splitlines()
    return NotReady(
        f"{where} could not be reached ({text[0] if text else type(error).__name__}); what came is kept. Check the "
        "network and its proxy (HTTPS_PROXY), or name a mirror (HF_ENDPOINT, MODELSCOPE_ENDPOINT), and try again",
        reason="HUB_UNREACHABLE",
    )
