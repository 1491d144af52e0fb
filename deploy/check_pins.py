"""Whether what is installed is just what is pinned, fits together, and has licences that the project may use. Offline.

`python deploy/check_pins.py` prints a line for each fault, and returns 1 if there is one. If `pip-audit` is on the
PATH and reaches its database, known vulnerabilities are faults too; if not, it says that it was skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PINS = ("constraints.txt", "models.txt")
SEEDS = ("pip", "setuptools")  # of a new virtual environment
OURS = re.compile("merrflow(-.*)?")
# As SPDX has them, and as older metadata do.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC"),
    *("LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib"),
    *("Apache Software License", "BSD License", "ISC License (ISCL)", "MIT License", "OSI Approved"),
    *("Mozilla Public License 2.0 (MPL 2.0)", "Python Software Foundation License"),
    *("Apache", "Apache 2.0 License", "2-clause BSD License", "3-Clause BSD License"),
}
LOOKED_AT = {
    "atheris": "Apache-2.0, says its LICENSE; for tests only",
    "psycopg": "LGPL-3.0: used as it is, as a library, for ledgers in PostgreSQL",
    "psycopg-binary": "as psycopg",
    "soxr": "LGPL-2.1: used as it is, by a server that tests start; for tests only",
    "text-unidecode": "the Artistic License, of the two that it offers",
}
# Of packages that are installed for a file that they carry (models.txt), pip misses what they depend on; the tags in
# mediapipe's wheel are those of the Python that it was built with.
NO_FAULT = re.compile(r"mediapipe \S+ is not supported on this platform")


def pins(text: str) -> dict[str, Version]:
    """Name -> version of each line. Raises `ValueError` for a line that does not pin one version."""
    found = {}
    for line in filter(None, (line.split("#")[0].strip() for line in text.splitlines())):
        requirement = Requirement(line)
        (one,) = requirement.specifier
        if one.operator != "==" or "*" in one.version:
            raise ValueError(f"{line}: does not pin one version")
        found[canonicalize_name(requirement.name)] = Version(one.version)
    return found


def faults(
    pinned: Mapping[str, Version], installed: Mapping[str, Distribution], wanted: Iterable[str]
) -> Iterator[str]:
    """wanted: names that the project itself asks for."""
    needed = set(wanted)
    for name, one in sorted(installed.items()):
        needed |= {canonicalize_name(Requirement(line).name) for line in one.requires or ()}
        if OURS.fullmatch(name) or name in SEEDS:
            continue
        if name not in pinned:
            yield f"{name} {one.version} is installed and not pinned; add it to constraints.txt, or uninstall it"
        elif Version(one.version).public != pinned[name].public:
            yield f"{name} {one.version} is installed and {pinned[name]} pinned; run: make install"
        terms = licences(one)
        if name not in LOOKED_AT and not (terms and terms <= ALLOWED):
            yield f"{name} has a licence that nobody looked at: {', '.join(sorted(terms - ALLOWED)) or 'none is given'}"
    for name in sorted(pinned.keys() - installed.keys() - needed):
        yield f"{name} is pinned, not installed, and nothing asks for it; remove the pin"
    for name in sorted((pinned.keys() & installed.keys()) - needed):
        yield f"{name} is pinned and installed, and nothing asks for it any more; remove the pin, and uninstall it"


def licences(one: Distribution) -> set[str]:
    """Every licence that a package's metadata name, whether all of them hold or one may be chosen."""
    metadata = one.metadata
    found = {line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if line.startswith("License ::")}
    if "License-Expression" in metadata or not found:
        text = metadata.get("License-Expression") or "".join(metadata.get("License", "").splitlines()[:1])
        found = set(re.split(r"\s*(?:\bAND\b|\bOR\b|\bWITH\b|[()])\s*", text))
    return found - {""}


def wanted(root: Path) -> set[str]:
    """Names in all requirements of the project: pyproject.toml, requirements-dev.txt, models.txt and the Makefile."""
    files = [*root.glob("*/**/pyproject.toml"), root / "requirements-dev.txt", root / "models.txt", root / "Makefile"]
    words = re.findall(r"[A-Za-z0-9][\w.-]*", " ".join(file.read_text(encoding="utf-8") for file in files))
    return {canonicalize_name(word) for word in words}


def pip_check(models: Iterable[str]) -> Iterator[str]:
    told = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    for line in told.stdout.splitlines() if told.returncode else ():
        if canonicalize_name(line.split()[0]) not in models and not NO_FAULT.fullmatch(line):
            yield line


def unhashed(root: Path) -> Iterator[str]:
    """Lines without a hash in files that have some: pip would refuse the whole file."""
    for file in sorted(root.glob("examples/**/requirements.txt")):
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
        yield from (f"{file.relative_to(root)}: {line}: has no hash" for line in lines if "--hash=sha256:" not in line)


def audit() -> list[str]:
    """The pinned versions that pip-audit knows something against; says how many it could look up, which may be none."""
    program = shutil.which("pip-audit")
    command = [program or "", "--requirement", "constraints.txt", "--no-deps", "--disable-pip", "--format", "json"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout if program else ""
    asked = json.loads(told)["dependencies"] if told.startswith("{") else []
    known = [one for one in asked if "vulns" in one]  # without a network it skips all, and finds nothing
    print(
        f"pip-audit looked up {len(known)} pins" if known else "pip-audit was skipped: it or its database is not here"
    )
    return [f"{one['name']} {one['version']}: {vuln['id']}" for one in known for vuln in one["vulns"]]


def main() -> int:
    """Returns the exit code."""
    pinned, models = {}, pins((ROOT / "models.txt").read_text(encoding="utf-8"))
    for name in PINS:
        pinned |= pins((ROOT / name).read_text(encoding="utf-8"))
    installed = {canonicalize_name(one.metadata["Name"]): one for one in distributions()}
    found = [*faults(pinned, installed, wanted(ROOT)), *pip_check(models), *unhashed(ROOT), *audit()]
    print("\n".join(found) or f"{len(installed)} installed packages are as pinned, and have licences that are allowed")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
