"""What is counted, for Prometheus; each server has a registry of its own, so tests can start many."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)


class Meters:
    """Counters and times of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter("assay_photos_received", "photos that were taken in", registry=self.registry)
        self.refused = Counter(
            "assay_requests_refused", "requests that were refused", ["why"], registry=self.registry
        )
        self.decided = Counter(
            "assay_photos_decided", "verdicts of the machine", ["verdict"], registry=self.registry
        )
        self.seconds = Histogram(
            "assay_decision_seconds",
            "from taking a photo in to its verdict",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.batch = Histogram(
            "assay_batch_photos",
            "photos in one call of the networks",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32),
        )
        self.waiting = Gauge(
            "assay_photos_waiting", "photos that this server works on", registry=self.registry
        )
        self.workers = Gauge("assay_workers_alive", "processes that work", ["kind"], registry=self.registry)
        self.queue = Gauge("assay_jobs_waiting", "photos in the queue of all servers", registry=self.registry)
        self.reviews = Gauge(
            "assay_tasks_open", "looks by people that are wanted", ["why"], registry=self.registry
        )
        self.withdrawn = Gauge(
            "assay_kinds_withdrawn", "promises that audits have withdrawn", registry=self.registry
        )
        self.answers = Counter(
            "assay_answers_final", "answers of people that took effect", registry=self.registry
        )
        self.letters = Counter("assay_webhooks", "calls of webhooks", ["outcome"], registry=self.registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
