"""Names and descriptions of curation filters and export formats, for help.

To import them all takes a second, so the help reads those of merrflow in plugin_list.json. All are loaded only if
another distribution adds one, which may change the order too.

`python -m merrflow.datasets.plugin_list` writes the file from the classes (`make generated`). With `--check` it writes
nothing and fails if the file is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from merrflow.core.errors import InputError
from merrflow.core.plugins import EXPORTS, FILTERS

if TYPE_CHECKING:
    from merrflow.core.plugins import Plugin
    from merrflow.datasets.export import Format

FILE = Path(__file__).with_suffix(".json")
_Rows: TypeAlias = Iterable[tuple[str, Callable[[], str]]]  # names, and what describes each; both may raise InputError


def filters() -> Iterator[tuple[str, str]]:
    """Name of each filter and why it drops clips, in the default order. One that cannot be used takes no other's row:
    what is wrong with it is said instead."""
    return _listed(FILTERS, _filters)


def formats() -> Iterator[tuple[str, str]]:
    """The same of export formats: what each writes, and its options."""
    return _listed(EXPORTS, _formats)


def _listed(group: str, load: Callable[[], _Rows]) -> Iterator[tuple[str, str]]:
    if not entry_points(group=group):
        yield from json.loads(FILE.read_text(encoding="utf-8"))[group].items()
        return
    try:
        for name, about in load():
            try:
                yield name, about()
            except InputError as error:
                yield name, str(error)
    except InputError as error:
        yield "", str(error)


def _filters() -> _Rows:
    from merrflow.datasets.curation.config import packaged
    from merrflow.datasets.curation.registry import filter_plugins, load_filter

    plugins = filter_plugins()
    try:
        order = packaged().order
    except InputError:  # of one that cannot be used, the place is not known
        order = tuple(plugins)
    return [(name, partial(lambda plugin: load_filter(plugin).about, plugins[name])) for name in order]


def _formats() -> _Rows:
    from merrflow.datasets.export.registry import known_formats

    return [(name, partial(_about_format, plugin)) for name, plugin in known_formats().items()]


def _about_format(plugin: Plugin[Format[Any]]) -> str:
    from merrflow.datasets.export.registry import load_format

    found = load_format(plugin)
    options = [f"{key} ({field.description})" for key, field in found.options_type.model_fields.items()]
    return found.about + (f". Options: {'; '.join(options)}" if options else "")


def main(arguments: list[str] | None = None) -> None:
    """Writes the file, or checks it. Raises `InputError` if filters or formats of others are installed here."""
    parser = argparse.ArgumentParser(prog="python -m merrflow.datasets.plugin_list", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the file is stale")
    check = parser.parse_args(arguments).check
    if others := [point.name for group in (FILTERS, EXPORTS) for point in entry_points(group=group)]:
        raise InputError(f"uninstall the filters and formats of other distributions first: {', '.join(others)}")
    found = {group: {name: about() for name, about in load()} for group, load in _LOADED}
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if check:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
            sys.exit(f"{FILE.name} is stale: run `make generated`")
    else:
        FILE.write_text(text, encoding="utf-8")


_LOADED = ((FILTERS, _filters), (EXPORTS, _formats))

if __name__ == "__main__":
    main()
