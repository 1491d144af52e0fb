"""The export formats there are: merrflow's own, and those of other distributions (entry points of `merrflow.exports`).

A new built-in format takes its file and a line here; one from outside an entry point in its `pyproject.toml`:

    [project.entry-points."merrflow.exports"]
    names = "acme_formats:Names"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from merrflow.core.errors import InputError
from merrflow.core.plugins import EXPORTS, Plugin, find_plugins
from merrflow.datasets.export.format import Format, FormatOptions
from merrflow_serving.errors import as_line

GROUP = EXPORTS
_HERE = "merrflow.datasets.export"
BUILT_IN = {
    "merr": f"{_HERE}.merr:Merr",
    "merr-strict": f"{_HERE}.merr_strict:MerrStrict",
    "huggingface": f"{_HERE}.huggingface:HuggingFaceFormat",
    "webdataset": f"{_HERE}.huggingface:WebDatasetFormat",
    "sharegpt": f"{_HERE}.sharegpt:ShareGptFormat",
    "csv": f"{_HERE}.spreadsheet:Csv",
    "labelstudio": f"{_HERE}.labelstudio:LabelStudioFormat",
    "argilla": f"{_HERE}.argilla:ArgillaFormat",
    "fiftyone": f"{_HERE}.fiftyone:FiftyOneFormat",
    "mer-factory": f"{_HERE}.mer_factory:MerFactoryFormat",
}


def known_formats() -> dict[str, Plugin[Format[Any]]]:
    """All formats by name, not imported yet. Raises `InputError` with one line if two have the same name."""
    return find_plugins(GROUP, "export format", BUILT_IN)


def load_format(plugin: Plugin[Format[Any]]) -> type[Format[Any]]:
    """A format's class. Raises `InputError` with one line if it cannot be used."""
    found = plugin.load(Format)  # type: ignore[type-abstract]  # what `load` returns is a complete subclass
    with plugin.blamed():
        if not re.fullmatch("[a-z][a-z0-9_-]*", found.name):  # it names a folder
            raise plugin.fault("has a name that is not made of small letters, digits, - and _")
        if not (isinstance(found.options_type, type) and issubclass(found.options_type, FormatOptions)):
            base = f"{FormatOptions.__module__}.{FormatOptions.__name__}"
            raise plugin.fault(f"has an options_type that is not a subclass of {base}")
        if required := [key for key, field in found.options_type.model_fields.items() if field.is_required()]:
            raise plugin.fault(f"has options without a default: {', '.join(required)}")
        found.options_type()  # or raises
    return found


def make_format(name: str, options: Mapping[str, object]) -> Format[Any]:
    """A format with its options, which may be text. Raises `InputError` for what is not known or not valid."""
    known = known_formats()
    if name not in known:
        raise InputError(f"the format {name!r:.80} is not known; there are: {', '.join(known)}")
    chosen = load_format(known[name])
    for key in options:
        if key not in chosen.options_type.model_fields:
            raise InputError(_unknown_option(key, chosen, known))
    with known[name].blamed():
        try:
            return chosen(chosen.options_type.model_validate(options))
        except ValidationError as error:
            raise InputError(as_line(f"the format {name}{_what_is_wrong(error)}")) from error


def _what_is_wrong(error: ValidationError) -> str:
    """The first fault. A message of the format's own names the option itself."""
    fault = error.errors()[0]
    own = isinstance(fault.get("ctx", {}).get("error"), InputError)
    place = "" if own or not fault["loc"] else f", option {'.'.join(map(str, fault['loc']))}"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"


def _unknown_option(key: str, chosen: type[Format[Any]], known: Mapping[str, Plugin[Format[Any]]]) -> str:
    own = ", ".join(chosen.options_type.model_fields) or "none"
    built_in = [name for name, plugin in known.items() if plugin.built_in]
    others = [name for name in built_in if key in load_format(known[name]).options_type.model_fields]
    return f"the format {chosen.name} has no option {key!r} (it has: {own})" + (
        f", which is for {', '.join(others)}" if others else ""
    )
