"""Latency at a fixed rate: from producing an update to reading its change as committed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.bench.meter import Meter
from tests.bench.stage import PARTITIONS, Stage, wall_ms

_STEP_S = 0.002
_TAIL_S = 3.0
_WARM_UP_S = 3.0


@dataclass(frozen=True)
class Latency:
    """In ms, of changes that an update caused at once."""

    rate: float
    achieved: float
    changes: int
    p50: float
    p90: float
    p99: float
    most: float
    worker_cpu_us: float
    transactions_per_second: float


class _Source:
    """Sends updates at a fixed rate; notes when each was due, so that a hold-up counts."""

    def __init__(self, stage: Stage, rate: float, seconds: float) -> None:
        self._stage, self._rate, self._seconds = stage, rate, seconds
        self._producer = Producer(
            {
                "bootstrap.servers": stage.servers.kafka.bootstrap,
                "partitioner": "murmur2",
                "linger.ms": 1,
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


def measure(stage: Stage, meter: Meter, rate: float, seconds: float) -> Latency:
    """Send for so long, after a few seconds of warm-up, and read the changes beside."""
    reader = _reader(stage)
    try:
        return _measure(reader, stage, meter, rate, seconds)
    finally:
        reader.close()


def _measure(reader: Consumer, stage: Stage, meter: Meter, rate: float, seconds: float) -> Latency:
    source = _Source(stage, rate, seconds + _WARM_UP_S)
    thread = threading.Thread(target=source.run)
    before = meter.sample()
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
            if sent is not None and sent - started >= _WARM_UP_S:
                found.append((now - sent) * 1000)
        if stop_at is None and not thread.is_alive():
            stop_at = time.monotonic() + _TAIL_S
    thread.join()
    stage.check_worker()
    after = meter.sample()
    found.sort()
    if len(found) < 100:
        raise RuntimeError(f"only {len(found)} changes in {seconds} s: no percentiles of that")
    spent = after.cpu["worker"] - before.cpu["worker"]
    return Latency(
        rate,
        source.sent / source.took_s,
        len(found),
        _percentile(found, 50),
        _percentile(found, 90),
        _percentile(found, 99),
        found[-1],
        spent / source.sent * 1e6,
        (after.transactions - before.transactions) / (after.at_s - before.at_s),
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
