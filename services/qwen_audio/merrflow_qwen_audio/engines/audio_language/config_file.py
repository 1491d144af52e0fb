"""`config.json`, which comes with the weights of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from merrflow_serving.errors import NotReady

CONFIG_FILE = "config.json"


def read_config_file(folder: Path) -> Any:
    """The content of a folder's `config.json`. Raises `NotReady` if it is missing or is not JSON."""
    file = folder / CONFIG_FILE
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise NotReady(f"{file} cannot be read: {error}; it comes with the weights") from error
    except ValueError as error:
        raise NotReady(f"{file} is not JSON: {error}; download it again") from error
