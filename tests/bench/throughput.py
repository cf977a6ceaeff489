"""Sustained throughput of a worker that finds a full topic, and what each update costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.meter import Meter, Sample, peak_mib
from tests.bench.stage import Stage

_SAMPLE_S = 0.1
_STALLED_S = 60.0


@dataclass(frozen=True)
class Throughput:
    """Between the first and the last progress seen after the warm-up.

    Attributes:
        cpu_us: Processor time per update, by process.
        share: Of one processor that the worker had: below 1 it waited, or others took it.
    """

    definitions: int
    updates: int
    seconds: float
    changes: int
    transactions: int
    batches: int
    timers: int
    cpu_us: dict[str, float]
    share: float
    value_bytes: float
    peak_mib: float

    @property
    def per_second(self) -> float:
        return self.updates / self.seconds

    @property
    def changes_per_second(self) -> float:
        return self.changes / self.seconds


def measure(
    stage: Stage, warm_up: int, count: int, profile: Path | None = None
) -> tuple[Throughput, Meter]:
    """Fill the topic with both, start the worker, and watch it; the worker stays on."""
    stage.fill(warm_up + count)
    meter = stage.start_worker(profile)
    begin, end = _watch(stage, meter, warm_up, warm_up + count)
    if end.refused:
        raise RuntimeError(f"{end.refused} updates were not applied")
    updates, seconds = end.applied - begin.applied, end.at_s - begin.at_s
    used = {name: end.cpu[name] - begin.cpu[name] for name in end.cpu}
    found = Throughput(
        stage.definitions,
        updates,
        seconds,
        end.changes - begin.changes,
        end.transactions - begin.transactions,
        end.batches - begin.batches,
        end.timers - begin.timers,
        {name: spent / updates * 1e6 for name, spent in used.items()},
        used["worker"] / seconds,
        stage.value_bytes,
        peak_mib(stage.worker_pid),
    )
    return found, meter


def _watch(stage: Stage, meter: Meter, warm_up: int, total: int) -> tuple[Sample, Sample]:
    """Return the worker at its first progress after the warm-up, and at its last."""
    begin: Sample | None = None
    last = meter.sample()
    while last.applied < total:
        time.sleep(_SAMPLE_S)
        stage.check_worker()
        now = meter.sample()
        if now.applied > last.applied:
            last = now
            if begin is None and now.applied >= warm_up:
                begin = now
        elif now.at_s - last.at_s > _STALLED_S:
            raise RuntimeError(f"stalled after {now.applied} of {total} updates")
    if begin is None or begin is last:
        raise RuntimeError("too few updates: they were applied at once; take more")
    return begin, last
