"""Who may call a service: TLS or mTLS on its port, bearer tokens in its calls, and the socket of its own health check.

Beyond loopback a token is only sent over TLS, unless `PLAIN_TOKEN` says that something else encrypts.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc

from merrflow_serving.errors import InvalidInput

if TYPE_CHECKING:  # the health check, which runs every few seconds, starts without pydantic
    from merrflow_serving.settings import ServiceSettings

BEARER = "Bearer "
SHORTEST_TOKEN = 16  # characters; `openssl rand -hex 32` gives 64
_MARK = "-----BEGIN "


def is_loopback(host: str) -> bool:
    """Whether the host can be reached from this machine only. A name other than "localhost" may be any machine's."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def read_pem(path: Path, setting: str) -> bytes:
    """A PEM file. Raises `InvalidInput` naming the setting, and never showing what is in the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"setting {setting}: {path} cannot be read ({error.strerror})") from error
    if _MARK.encode() not in content:
        raise InvalidInput(f"setting {setting}: {path} is not a PEM file (it has no line that starts with {_MARK!r})")
    return content


def read_tokens(text: str, file: Path | None, setting: str) -> tuple[str, ...]:
    """Every valid token: the one given and those of the file, one per line, so that old and new ones can overlap.

    setting: the variable of the file, such as "MERRFLOW_LLAMA3_TOKEN_FILE". Raises `InvalidInput`.
    """
    found = [text.strip()] if text.strip() else []
    if file:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", "") or "it must be ASCII"
            raise InvalidInput(f"setting {setting}: {file} cannot be read ({why})") from error
        found += [line.strip() for line in lines if line.strip()]
        if not found:
            raise InvalidInput(f"setting {setting}: {file} holds no token; `openssl rand -hex 32` makes one")
    for token in found:
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidInput(
                f"setting {setting.removesuffix('_FILE')}: a token has {SHORTEST_TOKEN} or more printable ASCII "
                "characters and no blanks; `openssl rand -hex 32` makes one"
            )
    return tuple(found)


class Tokens:
    """The bearer tokens that a service accepts; without any, everyone is admitted."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = tuple(token.encode() for token in tokens)

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def admits(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call's metadata contain a valid token. Takes the same time however a wrong token differs."""
        if not self._tokens:
            return True
        given = b""
        for key, value in metadata or ():
            if key == "authorization" and isinstance(value, str) and value[: len(BEARER)].lower() == BEARER.lower():
                given = value[len(BEARER) :].encode()
        is_valid = False
        for token in self._tokens:
            is_valid |= hmac.compare_digest(given, token)
        return is_valid


def tokens_of(settings: ServiceSettings) -> Tokens:
    """The tokens that the settings name. Raises `InvalidInput`, also if one would be sent without encryption."""
    variable = settings.variable
    found = read_tokens(settings.token.get_secret_value(), settings.token_file, variable("TOKEN_FILE"))
    if found and not settings.tls_cert and not settings.plain_token and not is_loopback(settings.host):
        raise InvalidInput(
            f"a token without TLS can be read on the network: set {variable('TLS_CERT')} and "
            f"{variable('TLS_KEY')}, or {variable('PLAIN_TOKEN')}=true if something else encrypts"
        )
    return Tokens(found)


def port_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """TLS for a service's port; None for a plain one. Raises `InvalidInput` if a file cannot be used.

    The files are read again when they have changed, so that a renewed certificate needs no restart.
    """
    certificate, key, client_ca = map(settings.variable, ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA"))
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise InvalidInput(f"{certificate} and {key} go together: set both, or neither")
    if not settings.tls_cert:
        if settings.tls_client_ca:
            raise InvalidInput(f"{client_ca} needs {certificate} and {key}")
        return None
    paths = {certificate: settings.tls_cert, key: settings.tls_key, client_ca: settings.tls_client_ca}
    files = {name: path for name, path in paths.items() if path}
    needs_client = settings.tls_client_ca is not None
    # The stubs do not know that it may return None.
    fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", _Reload(files))
    return grpc.dynamic_ssl_server_credentials(_configuration(files), fetch, needs_client)


def _configuration(files: dict[str, Path]) -> grpc.ServerCertificateConfiguration:
    chain, key, *clients = (read_pem(path, setting) for setting, path in files.items())
    return grpc.ssl_server_certificate_configuration([(key, chain)], clients[0] if clients else None)


class _Reload:
    """Called for each handshake: what the files contain now, or None if they are unchanged or are being written."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files
        self._loaded = self._modified()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        now = self._modified()
        if now is None or now == self._loaded:
            return None
        try:
            found = _configuration(self._files)
        except InvalidInput:
            return None
        self._loaded = now
        return found

    def _modified(self) -> tuple[int, ...] | None:
        """Nanoseconds."""
        try:
            return tuple(path.stat().st_mtime_ns for path in self._files.values())
        except OSError:
            return None


def health_socket(service: str, port: int) -> Path:
    """Where a service with TLS also listens, for its own health check: a socket that only its user can open.

    So the check needs no client certificate, and works whatever names the service's certificate has.
    """
    return Path(tempfile.gettempdir()) / f"merrflow-{os.getuid()}" / f"{service}-{port}.sock"


def make_private(folder: Path) -> None:
    """Makes the folder of sockets. Raises `InvalidInput` if another user made it or may read it."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise InvalidInput(f"{folder}: cannot be made for the health check's socket ({error.strerror})") from error
    if found.st_uid != os.getuid() or found.st_mode & 0o777 != 0o700 or folder.is_symlink():
        raise InvalidInput(f"{folder} must be a folder of this user alone (mode 700); remove it, or set TMPDIR")
