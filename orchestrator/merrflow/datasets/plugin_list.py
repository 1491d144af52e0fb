"""Names and descriptions of curation filters and export formats, for help.

To import them all takes a second, so the help reads those of merrflow in plugin_list.json. All are loaded only if
another distribution adds one, which may change the order too.

`python -m merrflow.datasets.plugin_list` writes the file from the built-in classes (`make generated`), whatever else is
installed. With `--check` it writes nothing and fails if the file is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from merrflow.core.errors import InputError
from merrflow.core.plugins import EXPORTS, FILTERS, Plugin
from merrflow_serving.distributions import points_of

if TYPE_CHECKING:
    from merrflow.datasets.curation.base import Filter
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
    if not points_of(group):
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
    from merrflow.datasets.curation.registry import filter_plugins

    plugins = filter_plugins()
    try:
        order = packaged().order
    except InputError:  # of one that cannot be used, the place is not known
        order = tuple(plugins)
    return [(name, partial(_about_filter, plugins[name])) for name in order]


def _formats() -> _Rows:
    from merrflow.datasets.export.registry import known_formats

    return [(name, partial(_about_format, plugin)) for name, plugin in known_formats().items()]


def _built_in() -> dict[str, _Rows]:
    """The rows of merrflow's own filters and formats, by group."""
    import yaml

    from merrflow.datasets.curation import config, registry
    from merrflow.datasets.export.registry import BUILT_IN

    order = yaml.safe_load(config.PACKAGED.read_text(encoding="utf-8"))["order"]
    return {
        FILTERS: [(name, partial(_about_filter, _own(FILTERS, name, registry.BUILT_IN[name]))) for name in order],
        EXPORTS: [(name, partial(_about_format, _own(EXPORTS, name, place))) for name, place in BUILT_IN.items()],
    }


def _own(group: str, name: str, place: str) -> Plugin[Any]:
    return Plugin("plug-in", EntryPoint(name, place, group), built_in=True)


def _about_filter(plugin: Plugin[Filter[Any]]) -> str:
    from merrflow.datasets.curation.registry import load_filter

    return load_filter(plugin).about


def _about_format(plugin: Plugin[Format[Any]]) -> str:
    from merrflow.datasets.export.registry import load_format

    found = load_format(plugin)
    options = [f"{key} ({field.description})" for key, field in found.options_type.model_fields.items()]
    return found.about + (f". Options: {'; '.join(options)}" if options else "")


def main(arguments: list[str] | None = None) -> None:
    """Writes the file, or checks it."""
    parser = argparse.ArgumentParser(prog="python -m merrflow.datasets.plugin_list", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the file is stale")
    check = parser.parse_args(arguments).check
    found = {group: {name: about() for name, about in rows} for group, rows in _built_in().items()}
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if check:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
            sys.exit(f"{FILE.name} is stale: run `make generated`")
    else:
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
