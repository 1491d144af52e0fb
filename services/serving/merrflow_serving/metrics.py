"""Prometheus metrics of a service. Names are the same in all services; the job label tells them apart."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one service process, in a registry of their own."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        labels = {"registry": self.registry, "labelnames": ("service",)}
        self.requests = Counter(
            "merrflow_requests",
            "Requests answered, by RPC and gRPC status",
            ("service", "rpc", "code"),
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "merrflow_queue_seconds", "Seconds a request waited for its batch", buckets=SECONDS, **labels
        ).labels(service)
        self.model_seconds = Histogram(
            "merrflow_model_seconds", "Seconds the engine took for a batch", buckets=SECONDS, **labels
        ).labels(service)
        self.batch_size = Histogram("merrflow_batch_size", "Requests in a batch", buckets=SIZES, **labels).labels(
            service
        )
        self.queue_length = Gauge("merrflow_queue_length", "Requests that wait now", **labels).labels(service)
        self.ready = Gauge("merrflow_ready", "1 while the service is SERVING", **labels).labels(service)
        self._service = service

    def count(self, rpc: str, code: str) -> None:
        """One answered request."""
        self.requests.labels(self._service, rpc, code).inc()

    def observe_batch(self, size: int, model_seconds: float, queue_seconds: list[float]) -> None:
        """One finished batch."""
        self.batch_size.observe(size)
        self.model_seconds.observe(model_seconds)
        for seconds in queue_seconds:
            self.queue_seconds.observe(seconds)

    def serve(self, host: str, port: int) -> None:
        """Opens the page that Prometheus reads."""
        start_http_server(port, addr=host, registry=self.registry)
