"""A service of tests: real gRPC, real batching, and a deterministic engine that does as its input says."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from merrflow.common.v1.common_pb2 import OUTCOME_DONE
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import NotReady, UnreadableMedia
from merrflow_serving.service import ServiceSpec
from merrflow_serving.settings import ServiceSettings
from merrflow_serving.torch.device import Memory
from merrflow_serving.torch.lost import DeviceLost


class ToyEngine:
    """Answers the upper case of its bytes. `hold` keeps a batch until it is set."""

    hold = threading.Event()
    missing_weights = False
    load_fault: Exception | None = None
    loading = threading.Event()  # cleared: loading takes until it is set
    loading.set()
    batches: list[list[bytes]] = []

    def __init__(self, settings: ServiceSettings) -> None:
        self.closed = False

    def load(self) -> None:
        self.loading.wait(30)
        if self.load_fault:
            raise self.load_fault
        if self.missing_weights:
            raise NotReady("toy.bin is missing: pip install toy-model")

    def info(self) -> EngineInfo:
        return EngineInfo("toy", "toy-1", "r1", limits=Limits(max_batch_size=4))

    def run(self, batch: list[bytes]) -> list[object]:
        ToyEngine.batches.append(list(batch))
        if any(item == b"hold" for item in batch):
            ToyEngine.hold.wait(10)
        if b"lost" in batch:
            raise DeviceLost("the accelerator cannot be used any more (test)")
        if b"fault" in batch:
            raise RuntimeError("native library says no")
        time.sleep(0.001)
        return [UnreadableMedia("this is no sound") if item == b"bad" else item.decode().upper() for item in batch]

    def memory(self) -> Memory:
        return Memory(used_bytes=3, total_bytes=10, peak_bytes=5, free_bytes=6)

    def close(self) -> None:
        self.closed = True


class Toy(pb_grpc.ToneDescriberServicer):
    def __init__(self, service) -> None:
        self.service = service

    async def Describe(self, request, context):  # noqa: N802
        source = self.service.source(request.audio)
        data = await self.service.offload(source.read_bytes) if isinstance(source, Path) else source
        answer = await self.service.run(data, clip=request.clip)
        return pb.DescribeResponse(text=answer.result, outcome=OUTCOME_DONE, **self.service.stamp(answer))

    async def DescribeStream(self, parts, context):  # noqa: N802
        request = await self.service.receive(parts, field="audio")
        return pb.DescribeStreamResponse(response=await self.Describe(request, context))


SPEC = ServiceSpec(
    name="qwen-audio",
    version="0.0.1",
    settings=ServiceSettings,
    engines={"toy": "tests.services.serving.toy:ToyEngine"},
    register=lambda service, server: pb_grpc.add_ToneDescriberServicer_to_server(Toy(service), server),
    warmup=lambda: b"warm",
    results={bytes: str, Path: str},
)
