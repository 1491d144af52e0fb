"""Puts a finished export on a hub of Hugging Face's kind, as a private dataset, in one commit."""

from __future__ import annotations

from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.datasets.export.folder import LIST
from merrflow.datasets.export.registry import known_formats, load_format
from merrflow.datasets.export.text import one_line

_ADVICE = (
    "log in with `hf auth login` or set HF_TOKEN; the export itself is complete, so it can be uploaded later too: "
    "hf upload --repo-type dataset"
)


def check_repository(repository: str, format: str) -> None:
    """Raises `InputError` if this is no name of a repository, or the format has no dataset card."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    known = known_formats()
    if format in known and not load_format(known[format]).has_card:
        having = ", ".join(name for name, plugin in known.items() if load_format(plugin).has_card)
        raise InputError(f"--push: the format {format} has no dataset card; formats that have one: {having}")
    try:
        validate_repo_id(repository)
    except HFValidationError:
        raise InputError(f"--push {repository}: name a repository, such as alice/emotions") from None


def push(folder: Path, repository: str) -> str:
    """Uploads the folder's files in the place of those that the repository had. Returns the commit's address. Blocking.

    A repository that is not there yet is made, and private; one that is there keeps who may see it. Where the hub is,
    and the token, come from huggingface_hub: HF_ENDPOINT, HF_TOKEN, `hf auth login`. Raises `InputError`.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    hub = HfApi()
    try:
        hub.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=[LIST],
            delete_patterns=["data/*"],  # shards of an earlier export of another size
            commit_message="Written by merrflow export",
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, httpx.HTTPError, OSError, ValueError) as error:
        raise InputError(
            f"--push {repository}: {hub.endpoint} does not take it ({one_line(str(error))[:300]}); {_ADVICE}"
        ) from error
    return str(commit.commit_url)
