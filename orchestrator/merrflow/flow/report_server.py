"""Where a worker serves the reports of its runs. Apart from `reports.py`, which imports Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from merrflow.core.errors import InputError
from merrflow_serving.credentials import is_loopback, read_tokens


@dataclass(frozen=True)
class ReportServer:
    """Where, and how it is protected."""

    host: str = "127.0.0.1"
    port: int = 4220
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None

    def tokens(self, url: str) -> tuple[str, ...]:
        """The tokens, of which each is good. url: where people open it. Raises `InputError` for settings that would let
        strangers in."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError("--reports-tls-cert and --reports-tls-key: give both or neither")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise InputError(f"{path}: there is no such file")
        tokens = read_tokens("", self.token_file, "--reports-token-file")
        # A container listens in its own network; what people open is the port that is published for it.
        private = is_loopback(self.host) or is_loopback(urlsplit(url).hostname or "")
        if not private and not (tokens and self.tls_cert):
            raise InputError(
                f"--reports-host {self.host}: other machines could see faces; give --reports-tls-cert, "
                "--reports-tls-key and --reports-token-file too, or set MERRFLOW_REPORTS_URL to an address on this "
                "machine's loopback, where the port is published"
            )
        return tokens

    def url(self) -> str:
        """Where it is, as seen from this machine."""
        shown = self.host if is_loopback(self.host) else "127.0.0.1"
        return f"http{'s' if self.tls_cert else ''}://{f'[{shown}]' if ':' in shown else shown}:{self.port}"
