"""What a refused path gives away: nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from merrflow.clients.rpc import rpcs
from merrflow.common.v1 import common_pb2
from merrflow_serving.__main__ import load_spec
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.media.images import encode_jpeg
from merrflow_serving.server import Server


@pytest.mark.parametrize("service", ["openface-au", "minigpt-v2", "qwen-audio", "whisper"])
async def test_no_refusal_says_what_files_there_are(service, tmp_path):
    """Every field of every service that takes a path: the same words, whether what it names exists or not."""
    root, outside = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    outside.mkdir()
    (outside / "is.wav").write_bytes(b"x")
    for name, target in (("is", "is.wav"), ("none", "none.wav"), ("below", "is.wav/x"), ("loop", "../root/loop")):
        (root / name).symlink_to(outside / target)
    long = "a" * 300  # longer than a name may be: an error of its own where the folder exists
    paths = [
        *(f"{outside}/{end}" for end in ("is.wav", "none.wav", "is.wav/x", "none/x", "is.wav/../x", "", long)),
        *(f"/none/{long}", f"{root}/../elsewhere/is.wav", f"{root}/../elsewhere/none.wav", f"{outside}/is.wav\0"),
        *(f"{root}/{name}" for name in ("is", "none", "below", "loop", "missing", "is/x", ".", long)),
        *("/etc/shadow", "/etc/shadow/x", "/etc/none/x", "/dev/zero", "/" + "a/" * 3000, "\0", ""),
    ]
    real = load_spec(service)
    spec = replace(real, engines={"toy": "tests.services.serving.toy:ToyEngine"}, warmup=lambda: b"warm")
    server = Server(spec, real.settings(port=0, drain_seconds=0, media_roots=[root]))
    await server.start()
    await server.wait_ready()
    found: set[str] = set()
    async with grpc.aio.insecure_channel(server.address) as channel:
        for rpc in (rpc for rpc in rpcs(service).values() if rpc.media):
            for field in media_fields(rpc.request()):
                for path in paths:
                    request = field(path)
                    call = channel.unary_unary(rpc.path, rpc.request.SerializeToString, rpc.reply.FromString)
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call(request)
                    error = from_rpc_error(caught.value)
                    assert error.reason == "PATH_REFUSED"
                    found.add(str(error).replace(f"{path!r:.300}", "PATH"))
    await server.stop()
    assert len(found) == 1 and "PATH is no file below a media root" in found.pop()


def media_fields(request) -> list[Callable[[str], Any]]:
    """For each field of a request that takes media, a function that makes a request with a path in that field."""
    made = []
    for field in request.DESCRIPTOR.fields:
        if field.message_type is common_pb2.Media.DESCRIPTOR:
            made.append(lambda path, name=field.name: type(request)(**{name: common_pb2.Media(path=path)}))
        elif field.message_type and field.is_repeated:
            (inner,) = [one.name for one in field.message_type.fields if one.message_type]
            image = common_pb2.Media(data=encode_jpeg(np.zeros((8, 8, 3), np.uint8)))

            def within(path, name=field.name, inner=inner, image=image):
                return type(request)(image=image, **{name: [{inner: common_pb2.Media(path=path)}]})

            made.append(within)
    assert made
    return made
