"""`merrflow-serve SERVICE`: runs one model service. What containers start.

`merrflow-serve describe SERVICE` only tells, as JSON, what would run; see `merrflow_serving.describe`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from merrflow_serving import logs
from merrflow_serving.catalog import SERVICES
from merrflow_serving.describe import describe
from merrflow_serving.errors import InvalidInput, MerrflowError
from merrflow_serving.server import serve
from merrflow_serving.service import ServiceSpec
from merrflow_serving.settings import ServiceSettings


def load_spec(name: str) -> ServiceSpec:
    """The service of that name, if its distribution is installed here; else `MerrflowError`."""
    found = [point for point in entry_points(group="merrflow.services") if point.name == name]
    if not found:
        known = ", ".join(SERVICES)
        hint = f"pip install merrflow-{name}" if name in SERVICES else f"the services are: {known}"
        raise MerrflowError(f"the service {name!r} is not installed here; {hint}")
    return found[0].load()


def read_settings(spec: ServiceSpec, **given: Any) -> ServiceSettings:
    """A service's settings from the environment and `given`; raises `InvalidInput` naming the one at fault."""
    try:
        return spec.settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{spec.settings.model_config['env_prefix']}{'_'.join(map(str, first['loc'])).upper()}"
        raise InvalidInput(f"setting {name}: {first['msg']}") from error


def main(arguments: list[str] | None = None) -> int:
    """Exit code 2 for unusable arguments or settings, 0 after a clean stop."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["describe"]:
        return _describe(arguments[1:])
    parser = argparse.ArgumentParser(prog="merrflow-serve", description=__doc__)
    parser.add_argument("service", help=f"one of {', '.join(SERVICES)}")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="gRPC port; 0 takes a free one")
    parser.add_argument("--engine", help="engine to load")
    parser.add_argument("--address-file", type=Path, help="write host:port here once listening")
    parser.add_argument("--stop-with-stdin", action="store_true", help="end when standard input closes")
    options = parser.parse_args(arguments)
    try:
        spec = load_spec(options.service)
        given = {name: getattr(options, name) for name in ("host", "port", "engine")}
        settings = read_settings(spec, **{name: value for name, value in given.items() if value is not None})
        logs.configure(settings.log_level, settings.log_format)
        asyncio.run(serve(spec, settings, address_file=options.address_file, stop_with_stdin=options.stop_with_stdin))
    except MerrflowError as error:
        print(f"merrflow-serve: {error}", file=sys.stderr)
        return 2
    return 0


def _describe(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="merrflow-serve describe", description=describe.__doc__)
    parser.add_argument("service", help=f"one of {', '.join(SERVICES)}")
    options = parser.parse_args(arguments)
    try:
        with redirect_stdout(sys.stderr):  # a model library's words must not stand in the JSON
            spec = load_spec(options.service)
            found = describe(spec, read_settings(spec))
    except MerrflowError as error:
        print(f"merrflow-serve: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
