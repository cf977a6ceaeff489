"""What Kafka knows: group offsets with their metadata, log bounds, and records read back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from aiokafka.structs import TopicPartition

from app.adapters.kafka.patience import within
from app.adapters.kafka.update_fields import KafkaRecord
from app.domain.errors import ConfigurationError, Unavailable
from app.service.assignment import GroupPosition

T = TypeVar("T")

_READ_TIMEOUT_MS = 200
_STOP_TIMEOUT_S = 5.0
_NO_SUCH_GROUP = 69
_COMMITTED = "read_committed"
_UNCOMMITTED = "read_uncommitted"


class KafkaPositions:
    """Asks the brokers.

    Args:
        client: Arguments of every aiokafka client: servers, security.
        group_id: The consumer group of the workers.
        patience_s: How long to wait for an answer, or for reading to make headway. A client whose
            broker went away at the wrong moment may wait for ever; a new one need not.

    All methods raise `Unavailable` when Kafka does not answer.
    """

    def __init__(self, client: Mapping[str, Any], group_id: str, patience_s: float = 20.0) -> None:
        self._client = client
        self._group_id = group_id
        self._patience_s = patience_s
        self._admin: AIOKafkaAdminClient | None = None
        self._starting = asyncio.Lock()

    async def stop(self) -> None:
        """Disconnect."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await _ended(admin.close())

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
            starts = await self._in_time(reader.beginning_offsets(tps))
            ends = await self._in_time(reader.end_offsets(tps))
        return {(tp.topic, tp.partition): range(starts[tp], ends[tp]) for tp in tps}

    async def offset_at(self, topic: str, partition: int, at_ms: int) -> int:
        """Return the first offset with a timestamp from an instant on; the end where there is none.

        Where the brokers stamp records themselves theirs count, so that it may be too high.
        """
        tp = TopicPartition(topic, partition)
        async with self._reader() as reader:
            found = (await self._in_time(reader.offsets_for_times({tp: at_ms})))[tp]
            if found is not None:
                return int(found.offset)
            ends = await self._in_time(reader.end_offsets([tp]))
        return int(ends[tp])

    async def left_open(self, positions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the last stable offsets of those partitions in which a transaction is open."""
        tps = [TopicPartition(topic, partition) for topic, partition in positions]
        async with self._reader() as reader:
            stable = await self._in_time(reader.end_offsets(tps))
        async with self._reader(_UNCOMMITTED) as reader:
            ends = await self._in_time(reader.end_offsets(tps))
        return {(tp.topic, tp.partition): stable[tp] for tp in tps if stable[tp] < ends[tp]}

    async def read_back(
        self,
        positions: Mapping[tuple[str, int], int],
        add: Callable[[KafkaRecord], None],
        *,
        is_committed: bool = True,
    ) -> None:
        """Hand every record from the given offsets to the end to `add`: of the committed only."""
        isolation = _COMMITTED if is_committed else _UNCOMMITTED
        async for records in self.read(positions, isolation):
            for record in records:
                add(record)

    async def read(
        self, positions: Mapping[tuple[str, int], int], isolation: str = _COMMITTED
    ) -> AsyncGenerator[Sequence[KafkaRecord], None]:
        """Yield every record from the given offsets to the end, some at a time."""
        async with self._reader(isolation) as reader:
            tps = [TopicPartition(topic, partition) for topic, partition in positions]
            starts = await self._in_time(reader.beginning_offsets(tps))
            ends = await self._in_time(reader.end_offsets(tps))
            reader.assign(tps)
            for tp in tps:
                reader.seek(tp, max(positions[tp.topic, tp.partition], starts[tp]))
            left = await self._short_of(reader, tps, ends)
            moved_at = time.monotonic()
            while left:
                batch = await self._in_time(reader.getmany(*left, timeout_ms=_READ_TIMEOUT_MS))
                for records in batch.values():
                    yield records
                before, left = left, await self._short_of(reader, left, ends)
                if left != before:
                    moved_at = time.monotonic()
                elif time.monotonic() - moved_at > self._patience_s:
                    raise Unavailable(
                        f"Kafka: reading stands still before the end of {_text(left)}"
                    )

    async def _short_of(
        self,
        reader: AIOKafkaConsumer,
        tps: Iterable[TopicPartition],
        ends: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        """Return the positions of those that have not reached their end."""
        positions = {tp: await self._in_time(reader.position(tp)) for tp in tps}
        return {tp: position for tp, position in positions.items() if position < ends[tp]}

    async def _in_time(self, call: Coroutine[Any, Any, T]) -> T:
        return await within(self._patience_s, call)

    @asynccontextmanager
    async def _reader(self, isolation: str = _COMMITTED) -> AsyncIterator[AIOKafkaConsumer]:
        reader = AIOKafkaConsumer(
            **self._client,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation,
        )
        try:
            await self._in_time(reader.start())
            yield reader
        except (KafkaError, OSError) as error:
            raise Unavailable(f"Kafka does not answer: {error!r}") from error
        finally:
            await _ended(reader.stop())

    async def _ask(self, call: Callable[[AIOKafkaAdminClient], Any]) -> Any:
        try:
            return await self._in_time(call(await self._started_admin()))
        except GroupCoordinatorNotAvailableError as error:
            raise Unavailable(f"Kafka's group coordinator is not there yet: {error!r}") from error
        except (KafkaError, OSError, AttributeError) as error:
            # aiokafka's admin client raises AttributeError where a group answer has an error.
            await self._discard_admin()
            raise Unavailable(f"Kafka does not answer: {error!r}") from error

    async def _started_admin(self) -> AIOKafkaAdminClient:
        async with self._starting:
            if self._admin is None:
                admin = AIOKafkaAdminClient(**self._client)
                try:
                    await self._in_time(admin.start())
                except BaseException:
                    await _ended(admin.close())
                    raise
                self._admin = admin
            return self._admin

    async def _discard_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            await _ended(admin.close())


async def _ended(closing: Coroutine[Any, Any, None]) -> None:
    """Close a client, whatever its broker does; what stays open ends with the process."""
    with suppress(KafkaError, OSError):
        await within(_STOP_TIMEOUT_S, closing)


def _text(positions: Mapping[TopicPartition, int]) -> str:
    return ", ".join(f"{tp.topic}/{tp.partition} at {at}" for tp, at in positions.items())


def _metadata(text: str | None) -> tuple[int | None, int | None]:
    """Read `{"e":epoch,"s":sequence}`; anything else is not ours."""
    try:
        found = orjson.loads(text or "")
        return int(found["e"]), int(found["s"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None, None
