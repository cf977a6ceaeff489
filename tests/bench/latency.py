"""Latency at a fixed rate: from producing an update to reading its change as committed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.bench.meter import Meter, cpu_seconds
from tests.bench.stage import PARTITIONS, Stage, wall_ms

_STEP_S = 0.002
_TAIL_S = 3.0

Usage = Callable[[], tuple[float, int]]
"""Processor seconds and transactions so far of the process that is measured."""


@dataclass(frozen=True)
class Latency:
    """In ms, of changes that an update caused at once.

    Attributes:
        what: The process that was measured.
    """

    what: str
    rate: float
    achieved: float
    changes: int
    p50: float
    p90: float
    p99: float
    most: float
    worker_cpu_us: float
    transactions_per_second: float


@dataclass(frozen=True)
class LatencyPlan:
    """How long to measure.

    Attributes:
        warm_up_s: At the same rate before: a Kafka that was just started compiles its code for a
            minute, and takes a core for it.
    """

    seconds: float
    warm_up_s: float


class _Source:
    """Sends updates at a fixed rate; notes when each was due, so that a hold-up counts."""

    def __init__(self, stage: Stage, rate: float, seconds: float) -> None:
        self._stage, self._rate, self._seconds = stage, rate, seconds
        self._producer = Producer(
            {
                "bootstrap.servers": stage.servers.kafka.bootstrap,
                "partitioner": "murmur2",
                "linger.ms": 5,
            }
        )
        self.sent_at: dict[str, float] = {}
        self.sent = 0
        self.took_s = 0.0

    def run(self) -> None:
        started = time.monotonic()
        total = int(self._rate * self._seconds)
        while self.sent < total:
            due = min(int((time.monotonic() - started) * self._rate) + 1, total)
            while self.sent < due:
                self._send(started + self.sent / self._rate)
            self._producer.poll(0)
            time.sleep(_STEP_S)
        self.took_s = time.monotonic() - started
        self._producer.flush(30)

    def _send(self, due_s: float) -> None:
        profile_id, update = self._stage.updates.next(wall_ms())
        self.sent_at[update["eventId"]] = due_s
        value = orjson.dumps(update)
        self._producer.produce(self._stage.input_topic, value, profile_id.encode())
        self.sent += 1


def usage_of(meter: Meter) -> Usage:
    """Return what a worker has used."""

    def usage() -> tuple[float, int]:
        sample = meter.sample()
        return sample.cpu["worker"], sample.transactions

    return usage


def measure(stage: Stage, what: str, usage: Usage, rate: float, plan: LatencyPlan) -> Latency:
    """Send for so long, after a warm-up, and read the changes beside."""
    reader = _reader(stage)
    try:
        return _measure(reader, stage, what, usage, rate, plan)
    finally:
        reader.close()


def measure_plain(stage: Stage, rate: float, plan: LatencyPlan) -> Latency:
    """Do the same with the plain publisher; no worker may run."""
    module = [sys.executable, "-m", "tests.bench.plain_publisher"]
    bootstrap, group = stage.servers.kafka.bootstrap, f"{stage.names.id}-plain"
    places = [stage.input_topic, stage.changes_topic, group, str(PARTITIONS)]
    with subprocess.Popen([*module, bootstrap, *places], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != b"ready":
                raise RuntimeError("the plain publisher did not start")
            return measure(stage, "plain", lambda: (cpu_seconds(process.pid), 0), rate, plan)
        finally:
            process.terminate()


def _measure(
    reader: Consumer, stage: Stage, what: str, usage: Usage, rate: float, plan: LatencyPlan
) -> Latency:
    source = _Source(stage, rate, plan.seconds + plan.warm_up_s)
    thread = threading.Thread(target=source.run)
    cpu_s, transactions = usage()
    started = time.monotonic()
    thread.start()
    found: list[float] = []
    stop_at: float | None = None
    while stop_at is None or time.monotonic() < stop_at:
        # One by one: `consume` holds what it has until the time given is over.
        message = reader.poll(0.02)
        if message is not None:
            now = time.monotonic()
            if message.error():
                raise RuntimeError(str(message.error()))
            event_id = orjson.loads(message.value() or b"")["cause"].get("eventId")
            sent = source.sent_at.get(event_id)
            if sent is not None and sent - started >= plan.warm_up_s:
                found.append((now - sent) * 1000)
        if stop_at is None and not thread.is_alive():
            stop_at = time.monotonic() + _TAIL_S
    thread.join()
    cpu_after_s, transactions_after = usage()
    found.sort()
    if len(found) < 100:
        raise RuntimeError(f"only {len(found)} changes in {plan.seconds} s: no percentiles of that")
    return Latency(
        what,
        rate,
        source.sent / source.took_s,
        len(found),
        _percentile(found, 50),
        _percentile(found, 90),
        _percentile(found, 99),
        found[-1],
        (cpu_after_s - cpu_s) / source.sent * 1e6,
        (transactions_after - transactions) / (time.monotonic() - started),
    )


def _percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def _reader(stage: Stage) -> Consumer:
    reader = Consumer(
        {
            "bootstrap.servers": stage.servers.kafka.bootstrap,
            "group.id": f"{stage.names.id}-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
        }
    )
    places = []
    for partition in range(PARTITIONS):
        place = TopicPartition(stage.changes_topic, partition)
        _, place.offset = reader.get_watermark_offsets(place, timeout=10)
        places.append(place)
    reader.assign(places)
    return reader
