"""Who may call a service: TLS or mTLS on its port, bearer tokens in its calls, and the socket of its own health check.

Beyond loopback a token travels under TLS only, unless `PLAIN_TOKEN` says that something else encrypts.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from merrflow_serving.errors import InvalidInput

if TYPE_CHECKING:  # the health check, which runs every few seconds, starts without pydantic
    from merrflow_serving.settings import ServiceSettings

BEARER = "Bearer "
SHORTEST_TOKEN = 16  # characters; `openssl rand -hex 32` gives 64
_MARK = "-----BEGIN "


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host. A name other than "localhost" may lead anywhere."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def read_pem(path: Path, setting: str) -> bytes:
    """A PEM file. Raises `InvalidInput` naming the setting; what is in the file is never told."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"setting {setting}: {path} cannot be read ({error.strerror})") from error
    if _MARK.encode() not in content:
        raise InvalidInput(f"setting {setting}: {path} is no PEM file (it has no line that starts with {_MARK!r})")
    return content


def read_tokens(text: str, file: Path | None, setting: str) -> tuple[str, ...]:
    """Every token that is good: the one given, or the file's, one a line, so that an old and a new one overlap.

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
    """The bearer tokens that a service takes; with none, everyone is let in."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = tuple(token.encode() for token in tokens)

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def admits(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call's metadata carry a good token. Takes equally long whichever token is wrong, and where."""
        if not self._tokens:
            return True
        given = b""
        for key, value in metadata or ():
            if key == "authorization" and isinstance(value, str) and value[: len(BEARER)].lower() == BEARER.lower():
                given = value[len(BEARER) :].encode()
        good = False
        for token in self._tokens:
            good |= hmac.compare_digest(given, token)
        return good


def tokens_of(settings: ServiceSettings) -> Tokens:
    """The tokens that the settings name. Raises `InvalidInput`, also where one would travel in the clear."""
    prefix = settings.model_config["env_prefix"]
    found = read_tokens(settings.token.get_secret_value(), settings.token_file, f"{prefix}TOKEN_FILE")
    if found and not settings.tls_cert and not settings.plain_token and not is_loopback(settings.host):
        raise InvalidInput(
            f"a token without TLS can be read by whoever is between: set {prefix}TLS_CERT and {prefix}TLS_KEY, or "
            f"{prefix}PLAIN_TOKEN=true where something else encrypts"
        )
    return Tokens(found)


def port_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """TLS for a service's port; None for a plain one. Raises `InvalidInput` where a file cannot be used.

    The files are read again where they have changed, so that a renewed certificate needs no restart.
    """
    prefix = settings.model_config["env_prefix"]
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise InvalidInput(f"{prefix}TLS_CERT and {prefix}TLS_KEY go together: set both, or neither")
    if not settings.tls_cert:
        if settings.tls_client_ca:
            raise InvalidInput(f"{prefix}TLS_CLIENT_CA needs {prefix}TLS_CERT and {prefix}TLS_KEY")
        return None
    paths = {"TLS_CERT": settings.tls_cert, "TLS_KEY": settings.tls_key, "TLS_CLIENT_CA": settings.tls_client_ca}
    files = {f"{prefix}{name}": path for name, path in paths.items() if path}
    needs_client = settings.tls_client_ca is not None
    return grpc.dynamic_ssl_server_credentials(
        _configuration(files), _reload(files), require_client_authentication=needs_client
    )


def _configuration(files: dict[str, Path]) -> grpc.ServerCertificateConfiguration:
    chain, key, *clients = (read_pem(path, setting) for setting, path in files.items())
    return grpc.ssl_server_certificate_configuration([(key, chain)], clients[0] if clients else None)


def _reload(files: dict[str, Path]) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
    """For each handshake: what the files hold now, or None where they have not changed or are being written."""

    def stamp() -> tuple[int, ...] | None:
        try:
            return tuple(path.stat().st_mtime_ns for path in files.values())
        except OSError:
            return None

    known = [stamp()]

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        now = stamp()
        if now is None or now == known[0]:
            return None
        try:
            found = _configuration(files)
        except InvalidInput:
            return None
        known[0] = now
        return found

    return fetch


def health_socket(service: str, port: int) -> Path:
    """Where a service with TLS also listens, for its own health check: a socket that only its user can open.

    So the check needs no certificate of a client, and works whatever names the service's certificate has.
    """
    return Path(tempfile.gettempdir()) / f"merrflow-{os.getuid()}" / f"{service}-{port}.sock"


def make_private(folder: Path) -> None:
    """Makes the folder of sockets. Raises `InvalidInput` where another user has made it, or may look in."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise InvalidInput(f"{folder}: cannot be made for the health check's socket ({error.strerror})") from error
    if found.st_uid != os.getuid() or found.st_mode & 0o777 != 0o700 or folder.is_symlink():
        raise InvalidInput(f"{folder} must be a folder of this user alone (mode 700); remove it, or set TMPDIR")
