"""Certificates for tests, made by the machine's openssl: an authority, a service's, a client's, and a stranger's."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """What an authority signed, and another authority that nobody trusts."""

    ca: Pair
    service: Pair
    client: Pair
    other_ca: Pair
    stranger: Pair  # signed by the other one


def make(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1") -> Certificates:
    """names: of the service's certificate, as openssl writes alternative names."""
    ca, other = _authority(folder, "ca"), _authority(folder, "other-ca")
    service = sign(folder, "service", ca, f"subjectAltName={names}")
    client = sign(folder, "client", ca, "extendedKeyUsage=clientAuth")
    return Certificates(ca, service, client, other, sign(folder, "stranger", other, f"subjectAltName={names}"))


def sign(folder: Path, name: str, ca: Pair, extension: str, days: int = 2) -> Pair:
    """A certificate signed by `ca`."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(extension)
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", pair.key, "-subj", f"/CN={name}", "-out", request)
    _openssl(
        *("x509", "-req", "-in", request, "-CA", ca.cert, "-CAkey", ca.key, "-CAcreateserial"),
        *("-extfile", extensions, "-days", days, "-out", pair.cert),
    )
    return pair


def _authority(folder: Path, name: str) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    subject = ("-subj", f"/CN={name}", "-days", 2)
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pair.key, "-out", pair.cert, *subject)
    return pair


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
