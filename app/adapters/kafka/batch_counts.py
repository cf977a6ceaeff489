"""What committed batches did, in the metrics of the worker."""

from __future__ import annotations

from collections import Counter

from app.adapters.kafka.batches import Batch
from app.adapters.kafka.metrics import WorkerMetrics


def count_batch(metrics: WorkerMetrics, batch: Batch) -> None:
    """Count what a committed batch did."""
    outcome, work = batch.outcome, batch.work
    if outcome is None:
        return
    metrics.batches.inc()
    counts = {
        "applied": outcome.applied,
        "duplicate": outcome.duplicates,
        "expired": outcome.expired,
        "unknown-audience": outcome.unknown,
        "dead-letter": work.dead,
        "forwarded": work.forwarded,
        "repeated": work.skipped,
    }
    for result, count in counts.items():
        if count:
            metrics.updates.labels(result).inc(count)
    if work.due:
        metrics.timers.inc(len(work.due))
    if work.looked:
        (metrics.scanned if work.tally is None else metrics.counted).inc(work.looked)
    # One labelled lookup costs more than making the change's record: once per status.
    for status, count in Counter(change.status for change in outcome.changes).items():
        metrics.changes.labels(status).inc(count)
    metrics.lag.labels(str(batch.owner.partition)).set(batch.owner.lag)
