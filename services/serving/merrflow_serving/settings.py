"""Settings of a model service: typed, read once at start from the environment, logged once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1 << 20


class ServiceSettings(BaseSettings):
    """The settings of every service. A service adds its engines' options in a subclass.

    Each field is read from the environment variable `MERRFLOW_<SERVICE>_<FIELD>`, such as `MERRFLOW_LLAMA3_PORT`.
    """

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int | None = Field(
        None, ge=0, le=65535, description="gRPC port; 0 for any free one; unset: the service's own (catalog.py)"
    )
    engine: str = Field("", description="engine to load; empty for the service's default")
    media_roots: Annotated[list[Path], NoDecode] = Field(
        default_factory=list, description="folders whose files requests may name by path; separated by ':'"
    )
    max_batch_size: int = Field(0, ge=0, description="requests in one batch; 0 for the engine's own limit")
    max_delay_ms: float = Field(5.0, ge=0, description="how long a request waits for others to share its batch")
    max_queue: int = Field(256, ge=1, description="requests that may wait; one more is refused")
    max_message_mib: int = Field(16, ge=1, description="largest gRPC message; larger media are streamed")
    max_media_mib: int = Field(512, ge=1, description="largest media of one request")
    max_client_requests: int = Field(512, ge=1, description="requests of one client (address) at the same time")
    max_held_mib: int = Field(1024, ge=1, description="all requests that arrive or wait, together; one more is refused")
    idle_seconds: float = Field(30.0, gt=0, description="longest pause between two messages of a request")
    receive_seconds: float = Field(600.0, gt=0, description="how long a request may take to arrive")
    tls_cert: Path | None = Field(None, description="PEM file: the service's certificate and its chain; then TLS only")
    tls_key: Path | None = Field(None, description="PEM file: the certificate's key")
    tls_client_ca: Path | None = Field(None, description="PEM file: the CA of clients' certificates; then mTLS only")
    token: SecretStr = Field(SecretStr(""), description="bearer token that every call must carry")
    token_file: Path | None = Field(None, description="file with such tokens, one per line; each is accepted")
    plain_token: bool = Field(
        False, description="accept tokens without TLS beyond loopback, because something else encrypts"
    )
    drain_seconds: float = Field(30.0, ge=0, description="time for requests in flight after SIGTERM")
    max_run_seconds: float = Field(
        600.0,
        ge=0,
        description="longest time for one batch; then the process ends, as its engine hangs; 0 for no limit",
    )
    metrics_host: str = Field("127.0.0.1", description="address of the Prometheus page")
    metrics_port: int = Field(0, ge=0, le=65535, description="port of the Prometheus page; 0 for none")
    reflection: bool = Field(True, description="let clients list the RPCs")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="JSON lines or coloured text; auto: text on a terminal"
    )

    @field_validator("host", "metrics_host")
    @classmethod
    def _can_be_looked_up(cls, value: str) -> str:
        try:
            value.encode("idna")  # as a look-up does, which would raise an error of its own
        except UnicodeError:
            value = ""
        if not value.strip() or not value.isprintable():
            raise ValueError("this is no name or address of a machine")
        return value

    @field_validator("media_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(":") if part] if isinstance(value, str) else value

    @field_validator("media_roots")
    @classmethod
    def _resolve(cls, roots: list[Path]) -> list[Path]:
        return [root.resolve() for root in roots]

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a field."""
        return f"{cls.model_config.get('env_prefix', '')}{field.upper()}"

    @property
    def max_message_bytes(self) -> int:
        return self.max_message_mib * MIB

    @property
    def max_media_bytes(self) -> int:
        return self.max_media_mib * MIB
