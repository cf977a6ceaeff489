"""The yardstick of latency: a loop that reads, picks one record in twenty, and publishes those.

In transactions with the offsets, one producer per partition, side by side, as a worker does: what
Kafka and aiokafka need on this machine without profiles, rules and Redis.

Run as `python -m tests.bench.plain_publisher BOOTSTRAP INPUT OUTPUT GROUP PARTITIONS`; prints
`ready`, then works until SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Any

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from app.adapters.kafka.library import shorten_transaction_backoff

_LINGER_S = 0.005
_ONE_IN = 20


class _Publisher:
    """Publishes what it picks of one partition."""

    def __init__(self, bootstrap: str, at: TopicPartition, output: str, group: str) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=f"{group}-{at.partition}"
        )
        self._at, self._output, self._group = at, output, group

    async def start(self) -> None:
        await self._producer.start()

    async def publish(self, records: Sequence[Any]) -> None:
        picked = [
            orjson.dumps({"cause": {"eventId": update["eventId"]}})
            for record in records
            if int((update := orjson.loads(record.value))["eventId"][-6:]) % _ONE_IN == 0
        ]
        if not picked:
            return
        partition = self._at.partition
        await self._producer.begin_transaction()
        batch = self._producer.create_batch()
        for value in picked:
            batch.append(key=None, value=value, timestamp=None)
        await (await self._producer.send_batch(batch, self._output, partition=partition))
        offsets = {self._at: OffsetAndMetadata(records[-1].offset + 1, "")}
        await self._producer.send_offsets_to_transaction(offsets, self._group)
        await self._producer.commit_transaction()


async def run(bootstrap: str, source: str, output: str, group: str, partitions: int) -> None:
    """Read from the end of the input until cancelled."""
    shorten_transaction_backoff()
    places = [TopicPartition(source, partition) for partition in range(partitions)]
    reader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="latest",
    )
    publishers = {at: _Publisher(bootstrap, at, output, group) for at in places}
    await reader.start()
    await asyncio.gather(*(publisher.start() for publisher in publishers.values()))
    reader.assign(places)
    await reader.seek_to_end(*places)
    print("ready", flush=True)
    while True:
        found = await reader.getmany(timeout_ms=100)
        await asyncio.gather(*(publishers[at].publish(rows) for at, rows in found.items()))
        await asyncio.sleep(_LINGER_S)


def main() -> None:
    bootstrap, source, output, group, partitions = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(run(bootstrap, source, output, group, int(partitions)))


if __name__ == "__main__":
    main()
