"""`locked.py REPORT LOCK [--without REPORT] [--new]`: what pip chose, as lines with the hashes of the lock.

REPORT is what `pip install --dry-run --report` wrote; LOCK a file of lines `name==version --hash=sha256:...`, made by
deploy/lock.py. Packages of the second report, which are there already, are left out. A package whose version is not in
the lock, or whose file has another hash, is an error; with `--new` a version that is not in the lock, such as a build
of torch from an index of its own, is taken with the hash that its index gives, and named. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Chosen:
    """A file that pip chose. sha256: "" if its index gives none."""

    name: str
    version: str
    sha256: str
    url: str


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def chosen(report: str) -> list[Chosen]:
    """What a report of pip says would be installed, by name."""
    found = []
    for one in json.loads(report)["install"]:
        archive = one["download_info"].get("archive_info", {})
        given = archive.get("hashes", {}).get("sha256") or archive.get("hash", "").removeprefix("sha256=")
        about = one["metadata"]
        found.append(Chosen(normal(about["name"]), about["version"], given, one["download_info"]["url"]))
    return sorted(found, key=lambda one: one.name)


def lock(text: str) -> dict[tuple[str, str], set[str]]:
    """(name, version) -> sha256 of each file, of a lock's text."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.split()[0].partition("==")
            found[normal(name), version] = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def lines(wanted: list[Chosen], known: Mapping[tuple[str, str], set[str]], new: bool) -> Iterator[str]:
    """A requirement with hashes for each. Raises `LookupError` that names the first package that is not as locked."""
    for one in wanted:
        hashes = known.get((one.name, one.version))
        if hashes is None and new and one.sha256:
            print(f"locked.py: {one.name} {one.version} is not in the lock; installed as its index has it: "
                  f"sha256 {one.sha256}, {one.url}", file=sys.stderr)  # fmt: skip
            hashes = {one.sha256}
        if hashes is None:
            raise LookupError(f"{one.name} {one.version} is not in the lock; add it: make lock")
        if one.sha256 and one.sha256 not in hashes:
            raise LookupError(
                f"{one.url} is none of the files that are locked for {one.name} {one.version}: it was changed, or is "
                "for another Python or processor than the lock is for; if you trust it: make lock"
            )
        yield " ".join([f"{one.name}=={one.version}", *(f"--hash=sha256:{value}" for value in sorted(hashes))])


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--without", type=Path, help="report of what is installed already")
    parser.add_argument("--new", action="store_true", help="versions that are not in the lock, too")
    given = parser.parse_args()
    there = {one.name: one.version for one in chosen(given.without.read_text())} if given.without else {}
    wanted = chosen(given.report.read_text())
    try:
        for one in wanted:
            if there.get(one.name, one.version) != one.version:
                raise LookupError(f"{one.name} {one.version} is needed beside {there[one.name]} of the shared layer")
        needed = [one for one in wanted if one.name not in there]
        print("\n".join(lines(needed, lock(given.lock.read_text()), given.new)))
    except LookupError as error:
        print(f"locked.py: {error.args[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
