"""An owner that takes real batches step by step, so that a test can let it die at any of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer

from app.adapters.kafka.acquisition import Acquisition
from app.adapters.kafka.codecs import InputRules, UpdateDecoder
from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.publisher import TransactionalPublisher
from app.adapters.kafka.records import Outbox
from app.adapters.kafka.transport import RecordBatch
from app.domain.errors import Fenced, Unavailable
from tests.integration.stream.harness import SANDBOX, eventually
from tests.integration.stream.stub_engine import StubEngine


@dataclass
class DyingOwner:
    bus: Any
    partition: int

    def make_publisher(self, partition):
        name = f"{self.bus.names.application_id}-{partition}"
        return TransactionalPublisher(
            lambda: AIOKafkaProducer(**self.bus.client, transactional_id=name),
            self.bus.names.application_id,
        )

    async def acquire(self):
        bus = self.bus
        acquisition = Acquisition(
            bus.store,
            bus.positions,
            bus.topics,
            bus.partitions,
            self.make_publisher,
            WorkerMetrics(),
        )

        async def acquired():
            engine: Any = StubEngine(None)
            self.owner = Owner(self.partition, 1, bus.topics, engine)
            # A fresh broker has no group coordinator for its first seconds.
            with suppress(Unavailable):
                await acquisition.run(self.owner)
                return True

        await eventually(acquired)
        self.owner.received = self.owner.offset
        return self

    async def commit(self) -> Outbox | None:
        """Take all records that wait, and write the batch to Redis; publish nothing."""
        bus, owner = self.bus, self.owner
        records = [
            record
            for record in await bus.read(bus.topics.updates)
            if record.partition == self.partition and record.offset >= owner.offset
        ]
        assert records, "nothing to take"
        end = records[-1].offset + 1
        owner.pending.append(RecordBatch(self.partition, 1, owner.offset, end, records))
        decoder = UpdateDecoder(InputRules(bus.partitions, bus.names.org_id, SANDBOX))
        work = owner.take(1_000, 1 << 20, decoder)
        missing = owner.engine.missing_states(work.keys())
        if missing:
            states = await bus.store.states({self.partition: missing})
            owner.engine.provide_states(states[self.partition])
        now = max(record.timestamp for record in records)
        outcome = owner.engine.apply(work.updates, [], owner.clock_ms, now)
        commit, outbox = owner.finish(work, outcome)
        answer = (await bus.store.commit([commit]))[0]
        if isinstance(answer, Fenced):
            raise answer
        return outbox

    async def publish(self, outbox):
        assert self.owner.publisher is not None
        ends = await self.owner.publisher.publish(outbox.records, self.owner.group_offsets())
        self.owner.ends.update(ends)

    async def die(self):
        """Vanish: close the sockets, tell nobody."""
        publisher, self.owner.publisher = self.owner.publisher, None
        if publisher is not None:
            await publisher.stop()
