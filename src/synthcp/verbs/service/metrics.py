"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_IMAGES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self.requests = Counter("synthcp_requests", "Answered, by path and status.", ["path", "code"], registry=own)
        told = "From the head of a request to its answer."
        self.seconds = Histogram("synthcp_request_seconds", told, ["path"], buckets=_SECONDS, registry=own)
        self.images = Counter("synthcp_images", "Judged, by status and decision.", ["code", "decision"], registry=own)
        self.together = Histogram("synthcp_batch_images", "That a worker took at once.", buckets=_IMAGES, registry=own)
        self.restarts = Counter("synthcp_worker_restarts", "Workers that died or hung and were replaced.", registry=own)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Tell a value as it is whenever somebody asks."""
        Gauge(name, meaning, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return all of it in the format of Prometheus."""
        return generate_latest(self._registry)
