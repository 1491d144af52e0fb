"""`python -m merrflow_serving.health SERVICE`: is the service in this container serving? The container's health check.

It calls the service by gRPC, as an open port means little: a service whose model is still loading or missing, or which
is draining, is not healthy. What the service says about that is printed, so that `docker inspect` shows it. `--alive`
checks only whether the service answers at all, for a liveness probe, which must not kill one that loads for half an
hour.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow_serving.catalog import SERVICES
from merrflow_serving.credentials import BEARER, health_socket, read_tokens
from merrflow_serving.errors import InvalidInput

SECONDS = 5.0
ENGINE = "merrflow.common.v1.Engine"  # its health is SERVING as soon as the service listens
_ANY = ("", "0.0.0.0", "::", "[::]")


def address(name: str) -> str:
    """Where the service of this container listens, from the same environment variables that the service reads.

    A service with TLS has a socket for this, which needs no certificate; see `credentials.health_socket`.
    """
    entry = SERVICES[name]
    if os.environ.get(f"{entry.env_prefix}TLS_CERT"):
        return f"unix:{health_socket(name, int(os.environ.get(f'{entry.env_prefix}PORT') or entry.port))}"
    host = os.environ.get(f"{entry.env_prefix}HOST", "")
    port = os.environ.get(f"{entry.env_prefix}PORT", "") or str(entry.port)
    return f"{'127.0.0.1' if host in _ANY else host}:{port}"


def token(name: str) -> str:
    """The token that the service of this container accepts; empty for none. Raises `InvalidInput`."""
    prefix = SERVICES[name].env_prefix
    file = os.environ.get(f"{prefix}TOKEN_FILE")
    found = read_tokens(os.environ.get(f"{prefix}TOKEN", ""), Path(file) if file else None, f"{prefix}TOKEN_FILE")
    return found[0] if found else ""


def check(where: str, seconds: float = SECONDS, bearer: str = "", part: str = "") -> tuple[bool, str]:
    """Whether the service at host:port is serving, and a line that says so or why not.

    part: `ENGINE` for whether it answers at all; empty for the service as a whole.
    """
    metadata = [("authorization", f"{BEARER}{bearer}")] if bearer else None
    with grpc.insecure_channel(where, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            health = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=part), timeout=seconds
            )
            if health.status == health_pb2.HealthCheckResponse.SERVING:
                return True, "SERVING"
            info = common_pb2_grpc.EngineStub(channel).Info(
                common_pb2.InfoRequest(), timeout=seconds, metadata=metadata
            )
        except grpc.RpcError as error:
            return False, f"no answer at {where}: {error.details()}"
    return False, f"NOT_SERVING: {info.problem or f'{info.doing} ({info.doing_seconds:.0f} s)'}"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if the service is serving, else 1."""
    parser = argparse.ArgumentParser(prog="python -m merrflow_serving.health", description=__doc__)
    parser.add_argument("service", choices=list(SERVICES))
    parser.add_argument(
        "--alive", action="store_true", help="only check that it answers; its model may be loading or missing"
    )
    options = parser.parse_args(arguments)
    service = options.service
    try:
        healthy, line = check(address(service), bearer=token(service), part=ENGINE if options.alive else "")
    except InvalidInput as error:
        healthy, line = False, str(error)
    print(line)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
