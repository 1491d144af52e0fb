"""All four services by their addresses alone, without any code of merrflow: python reflection.py VIDEO IMAGE

MERRFLOW_TOKEN: the services' token, where they have one.
Needs: pip install grpcio grpcio-reflection grpcio-health-checking protobuf
"""

import os
import sys
import time
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class WithToken(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):  # type: ignore[type-arg]
    """Sends the token in every call. On a plain channel, so to services on this machine only.

    (Its base classes are generic for type checkers alone.)
    """

    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        token = os.environ.get("MERRFLOW_TOKEN")
        metadata = [("authorization", f"Bearer {token}")] if token else None
        return proceed(details._replace(metadata=metadata), request)

    def intercept_stream_stream(self, proceed: Any, details: Any, requests: Any) -> Any:
        return self.intercept_unary_unary(proceed, details, requests)


class Service:
    """A gRPC service known by its address alone."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.intercept_channel(grpc.insecure_channel(address), WithToken())
        self.reflection = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.reflection)

    def names(self) -> list[str]:
        return sorted(self.reflection.get_services())

    def healthy(self) -> bool:
        reply = health_pb2_grpc.HealthStub(self.channel).Check(health_pb2.HealthCheckRequest())
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def call(self, rpc: str, **fields: Any) -> Any:
        service, method = rpc.split("/")
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        request, reply = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
        send = self.channel.unary_unary(f"/{rpc}", request.SerializeToString, reply.FromString)
        return send(request(**fields), timeout=300)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


clip, picture = sys.argv[1:3]  # a video file and an image file
faces = Service("127.0.0.1:50051")
scenes = Service("127.0.0.1:50052")
tones = Service("127.0.0.1:50053")
reasons = Service("127.0.0.1:50054")
for service in (faces, scenes, tones, reasons):
    print(service.names())
    while not service.healthy():  # a service that has just started still loads its model
        time.sleep(0.5)

measured = faces.call("merrflow.openface_au.v1.ActionUnits/Detect", clip="mine", video={"data": read(clip)})
for frame in measured.frames[:: max(1, len(measured.frames) // 5)]:
    for face in frame.faces:
        units = {unit.name: round(unit.intensity, 1) for unit in face.action_units if unit.present}
        print(f"frame {frame.index} at {frame.timestamp_seconds:.2f} s: {units}")

scene = scenes.call("merrflow.minigpt_v2.v1.SceneDescriber/Describe", image={"data": read(picture)})
tone = tones.call("merrflow.qwen_audio.v1.ToneDescriber/Describe", audio={"data": read(clip)})
print("scene:", scene.text)
print("tone:", tone.text)

clues = {"scene": scene.text, "tone": tone.text, "expressions": ["Eyes widened", "Jaw drop"], "label": "surprise"}
reason = reasons.call("merrflow.llama3.v1.EmotionReasoner/Reason", clues=clues)
print("reasoning:", reason.text)
print("written by:", reason.engine.model, reason.engine.revision)

scores = reasons.call("merrflow.llama3.v1.EmotionReasoner/Score", clues=clues, labels=["happy", "sad", "surprise"])
print("likely:", {score.label: round(score.probability, 2) for score in scores.scores})
