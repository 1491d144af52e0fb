"""Where settings come from: defaults, then a YAML file, then environment, then the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from merrflow.core.datafile import Loader, bounded_text
from merrflow.core.errors import InputError, listed, why_unread
from merrflow.core.settings import RunSettings

_SETTINGS_ARE = f"; the settings are: {', '.join(RunSettings.model_fields)}"


def load_settings(config: Path | None = None, **overrides: Any) -> RunSettings:
    """Settings from a YAML file, the environment and overrides (None: not given), the later before the earlier.

    Raises `InputError` naming the source of the value, the setting, and what is wrong.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    from_file = _read(config) if config else {}
    from_environment = EnvSettingsSource(RunSettings)()
    try:
        return RunSettings(**(from_file | from_environment | given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        hint = _SETTINGS_ARE if first["type"] == "extra_forbidden" else ""
        if not name:  # settings that do not go together
            source = "the settings"
        elif name in given:
            source = name
        elif name in from_environment:
            source = f"the environment variable MERRFLOW_{name.upper()}"
        else:
            source = f"{config}: {name}"
        raise InputError(f"{source}: {first['msg'].removeprefix('Value error, ')}{hint}") from error


def _read(config: Path) -> dict[str, Any]:
    try:
        values = Loader(bounded_text(config)).get_single_data()
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # not UTF-8, a zero byte in the path
        raise InputError(f"{config}: cannot be read as YAML ({why_unread(error)})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{config}: must hold `setting: value` lines")
    for name in values:
        if name not in RunSettings.model_fields:
            raise InputError(f"{config}: {listed([str(name)])}: Extra inputs are not permitted{_SETTINGS_ARE}")
    return values
