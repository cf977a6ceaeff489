"""Where the benchmark plays: its own Kafka and Redis, and a worker process per definition count."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer

from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.adapters.local.ports import free_ports
from app.adapters.local.process import ChildProcess
from app.adapters.redis.connection import connect
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.domain.definitions import DefinitionWrite, EvaluationMethods, StoredDefinition
from app.domain.model import Tenant
from tests.bench.meter import Meter
from tests.bench.mix import Updates, definition_texts
from tests.services import LocalKafka, LocalRedis, Names

PARTITIONS = 8
SANDBOX = "prod"
_READY_S = 120.0
_STOP_S = 30.0
_USES = re.compile(r'inSegment\("([^"]+)"\)')


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Servers:
    """Kafka and Redis of this run."""

    folder: Path
    kafka: LocalKafka = field(init=False)
    redis: LocalRedis = field(init=False)

    def __post_init__(self) -> None:
        self.kafka = LocalKafka(self.folder / "kafka")
        self.redis = LocalRedis(self.folder / "redis")

    def start(self) -> None:
        self.kafka.start()
        self.redis.start()

    def stop(self) -> None:
        self.kafka.kill()
        self.redis.kill()


class Stage:
    """Topics, definitions and traffic of one definition count, and the worker on them.

    Args:
        servers: They run.
        definitions: How many.
        profiles: That the updates are about.
    """

    def __init__(self, servers: Servers, definitions: int, profiles: int) -> None:
        self.servers = servers
        self.definitions = definitions
        self.names = Names()
        self.updates = Updates(definitions, profiles)
        self.value_bytes = 0.0
        [self._port] = free_ports(1)
        self._worker = ChildProcess("worker", servers.folder / f"worker-{definitions}.log")

    @property
    def input_topic(self) -> str:
        return f"{self.names.topic_prefix}profile-updates"

    @property
    def changes_topic(self) -> str:
        return f"{self.names.topic_prefix}membership-changes"

    @property
    def worker_pid(self) -> int:
        return self._worker.pid

    def prepare(self) -> None:
        """Create the topics and write the definitions."""
        asyncio.run(self._prepare())

    async def _prepare(self) -> None:
        client = {"bootstrap_servers": [self.servers.kafka.bootstrap]}
        await ensure_topics(client, TopicPlan(self.names.topic_prefix, PARTITIONS))
        redis = connect(self.servers.redis.url)
        try:
            await redis.flushall()
            store = RedisDefinitionStore(redis, self.names.redis_key_prefix)
            tenant = Tenant(self.names.org_id, SANDBOX)
            for ordinal, (segment_id, text) in enumerate(definition_texts(self.definitions)):
                write = DefinitionWrite(
                    stored_definition(segment_id, ordinal, text), {"id": segment_id}
                )
                if not await store.put(tenant, await store.head(tenant), write):
                    raise RuntimeError(f"{segment_id} was not stored")
        finally:
            await redis.aclose()

    def fill(self, count: int) -> None:
        """Put that many updates on the input topic."""
        producer = Producer(
            {
                "bootstrap.servers": self.servers.kafka.bootstrap,
                "partitioner": "murmur2",
                "linger.ms": 50,
                "batch.size": 524_288,
                "queue.buffering.max.messages": 200_000,
            }
        )
        size = 0
        for _ in range(count):
            key, value = self.updates.next_bytes(wall_ms())
            size += len(value)
            while True:
                try:
                    producer.produce(self.input_topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
        if producer.flush(60):
            raise RuntimeError("Kafka did not take all updates within a minute")
        self.value_bytes = size / count

    def start_worker(self, profile: Path | None = None) -> Meter:
        """Start the worker; under cProfile, writing there, where `profile` is given."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SEG_")},
            **self.names.environment(self.servers.kafka, self.servers.redis),
            "SEG_PARTITIONS": str(PARTITIONS),
            "SEG_DEFAULT_ORG_ID": self.names.org_id,
            "SEG_WORKER_PORT": str(self._port),
            "SEG_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "app", "worker"]
        if profile is not None:
            command = [sys.executable, "-m", "tests.bench.profiled_worker", str(profile)]
        self._worker.start(command, environment)
        pids = {
            "worker": self._worker.pid,
            "kafka": self.servers.kafka.pid,
            "redis": self.servers.redis.pid,
        }
        meter = Meter(self._port, pids)
        if not self._worker.wait_until(meter.is_ready, _READY_S):
            raise RuntimeError(self._worker.how_it_ended())
        return meter

    def check_worker(self) -> None:
        """Fail where the worker ended."""
        if not self._worker.is_running:
            raise RuntimeError(self._worker.how_it_ended())

    def stop_worker(self) -> str:
        """Stop the worker in order; return what it logged."""
        self._worker.stop(_STOP_S)
        return self._worker.log_text()


def stored_definition(segment_id: str, ordinal: int, text: str) -> StoredDefinition:
    """Return a published definition as the store has it."""
    now = wall_ms()
    return StoredDefinition(
        segment_id=segment_id,
        ordinal=ordinal,
        version=1,
        name=f"Segment {ordinal}",
        description="",
        expression=text,
        schema_name="_xdm.context.profile",
        methods=EvaluationMethods(),
        merge_policy_id="",
        profile_instance_id="ups",
        uses=tuple(sorted(_USES.findall(text))),
        created_ms=now,
        updated_ms=now,
        version_ms=now,
    )
