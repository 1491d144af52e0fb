"""`merrflow-serve SERVICE`: runs one model service. This is what containers start.

`merrflow-serve describe SERVICE` only prints, as JSON, what would run; see `merrflow_serving.describe`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from merrflow_serving import commands, logs, plugins
from merrflow_serving.catalog import SERVICES
from merrflow_serving.describe import describe
from merrflow_serving.distributions import blamed, points_of, source_of
from merrflow_serving.errors import InvalidInput, MerrflowError, as_line
from merrflow_serving.server import serve
from merrflow_serving.service import ServiceSpec
from merrflow_serving.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)
log = structlog.get_logger()


class _Parser(argparse.ArgumentParser):
    """Its help lists the engines that are installed, for which it has to import their services."""

    def format_help(self) -> str:
        return f"{super().format_help()}\nengines installed here:\n{_engines()}"


def load_spec(name: str) -> ServiceSpec[Any]:
    """The service of that name, if its distribution is installed here; else raises `MerrflowError`."""
    found = [point for point in points_of("merrflow.services") if point.name == name]
    if not found:
        known = ", ".join(SERVICES)
        hint = commands.install_service(name) if name in SERVICES else f"the services are: {known}"
        raise MerrflowError(f"the service {name!r} is not installed here; {hint}")
    if len(found) > 1:
        both = " and in ".join(sorted(map(source_of, found)))
        raise InvalidInput(f"the service {name} is in {both}; uninstall one")
    (point,) = found
    culprit = f"the service {name} of {source_of(point)}"
    with blamed(f"{culprit} cannot be imported from {point.value!r}", InvalidInput):
        spec = point.load()
    if not isinstance(spec, ServiceSpec):
        raise InvalidInput(f"{culprit} cannot be used: {point.value!r} is no {ServiceSpec.__name__}")
    return spec


def read_settings(spec: ServiceSpec[S], **given: Any) -> S:
    """A service's settings from the environment and `given`; raises `InvalidInput` naming the one that is wrong."""
    try:
        return spec.settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = spec.settings.variable("_".join(map(str, first["loc"])))
        raise InvalidInput(f"setting {name}: {first['msg'].removeprefix('Value error, ')}") from error


def main(arguments: list[str] | None = None) -> int:
    """Exit code 2 for unusable arguments or settings, 0 after a clean stop."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["describe"]:
        return _describe(arguments[1:])
    parser = _Parser(prog="merrflow-serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service", help=f"one of {', '.join(SERVICES)}")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="gRPC port; 0 for any free one")
    parser.add_argument("--engine", help="engine to load")
    parser.add_argument("--address-file", type=Path, help="write host:port to this file once listening")
    parser.add_argument("--address-fd", type=int, help="write it to this open file descriptor, and close that")
    parser.add_argument("--stop-with-stdin", action="store_true", help="end when standard input closes")
    options = parser.parse_args(arguments)
    try:
        spec = load_spec(options.service)
        given = {name: getattr(options, name) for name in ("host", "port", "engine")}
        settings = read_settings(spec, **{name: value for name, value in given.items() if value is not None})
        logs.configure(settings.log_level, settings.log_format)
        for line in plugins.problems(spec.name, spec.engines):
            log.warning("plug-in ignored", why=line)
        told = {name: getattr(options, name) for name in ("address_file", "address_fd", "stop_with_stdin")}
        asyncio.run(serve(spec, settings, **told))
    except MerrflowError as error:
        print(f"merrflow-serve: {as_line(str(error))}", file=sys.stderr)
        return 2
    return 0


def _describe(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="merrflow-serve describe", description=describe.__doc__)
    parser.add_argument("service", help=f"one of {', '.join(SERVICES)}")
    options = parser.parse_args(arguments)
    try:
        with redirect_stdout(sys.stderr):  # what a model library prints must not get into the JSON
            spec = load_spec(options.service)
            found = describe(spec, read_settings(spec))
    except MerrflowError as error:
        print(f"merrflow-serve: {as_line(str(error))}", file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0


def _engines() -> str:
    """A line for each service that is installed, and one for each plug-in that cannot be used."""
    lines, problems = [], dict.fromkeys(plugins.misplaced())
    for name in SERVICES:
        try:
            built_in = load_spec(name).engines
        except Exception as error:  # the help must not fail for one service that is missing or broken
            lines.append(f"  {name}: {error}\n")
            continue
        added = [f"{plugin.engine} (of {plugin.distribution})" for plugin in plugins.of_service(name)]
        lines.append(f"  {name}: {', '.join([*built_in, *added])}\n")
        problems |= dict.fromkeys(plugins.problems(name, built_in))
    return "".join([*lines, *(f"not usable: {problem}\n" for problem in problems)])


if __name__ == "__main__":
    sys.exit(main())
