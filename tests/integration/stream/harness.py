"""What the tests of the stream share: topics, a worker in this process, and readers."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from app.adapters.kafka.batches import StreamLimits
from app.adapters.kafka.codecs import InputRules
from app.adapters.kafka.positions import KafkaPositions
from app.adapters.kafka.records import TopicNames
from app.adapters.kafka.worker import Worker
from app.adapters.kafka.worker_options import WorkerOptions
from app.adapters.redis.connection import connect
from app.adapters.redis.partition_store import RedisPartitionStore
from app.domain.model import DefinitionSet, Tenant
from app.domain.partitioning import partition_of
from tests.integration.stream.stub_engine import StubEngine
from tests.services import Names

SANDBOX = "prod"
SESSION_MS = 6_000
_OWNED_S = 60.0
_STOPPED_S = 40.0


async def eventually(check, timeout=20.0):
    """Poll until `check` returns something true; the deadline is the failure."""
    deadline = time.monotonic() + timeout
    while True:
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {check}")
        await asyncio.sleep(0.02)


class NoDefinitions:
    """A definition source without definitions, or with what a test puts in."""

    def __init__(self):
        self.sets = {}
        self.failures = []
        self.reports = {}
        self.event = asyncio.Event()

    def put(self, definitions: DefinitionSet):
        self.sets[definitions.tenant] = definitions
        self.event.set()

    async def load(self, tenant):
        return self.sets[tenant]

    async def tenants(self):
        return list(self.sets)

    async def tags(self):
        return {tenant: found.tag for tenant, found in self.sets.items()}

    async def changed(self):
        while True:
            await self.event.wait()
            self.event.clear()
            yield next(iter(self.sets))

    async def report_failures(self, tenant, tag, failures):
        self.failures.append((tenant, tag, dict(failures)))

    async def report_backfill(self, tenant, tag, partition, partitions, share):
        self.reports[tenant, partition] = tag, share
        return 0


@dataclass
class Bus:
    """One test's topics and keys."""

    bootstrap: str
    redis_url: str
    names: Names = field(default_factory=Names)
    partitions: int = 2

    def __post_init__(self):
        self.topics = TopicNames.of(self.names.topic_prefix)
        self.client = {"bootstrap_servers": self.bootstrap}
        self.redis = connect(self.redis_url)
        self.store = RedisPartitionStore(self.redis, self.names.redis_key_prefix)
        self.positions = KafkaPositions(self.client, self.names.application_id)
        self.tenant = Tenant(self.names.org_id, SANDBOX)

    @property
    def all_topics(self):
        return [self.topics.updates, *self.topics.outputs]

    async def create_topics(self):
        admin = AIOKafkaAdminClient(**self.client)
        await admin.start()

        async def created():
            # A Kafka that was just started names no controller yet; aiokafka does not expect that.
            with suppress(AttributeError):
                topics = [NewTopic(t, self.partitions, 1) for t in self.all_topics]
                await admin.create_topics(topics)
                return True

        try:
            await eventually(created)
        finally:
            await admin.close()

        async def visible():
            with suppress(Exception):
                return await self.positions.partition_counts(self.all_topics)

        await eventually(visible)

    async def close(self):
        await self.positions.stop()
        await self.redis.aclose()

    def options(self, **changes):
        given = {
            "client": self.client,
            "application_id": self.names.application_id,
            "topics": self.topics,
            "rules": InputRules(self.partitions, self.names.org_id, SANDBOX),
            "redis_prefix": self.names.redis_key_prefix,
            "session_timeout_ms": SESSION_MS,
            "stream": StreamLimits(),
            **changes,
        }
        return WorkerOptions(**given)

    def worker(self, source=None, engine=StubEngine, **changes):
        redis = connect(self.redis_url)
        return Worker(self.options(**changes), redis, source or NoDefinitions(), engine)

    @asynccontextmanager
    async def running(self, worker=None, ready=None, **changes):
        """Run a worker in this process until the block ends."""
        worker = worker or self.worker(**changes)
        wanted = set(range(self.partitions)) if ready is None else set(ready)
        async with self.task_of(worker, wanted):
            yield worker

    @asynccontextmanager
    async def task_of(self, worker, wanted):
        """Run a worker as a task, and end it whatever the block does with it.

        A loop with a worker in it cannot be closed: Faust's agents heed no cancellation.
        """
        task = asyncio.create_task(worker.run())
        try:
            if wanted:
                # A member that the broker lost sight of joins again after its session has run out.
                await eventually(lambda: task.done() or owned(worker) >= wanted, _OWNED_S)
            yield task
        finally:
            worker.stop()
            done, _ = await asyncio.wait([task], timeout=_STOPPED_S)
            await worker._redis.aclose()
            assert done, f"the worker does not stop: {asyncio.all_tasks()}"
            # What it ended with, if nobody asked before.
            await task

    @asynccontextmanager
    async def producer(self, **options):
        producer = AIOKafkaProducer(**self.client, **options)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def send(self, *updates, partition=None):
        """Send (profile id, attributes or whole document) pairs where they belong."""
        async with self.producer() as producer:
            sent = [
                await producer.send(
                    self.topics.updates,
                    value=None if document is None else json.dumps(document).encode(),
                    key=profile_id.encode(),
                    partition=self.partition(profile_id) if partition is None else partition,
                )
                for profile_id, document in updates
            ]
            await asyncio.gather(*sent)

    def partition(self, profile_id):
        return partition_of(profile_id, self.partitions)

    async def read(self, topic, count=None, timeout=20.0, isolation="read_committed"):
        """Return all committed records of a topic; at least `count` where it is given."""
        reader = AIOKafkaConsumer(
            **self.client, auto_offset_reset="earliest", isolation_level=isolation
        )
        await reader.start()
        try:
            tps = [TopicPartition(topic, p) for p in range(self.partitions)]
            reader.assign(tps)
            found: list[Any] = []
            deadline = time.monotonic() + timeout
            while True:
                ends = await reader.end_offsets(tps)
                done = True
                for tp in tps:
                    if await reader.position(tp) < ends[tp]:
                        done = False
                if done and (count is None or len(found) >= count):
                    return found
                if time.monotonic() > deadline:
                    raise AssertionError(f"{topic}: {len(found)} of {count} within {timeout} s")
                batch = await reader.getmany(timeout_ms=100)
                for records in batch.values():
                    found.extend(records)
        finally:
            await reader.stop()

    async def changes(self, count=None, timeout=20.0):
        records = await self.read(self.topics.changes, count, timeout)
        return [json.loads(record.value) for record in records]

    async def meta(self, partition):
        return await self.store.meta(partition)


def owned(worker):
    return {p for p, owner in worker.stream.owners.items() if owner.is_ready}


def history(changes):
    """Return by profile the (sequence, status) in the order published."""
    found: dict[str, list[tuple[int, str]]] = {}
    for change in changes:
        found.setdefault(change["profileId"], []).append((change["sequence"], change["status"]))
    return found


def flips(count, start=1):
    return [(n, "realized" if n % 2 else "exited") for n in range(start, start + count)]
