"""Prometheus metrics of the control plane."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class HttpMetrics:
    """A registry of its own, so that two applications in one process do not clash."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "segmentation_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "segmentation_http_request_seconds",
            "Time to answer a request.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._relayed = Counter(
            "segmentation_definitions_relayed",
            "Definition records that Kafka acknowledged.",
            registry=self.registry,
        )
        self._relay_failures = Counter(
            "segmentation_definition_relay_failures",
            "Rounds of the definition relay that failed.",
            registry=self.registry,
        )
        self._relay_active = Gauge(
            "segmentation_definition_relay_active",
            "1 while this replica relays definitions.",
            registry=self.registry,
        )
        self._appended = Counter(
            "segmentation_profile_updates_appended",
            "Profile updates and deletions that Kafka acknowledged.",
            registry=self.registry,
        )
        self._not_appended = Counter(
            "segmentation_profile_update_failures",
            "Requests whose updates Kafka did not acknowledge.",
            registry=self.registry,
        )
        self.job_relay = RelayMetrics(self.registry)
        self._firings = Counter(
            "segmentation_schedule_firings",
            "Firings of schedules, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request; `seconds` is how long it took."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)

    def relayed(self, records: int) -> None:
        """Count records of the `definitions` topic that Kafka acknowledged."""
        self._relayed.inc(records)

    def failed(self) -> None:
        """Count a round of the relay that failed and will be tried again."""
        self._relay_failures.inc()

    def active(self, *, holds: bool) -> None:
        """Note whether this replica relays, or another one does."""
        self._relay_active.set(holds)

    def appended(self, records: int) -> None:
        """Count records of the `profile-updates` topic that Kafka acknowledged."""
        self._appended.inc(records)

    def not_appended(self) -> None:
        """Count a request whose updates Kafka did not acknowledge."""
        self._not_appended.inc()

    def fired(self, outcome: str) -> None:
        """Count a firing of a schedule: started, skipped, failed or postponed."""
        self._firings.labels(outcome).inc()

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self.registry)


class RelayMetrics:
    """What the relay of job events counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._relayed = Counter(
            "segmentation_job_events_relayed",
            "Job events that Kafka acknowledged.",
            registry=registry,
        )
        self._failures = Counter(
            "segmentation_job_relay_failures",
            "Rounds of the relay of job events that failed.",
            registry=registry,
        )
        self._active = Gauge(
            "segmentation_job_relay_active",
            "1 while this replica relays job events.",
            registry=registry,
        )

    def relayed(self, records: int) -> None:
        """Count events that Kafka acknowledged."""
        self._relayed.inc(records)

    def failed(self) -> None:
        """Count a round of the relay that failed and will be tried again."""
        self._failures.inc()

    def active(self, *, holds: bool) -> None:
        """Note whether this replica relays, or another one does."""
        self._active.set(holds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
