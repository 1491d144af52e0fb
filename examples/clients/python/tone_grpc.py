"""How does a voice sound? Asks the service qwen-audio with plain gRPC: python tone_grpc.py FILE [HOST:PORT]

FILE is a sound or a video. Needs grpcio and merrflow-protos alone; tone.py is the same with merrflow. For a service
with TLS or a token: MERRFLOW_TLS_CA, and for mTLS MERRFLOW_TLS_CERT and MERRFLOW_TLS_KEY, are PEM files;
MERRFLOW_TOKEN is the token.
"""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import grpc

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.qwen_audio.v1 import qwen_audio_pb2, qwen_audio_pb2_grpc

CHUNK = 1 << 19  # bytes of a streamed file in one message
PASSES = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}


Reply = TypeVar("Reply")
Tone = qwen_audio_pb2.DescribeResponse


def wait_until_ready(channel: grpc.Channel, seconds: float = 600) -> common_pb2.InfoResponse:
    """What the service says of itself, once its model is loaded."""
    engine = common_pb2_grpc.EngineStub(channel)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        info: common_pb2.InfoResponse = engine.Info(common_pb2.InfoRequest(), timeout=30, wait_for_ready=True)
        if info.ready:
            return info
        if info.problem:  # such as weights that are missing: the text says what to do
            sys.exit(f"{info.service} cannot work: {info.problem}")
        print(f"{info.service}: {info.doing}", file=sys.stderr)
        time.sleep(1)
    sys.exit("the service did not become ready")


def try_again(call: Callable[[], Reply], tries: int = 6) -> Reply:
    """Calls, and again if the service is full, restarts or is slow; other errors are final."""
    for pause in [2.0**attempt for attempt in range(tries - 1)]:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() not in PASSES:
                raise
            time.sleep(pause * random.uniform(0.2, 0.5))
    return call()


def describe(channel: grpc.Channel, info: common_pb2.InfoResponse, path: Path) -> Tone:
    stub = qwen_audio_pb2_grpc.ToneDescriberStub(channel)
    request = qwen_audio_pb2.DescribeRequest(clip=path.stem)
    if path.stat().st_size < info.limits.max_message_bytes - 1024:
        request.audio.data = path.read_bytes()
        tone: Tone = try_again(lambda: stub.Describe(request, timeout=300))
        return tone

    def parts() -> Iterator[qwen_audio_pb2.DescribeStreamRequest]:
        # Too large for one message: the request first, then the file in chunks.
        yield qwen_audio_pb2.DescribeStreamRequest(request=request)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield qwen_audio_pb2.DescribeStreamRequest(chunk=chunk)

    tone = try_again(lambda: stub.DescribeStream(parts(), timeout=300)).response
    return tone


def read(variable: str) -> bytes | None:
    """What is in the file that an environment variable names; None without one."""
    return Path(os.environ[variable]).read_bytes() if os.environ.get(variable) else None


def connect(address: str) -> grpc.Channel:
    ca, token = read("MERRFLOW_TLS_CA"), os.environ.get("MERRFLOW_TOKEN")
    if not ca:  # then a token would be readable on its way
        return grpc.insecure_channel(address)
    credentials = grpc.ssl_channel_credentials(ca, read("MERRFLOW_TLS_KEY"), read("MERRFLOW_TLS_CERT"))
    if token:
        credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
    return grpc.secure_channel(address, credentials)


def main() -> None:
    path, address = Path(sys.argv[1]), (sys.argv[2:] or ["127.0.0.1:50053"])[0]
    with connect(address) as channel:
        try:
            tone = describe(channel, wait_until_ready(channel), path)
        except grpc.RpcError as error:  # INVALID_ARGUMENT: this file can never be described
            sys.exit(f"{error.code().name}: {error.details()}")
    print(tone.text)
    print(f"content: {qwen_audio_pb2.Content.Name(tone.content)}")
    for measured in tone.measurements:
        print(f"{measured.name}: {measured.value:.2f} {measured.unit}")
    print(f"by {tone.engine.engine} ({tone.engine.model}), {tone.timing.model_seconds:.2f} s: {tone.engine.note}")


if __name__ == "__main__":
    main()
