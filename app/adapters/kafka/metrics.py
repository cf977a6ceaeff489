"""What a worker counts, in Prometheus' format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BATCH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class WorkerMetrics:
    """The metrics of one worker process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.updates = self._counter("updates", "Updates by what became of them", "result")
        self.batches = self._counter("batches", "Batches committed in Redis")
        self.transactions = self._counter("transactions", "Outboxes and offsets published")
        self.changes = self._counter("changes", "Membership changes written", "status")
        self.timers = self._counter("timers", "Timers fired")
        self.scanned = self._counter("scanned", "Profiles looked at after definitions changed")
        self.counted = self._counter("job_profiles", "Profiles looked at for jobs")
        self.previewed = self._counter("preview_profiles", "Profiles looked at for previews")
        self.fenced = self._counter("fenced", "Partitions lost to another owner", "side")
        self.recoveries = self._counter("recoveries", "Recovery steps on assignment", "step")
        self.refused = self._counter("refused", "Assignments refused for the configuration")
        self.lost = self._counter(
            "lost_records", "Input records that the topic no longer held", "partition", "reason"
        )
        self.lag = Gauge(
            "segmentation_lag_records",
            "Records not yet applied",
            ["partition"],
            registry=self.registry,
        )
        self.owned = Gauge(
            "segmentation_owned_partitions",
            "Partitions by state",
            ["state"],
            registry=self.registry,
        )
        self.definitions_failed = Gauge(
            "segmentation_definitions_failed",
            "Definitions that could not be compiled",
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "segmentation_batch_seconds",
            "From taking a cycle's batches until they are committed in Redis",
            buckets=_BATCH_SECONDS,
            registry=self.registry,
        )
        self.publish_seconds = Histogram(
            "segmentation_publish_seconds",
            "One transaction, or one idempotent publication",
            buckets=_BATCH_SECONDS,
            registry=self.registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"segmentation_{name}", text, labels, registry=self.registry)
