"""Prometheus metrics of a service process. Names are the same in all services; the label `service` distinguishes them.

No label holds a clip, a path or an error's text, so that a service has a few hundred series however much it answers.
What each means for operations: docs/observability.md. Names follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from google.protobuf import descriptor_pool
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from merrflow_serving.engine import EngineInfo
from merrflow_serving.torch.gpu import GpuState

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class State:
    """A service's state at this moment."""

    version: str
    engine: EngineInfo
    ready: bool
    problem: bool
    waiting: int  # requests in the queue
    queue_capacity: int
    max_batch_size: int
    gpu: GpuState | None = None


class Metrics:
    """The metrics of one service process, in a registry of their own."""

    def __init__(self, service: str) -> None:
        # Otherwise each counter has a second series, which nobody needs.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # without annotations, though the rest has some
        self.registry = CollectorRegistry()
        self._service = service
        self._requests = Counter(
            "merrflow_requests",
            "Requests answered, by RPC, gRPC status, and the reason a failure was given",
            ("service", "rpc", "code", "reason"),
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "merrflow_request_seconds",
            "Seconds from a request to its answer: reading the media, waiting, and the model",
            ("service", "rpc"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "merrflow_requests_in_flight", "Requests not answered yet", ("service", "rpc"), registry=self.registry
        )
        self._queue_seconds = self._histogram("merrflow_queue_seconds", "Seconds a request waited for its batch")
        self._model_seconds = self._histogram("merrflow_model_seconds", "Seconds the engine took for a batch")
        self._batch_size = self._histogram("merrflow_batch_size", "Requests in a batch", SIZES)
        ProcessCollector(registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(name, text, ("service",), buckets=buckets, registry=self.registry).labels(self._service)

    def expect(self, proto: str) -> None:
        """Creates the series of each RPC before any request. proto: the full name of a gRPC service with loaded stubs.

        If a series began with its first request, `rate()` would not see that one.
        """
        for method in descriptor_pool.Default().FindServiceByName(proto).methods:
            self._requests.labels(self._service, method.name, "OK", "")
            self._request_seconds.labels(self._service, method.name)
            self._in_flight.labels(self._service, method.name)

    def begin(self, rpc: str) -> None:
        """A request arrived."""
        self._in_flight.labels(self._service, rpc).inc()

    def end(self, rpc: str, code: str, reason: str, seconds: float) -> None:
        """A request that began is answered. `reason` is that of the error, "" without one."""
        self._in_flight.labels(self._service, rpc).dec()
        self._requests.labels(self._service, rpc, code, reason).inc()
        self._request_seconds.labels(self._service, rpc).observe(seconds)

    def observe_batch(self, size: int, model_seconds: float, queue_seconds: list[float]) -> None:
        """One finished batch."""
        self._batch_size.observe(size)
        self._model_seconds.observe(model_seconds)
        for seconds in queue_seconds:
            self._queue_seconds.observe(seconds)

    def follow(self, state: Callable[[], State]) -> None:
        """Adds what `state()` returns. It is called for every read of the page, on that read's thread."""
        self.registry.register(_StateCollector(self._service, state))

    def serve(self, host: str, port: int) -> None:
        """Opens the page that Prometheus reads. Raises `OSError` if the port is in use."""
        start_http_server(port, addr=host, registry=self.registry)


class _StateCollector(Collector):
    def __init__(self, service: str, state: Callable[[], State]) -> None:
        self._service = service
        self._state = state

    def describe(self) -> Iterable[Metric]:
        return ()  # or the registry would collect to learn the names

    def collect(self) -> Iterator[Metric]:
        state = self._state()
        plain = (
            ("merrflow_ready", "1 while the service is SERVING", state.ready),
            ("merrflow_problem", "1 while the engine cannot be used; Info and the log say why", state.problem),
            ("merrflow_queue_length", "Requests that wait now", state.waiting),
            ("merrflow_queue_capacity", "Requests that may wait; one more is refused", state.queue_capacity),
            ("merrflow_max_batch_size", "Most requests in one batch", state.max_batch_size),
        )
        for name, text, value in plain:
            yield _gauge(name, text, {"service": self._service}, value)
        yield _gauge("merrflow_build_info", "Who computes: always 1", self._identity(state), 1)
        if state.gpu is not None:
            yield from self._gpu(state.gpu)

    def _identity(self, state: State) -> dict[str, str]:
        engine = state.engine
        return {
            "service": self._service,
            "version": state.version,
            "engine": engine.engine,
            "model": engine.model,
            "revision": engine.revision,
            "device": engine.device,
            "dtype": engine.dtype,
            "host": socket.gethostname(),  # the container or pod, where `instance` is only an address
        }

    def _gpu(self, gpu: GpuState) -> Iterator[Metric]:
        labels = {"service": self._service, "device": gpu.device}
        if gpu.memory is not None:
            for name, text, value in (
                ("used", "GPU memory that this process holds", gpu.memory.used_bytes),
                ("peak", "The most GPU memory this process has held", gpu.memory.peak_bytes),
                ("free", "GPU memory that is left, other processes counted", gpu.memory.free_bytes),
                ("total", "Memory of the GPU", gpu.memory.total_bytes),
            ):
                yield _gauge(f"merrflow_gpu_memory_{name}_bytes", text, labels, value)
        if gpu.utilization is not None:
            text = "Share of the last second in which the GPU computed"
            yield _gauge("merrflow_gpu_utilization_ratio", text, labels, gpu.utilization)


def _gauge(name: str, text: str, labels: dict[str, str], value: float) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), float(value))
    return family
