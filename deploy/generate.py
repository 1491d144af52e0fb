"""Writes what deployment files say of each service, from the catalog: `make generated`; `--check` only compares.

Between the lines `# >>> NAME: make generated` and `# <<< NAME` of a file is what `blocks.yaml` makes of the catalog
(`merrflow_serving/catalog.py`: names, ports) and of `[tool.merrflow]` in each service's pyproject.toml (image, memory,
engine on a card). Everything around is written by hand. Kubernetes' file of each service is generated as a whole.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from merrflow_serving.catalog import METRICS_PORT, SERVICES, ServiceEntry

ROOT = Path(__file__).parents[1]
_GIVEN = yaml.safe_load(Path(__file__).with_name("blocks.yaml").read_text(encoding="utf-8"))
BLOCKS: dict[str, dict[str, str]] = _GIVEN["blocks"]  # file -> block -> its text
COMPONENTS: dict[str, dict[str, str]] = _GIVEN["components"]  # the same of a file that each optional service has
FILES: dict[str, str] = _GIVEN["files"]  # path -> the template of a file that each service has
# From the shell, for a service that pulls its weights itself; not set if they are not set there.
HUBS = "environment: *hubs"
_UNITS = {"g": "Gi", "m": "Mi"}  # Compose's words and Kubernetes'


class _Text(Template):
    """`%name` and `%{name}` are filled in, so that `${NAME}` stays what it is for Compose."""

    delimiter = "%"


@dataclass(frozen=True)
class Service:
    """What templates know of a service."""

    values: Mapping[str, str]  # by the placeholder's name
    gpu: bool  # it has an engine that needs a card
    optional: bool  # a run works without it


def read(root: Path, entries: Iterable[ServiceEntry]) -> list[Service]:
    """The services of the catalog with what their pyproject.toml says."""
    return [_service(root, entry) for entry in entries]


def _service(root: Path, entry: ServiceEntry) -> Service:
    folder = entry.name.replace("-", "_")
    whole = tomllib.loads((root / "services" / folder / "pyproject.toml").read_text(encoding="utf-8"))
    ours = whole["tool"]["merrflow"]
    deploy, gpu = ours["deploy"], ours["deploy"].get("gpu", {})
    profile, weights = deploy.get("profile", entry.name), deploy.get("weights", False)
    variables = gpu.get("environment", {})
    note = f"# {gpu['environment_note']}" if variables else ""
    choices: dict[str, str] = gpu.get("choices", {})
    chosen = [f"{entry.env_prefix}{name}: ${{{folder.upper()}_GPU_{name}}}" for name in choices]
    pod_chosen = [f"- {{name: {entry.env_prefix}{name}, value: {value}}}" for name, value in choices.items()]
    compose = [f"{name}: {value}" for name, value in variables.items()]
    pod = [f"- {{name: {name}, value: {value}}}" for name, value in variables.items()]
    values = {
        "name": entry.name,
        "folder": folder,
        "port": str(entry.port),
        "metrics_port": str(METRICS_PORT),
        "prefix": entry.env_prefix,
        "variable": folder.upper(),
        "version": whole["project"]["version"],
        "other": ours["image"].get("other", ""),
        "volumes": "with-models" if gpu or weights else "service",
        "profile": profile,
        "profiles": _lines(4, f"profiles: [{profile}]", HUBS if weights else "") if entry.optional else "",
        "address": f"${{{folder.upper()}_ADDRESS}}" if entry.optional else f"{entry.name}:{entry.port}",
        "replicas": _lines(2, f"replicas: 0 # deploy/kubernetes/{profile} starts it") if entry.optional else "",
        "memory": deploy["memory"],
        "memory_limit": deploy["memory"][:-1] + _UNITS[deploy["memory"][-1]],
        "cpu_request": deploy["requests"]["cpu"],
        "memory_request": deploy["requests"]["memory"],
        "engine": gpu.get("engine", ""),
        "env_choices": _lines(0, *(f"{folder.upper()}_GPU_{name}={value}" for name, value in choices.items())),
        "compose_variables": _lines(6, *chosen, note, *compose),
        "pod_variables": _lines(12, *pod_chosen, note, *pod),
    }
    return Service(values, bool(gpu), entry.optional)


def _lines(indent: int, *lines: str) -> str:
    """What continues a line of a template: each that is not empty on a line of its own."""
    return "".join(f"\n{' ' * indent}{line}" for line in lines if line)


def _all(services: list[Service]) -> dict[str, str]:
    """What templates for all services together know."""
    ports = [int(one.values["port"]) for one in services]
    return {
        "names": " ".join(one.values["name"] for one in services),
        "list": ", ".join(one.values["name"] for one in services),
        "needed_names": " ".join(one.values["name"] for one in services if not one.optional),
        "gpu_names": " ".join(one.values["name"] for one in services if one.gpu),
        "gpu_pattern": "|".join(one.values["name"] for one in services if one.gpu),
        "ports": f"{{port: {min(ports)}, endPort: {max(ports)}}}",
        "metrics_port": str(METRICS_PORT),
        "free_ports": " ".join(f"{one.values['variable']}_PORT=0" for one in services),
    }


def text(template: str, services: list[Service]) -> str:
    """A block: its parts from `%each`, `%gpu` and so on to `%end` for these services, the others once."""
    chosen = {
        "%each": services,
        "%gpu": [one for one in services if one.gpu],
        "%other": [one for one in services if one.values["other"]],
        "%needed": [one for one in services if not one.optional],
        "%optional": [one for one in services if one.optional],
        "%first": services[:1],
        "%rest": [one for one in services[1:] if not one.optional],
    }
    made, all_ = [], _all(services)
    for part in re.split(rf"(?ms)^((?:{'|'.join(chosen)})\n.*?)^%end\n", template):
        kind, _, inner = part.partition("\n")
        if kind in chosen:
            made += [_Text(inner).substitute(one.values) for one in chosen[kind]]
        else:
            made.append(_Text(part).substitute(all_))
    return "".join(made).rstrip("\n") + "\n"


def generated(root: Path, services: list[Service]) -> dict[str, str]:
    """Path below `root` -> what the file must be. Raises `LookupError` if a file or the place of a block is missing."""
    found = {path: _filled(root, path, blocks, services) for path, blocks in BLOCKS.items()}
    for template, blocks in COMPONENTS.items():
        for one in (one for one in services if one.optional):
            path = _Text(template).substitute(one.values)
            found[path] = _filled(root, path, blocks, [one])
    for path, template in FILES.items():
        whole = _Text((root / template).read_text(encoding="utf-8"))
        found |= {_Text(path).substitute(one.values): whole.substitute(one.values) for one in services}
    return found


def _filled(root: Path, path: str, blocks: Mapping[str, str], services: list[Service]) -> str:
    """A file with its blocks for these services."""
    if not (root / path).exists():
        raise LookupError(f"{path} is missing; start from that of another service (CONTRIBUTING.md)")
    whole = (root / path).read_text(encoding="utf-8")
    for name, template in blocks.items():
        place = re.compile(rf"(?ms)(^ *# >>> {name}: make generated\n).*?(^ *# <<< {name}\n)")
        if len(place.findall(whole)) != 1:
            raise LookupError(f"{path}: there must be one block {name!r}")
        block = text(template, services)
        whole = place.sub(lambda match, block=block: match[1] + block + match[2], whole)
    return whole


def main(arguments: list[str]) -> int:
    """Exit code 1 if a file differs and `--check` is given, or if a place is missing."""
    try:
        files = generated(ROOT, read(ROOT, SERVICES.values()))
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    stale = [path for path, want in files.items() if not (ROOT / path).exists() or (ROOT / path).read_text() != want]
    if "--check" in arguments:
        for path in stale:
            print(f"{path} does not fit the catalog or deploy/blocks.yaml: make generated", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        (ROOT / path).write_text(files[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
