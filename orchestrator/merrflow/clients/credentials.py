"""A channel to one replica as the settings want it: plain, TLS or mTLS, with a bearer token in each call."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc

from merrflow.core.settings import RunSettings
from merrflow_serving.credentials import BEARER, is_loopback, read_pem, read_tokens
from merrflow_serving.errors import InvalidInput, NotReady

if TYPE_CHECKING:  # generic for the type checker alone
    _UnaryInterceptor = grpc.aio.UnaryUnaryClientInterceptor[Any, Any]
    _StreamInterceptor = grpc.aio.StreamUnaryClientInterceptor[Any, Any]
else:
    _UnaryInterceptor = grpc.aio.UnaryUnaryClientInterceptor
    _StreamInterceptor = grpc.aio.StreamUnaryClientInterceptor


def open_channel(target: str, host: str, options: list[tuple[str, Any]], settings: RunSettings) -> grpc.aio.Channel:
    """A channel that nobody closes but the caller.

    target: of gRPC, such as "ipv4:172.18.0.4:50054". host: as the settings name it, which the certificate must have;
    empty if only gRPC knows it. Raises `NotReady` if a file cannot be used, or a token would be readable on its way.
    """
    try:
        return _open(target, host, options, settings)
    except InvalidInput as error:
        raise NotReady(str(error)) from error


def _open(target: str, host: str, options: list[tuple[str, Any]], settings: RunSettings) -> grpc.aio.Channel:
    tokens = read_tokens(settings.token.get_secret_value(), settings.token_file, "MERRFLOW_TOKEN_FILE")
    if settings.tls_ca:
        credentials = _tls(settings)
        if tokens:
            credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(tokens[0]))
        # A name is looked up here, so gRPC sees addresses, which certificates seldom hold.
        named = [("grpc.ssl_target_name_override", host)] if host else []
        return grpc.aio.secure_channel(target, credentials, options=[*options, *named])
    if not tokens:
        return grpc.aio.insecure_channel(target, options=options)
    if not (settings.plain_token or _is_local(target)):
        raise NotReady(
            f"the token would be readable on its way to {host or target}: set MERRFLOW_TLS_CA, or "
            "MERRFLOW_PLAIN_TOKEN=true where something else encrypts"
        )
    # gRPC sends call credentials over TLS only.
    return grpc.aio.insecure_channel(target, options=options, interceptors=_send(tokens[0]))


# What gRPC's details hold if a handshake fails, and what to do. Measured with grpcio 1.85.
_HANDSHAKES = (
    ("WRONG_VERSION_NUMBER", "it takes no TLS: give it a certificate, or unset MERRFLOW_TLS_CA"),
    ("certificate has expired", "its certificate has expired"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by MERRFLOW_TLS_CA"),
    ("Hostname Verification", "its certificate is for other names than the one in the address"),
    (
        "Socket closed",
        "it closes the connection at once; it may want TLS (MERRFLOW_TLS_CA), or a certificate of this client "
        "(MERRFLOW_TLS_CERT, MERRFLOW_TLS_KEY)",
    ),
)


def why_refused(error: grpc.RpcError) -> str:
    """What to do about a service that does not let this client in; empty if that is not the trouble."""
    details = error.details() or ""
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return "it does not take this client's token: set MERRFLOW_TOKEN or MERRFLOW_TOKEN_FILE to one of its tokens"
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return ""
    return next((advice for mark, advice in _HANDSHAKES if mark in details), "")


def _tls(settings: RunSettings) -> grpc.ChannelCredentials:
    authorities = ssl.get_default_verify_paths().cafile if settings.tls_ca == "system" else settings.tls_ca
    roots = read_pem(Path(authorities), "MERRFLOW_TLS_CA") if authorities else None  # None: gRPC's own list
    if not settings.tls_cert or not settings.tls_key:
        return grpc.ssl_channel_credentials(roots)
    key, chain = read_pem(settings.tls_key, "MERRFLOW_TLS_KEY"), read_pem(settings.tls_cert, "MERRFLOW_TLS_CERT")
    return grpc.ssl_channel_credentials(roots, key, chain)


def _is_local(target: str) -> bool:
    if target.startswith("unix:"):
        return True
    return is_loopback(urlsplit("//" + target.removeprefix("ipv4:").removeprefix("ipv6:")).hostname or "")


def _send(token: str) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors for the two kinds of calls that services have."""

    def signed(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("authorization", f"{BEARER}{token}"))
        return grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )

    class _Unary(_UnaryInterceptor):
        async def intercept_unary_unary(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
            return await proceed(signed(details), request)

    class _Stream(_StreamInterceptor):
        async def intercept_stream_unary(self, proceed: Callable[..., Any], details: Any, requests: Any) -> Any:
            return await proceed(signed(details), requests)

    both: list[Any] = [_Unary(), _Stream()]  # their common base class has no type of its own
    return both
