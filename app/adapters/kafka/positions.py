"""What Kafka knows: group offsets with their metadata, log bounds, and records read back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from aiokafka.structs import TopicPartition

from app.adapters.kafka.update_fields import KafkaRecord
from app.domain.errors import ConfigurationError, Unavailable
from app.service.assignment import GroupPosition

_READ_TIMEOUT_MS = 200
_NO_SUCH_GROUP = 69


class KafkaPositions:
    """Asks the brokers.

    Args:
        client: Arguments of every aiokafka client: servers, security.
        group_id: The consumer group of the workers.

    All methods raise `Unavailable` when Kafka does not answer.
    """

    def __init__(self, client: Mapping[str, Any], group_id: str) -> None:
        self._client = client
        self._group_id = group_id
        self._admin: AIOKafkaAdminClient | None = None

    async def stop(self) -> None:
        """Disconnect."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def group(self, topic: str, partition: int) -> GroupPosition:
        """Return the group's offset of a partition, with the epoch and sequence beside it."""
        at = TopicPartition(topic, partition)

        async def ask(admin: AIOKafkaAdminClient) -> Any:
            return await admin.list_consumer_group_offsets(self._group_id, partitions=[at])

        found = (await self._ask(ask)).get(at)
        if found is None or found.offset < 0:
            return GroupPosition()
        epoch, sequence = _metadata(found.metadata)
        return GroupPosition(found.offset, epoch, sequence)

    async def group_members(self) -> int:
        """Return how many consumers are in the group now."""

        async def ask(admin: AIOKafkaAdminClient) -> Any:
            return await admin.describe_consumer_groups([self._group_id])

        (answer,) = await self._ask(ask)
        (group,) = answer.groups
        code, _, _, _, _, members, *_ = group
        if code not in (0, _NO_SUCH_GROUP):
            raise Unavailable(f"Kafka does not describe group {self._group_id}: error {code}")
        return len(members)

    async def partition_counts(self, topics: list[str]) -> dict[str, int]:
        """Return how many partitions each topic has.

        Raises:
            ConfigurationError: A topic is missing.
        """

        async def ask(admin: AIOKafkaAdminClient) -> Any:
            return await admin.describe_topics(topics)

        found = {item["topic"]: len(item["partitions"]) for item in await self._ask(ask)}
        missing = [topic for topic in topics if not found.get(topic)]
        if missing:
            raise ConfigurationError(
                f"topics are missing: {', '.join(missing)}; run `segmentation topics`"
            )
        return found

    async def bounds(self, positions: list[tuple[str, int]]) -> dict[tuple[str, int], range]:
        """Return log start and last stable offset of partitions, as ranges."""
        tps = [TopicPartition(topic, partition) for topic, partition in positions]
        async with self._reader() as reader:
            starts = await reader.beginning_offsets(tps)
            ends = await reader.end_offsets(tps)
        return {(tp.topic, tp.partition): range(starts[tp], ends[tp]) for tp in tps}

    async def read_back(
        self, positions: Mapping[tuple[str, int], int], add: Callable[[KafkaRecord], None]
    ) -> None:
        """Hand every committed record from the given offsets to the end to `add`."""
        async for records in self.read(positions):
            for record in records:
                add(record)

    async def read(
        self, positions: Mapping[tuple[str, int], int]
    ) -> AsyncGenerator[Sequence[KafkaRecord], None]:
        """Yield every committed record from the given offsets to the end, some at a time."""
        async with self._reader() as reader:
            tps = [TopicPartition(topic, partition) for topic, partition in positions]
            starts = await reader.beginning_offsets(tps)
            ends = await reader.end_offsets(tps)
            reader.assign(tps)
            for tp in tps:
                reader.seek(tp, max(positions[tp.topic, tp.partition], starts[tp]))
            left = {tp for tp in tps if await reader.position(tp) < ends[tp]}
            while left:
                batch = await reader.getmany(*left, timeout_ms=_READ_TIMEOUT_MS)
                for records in batch.values():
                    yield records
                left = {tp for tp in left if await reader.position(tp) < ends[tp]}

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        reader = AIOKafkaConsumer(
            **self._client,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        try:
            await reader.start()
            yield reader
        except (KafkaError, OSError) as error:
            raise Unavailable(f"Kafka does not answer: {error!r}") from error
        finally:
            await reader.stop()

    async def _ask(self, call: Callable[[AIOKafkaAdminClient], Any]) -> Any:
        try:
            if self._admin is None:
                admin = AIOKafkaAdminClient(**self._client)
                await admin.start()
                self._admin = admin
            return await call(self._admin)
        except GroupCoordinatorNotAvailableError as error:
            raise Unavailable(f"Kafka's group coordinator is not there yet: {error!r}") from error
        except (KafkaError, OSError, AttributeError) as error:
            # aiokafka's admin client raises AttributeError where a group answer has an error.
            await self._discard_admin()
            raise Unavailable(f"Kafka does not answer: {error!r}") from error

    async def _discard_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            try:
                await admin.close()
            except (KafkaError, OSError):
                return


def _metadata(text: str | None) -> tuple[int | None, int | None]:
    """Read `{"e":epoch,"s":sequence}`; anything else is not ours."""
    try:
        found = orjson.loads(text or "")
        return int(found["e"]), int(found["s"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None, None
