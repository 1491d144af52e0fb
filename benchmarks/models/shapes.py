"""Full and small shapes of the models, read from `shapes.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

Size = Literal["full", "small"]


def shape(model: str, size: Size) -> dict[str, Any]:
    """The file's entries for `model`; of entries that differ between sizes, those of `size`."""
    content = yaml.safe_load(Path(__file__).with_name("shapes.yaml").read_text(encoding="utf-8"))[model]
    return {name: value[size] if isinstance(value, dict) else value for name, value in content.items()}
