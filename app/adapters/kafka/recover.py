"""`segmentation recover`: Redis lost everything, Kafka still has what was published.

For each partition without state but with a past, memberships are read back from the compacted
topic. Either they become the state (profiles without attributes and events, going on from the
group's offset), or the updates still on the input topic are applied again in silence and only
differences to what was published come out. The partition's hash is written last: until then a
worker refuses to start, and a recovery that was cut off is simply repeated.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.adapters.kafka.positions import KafkaPositions
from app.adapters.kafka.publisher import Publisher
from app.adapters.kafka.records import TopicNames, batch_of
from app.adapters.kafka.recovery import PublishedStatus, ReadBack, Recovery, milliseconds
from app.adapters.kafka.update_fields import KafkaRecord
from app.adapters.redis.commits import Argument
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.adapters.redis.partition_store import RedisPartitionStore
from app.domain.errors import ConfigurationError
from app.domain.model import JsonObject, Membership, ProfileKey, Tenant
from app.service.assignment import GroupPosition
from app.service.restoration import restore_definitions, restored_state


@dataclass(frozen=True, slots=True)
class RecoverParts:
    """What a recovery works with.

    Attributes:
        definitions_topic: The compacted topic of definitions.
        partitions: Of every topic.
        make_publisher: Makes the publisher of a partition, not started.
    """

    positions: KafkaPositions
    store: RedisPartitionStore
    definitions: RedisDefinitionStore
    topics: TopicNames
    definitions_topic: str
    partitions: int
    make_publisher: Callable[[int], Publisher]


@dataclass(slots=True)
class RecoverReport:
    """What was put back.

    Attributes:
        definitions: By tenant; absent where Redis still had some.
        profiles: By partition recovered.
        orphans: Memberships in segments that have no definition; nothing evaluates them.
    """

    from_beginning: bool
    definitions: dict[Tenant, int] = field(default_factory=dict)
    profiles: dict[int, int] = field(default_factory=dict)
    orphans: int = 0

    def lines(self) -> list[str]:
        """Return the report for a person."""
        found = [
            f"definitions of {tenant.org_id}/{tenant.sandbox_name}: {count} put back"
            for tenant, count in self.definitions.items()
        ]
        found += [f"partition {at}: {count} profiles" for at, count in self.profiles.items()]
        if self.orphans:
            found.append(f"{self.orphans} memberships in segments without definition were left out")
        if self.from_beginning:
            text = (
                "Workers apply the updates that Kafka still has without publishing, then publish"
                " the differences. A profile of which no update is left leaves its segments."
            )
        else:
            text = (
                "The profiles have their memberships, but no attributes and no events: the next"
                " update of each is evaluated against nothing but itself."
            )
        return [*found, text]


@dataclass(slots=True)
class _Past:
    """What a partition published.

    Attributes:
        sequence, epoch: Highest batch found.
        published: Only filled for a replay.
        clock_ms: The latest qualification.
    """

    partition: int
    epoch: int = 0
    sequence: int = 0
    clock_ms: int = 0
    profiles: set[ProfileKey] = field(default_factory=set)
    published: dict[ProfileKey, dict[str, PublishedStatus]] = field(default_factory=dict)

    def note(self, batch: tuple[int, int, int, int] | None) -> None:
        """Take in the batch header of a record."""
        if batch is not None and batch[0] == self.partition:
            self.epoch = max(self.epoch, batch[1])
            self.sequence = max(self.sequence, batch[2])


async def recover(parts: RecoverParts, *, from_beginning: bool) -> RecoverReport:
    """Put back what can be put back; see the module.

    Args:
        parts: Where from and where to.
        from_beginning: Apply the updates that Kafka still has instead of making states.

    Raises:
        ConfigurationError: Nothing was lost, workers are running, or the topics do not fit.
        Unavailable: Redis or Kafka does not answer; begin again.
    """
    lost = await _lost_partitions(parts)
    report = RecoverReport(from_beginning)
    await _recover_definitions(parts, report)
    for partition, group in lost.items():
        if group.offset is None and not from_beginning:
            raise ConfigurationError(
                f"the group has no offset for partition {partition}, so nobody knows which updates"
                " were applied: use --from-beginning"
            )
    for partition, group in lost.items():
        await _Restorer(parts, partition, group, report).run()
    return report


async def _lost_partitions(parts: RecoverParts) -> dict[int, GroupPosition]:
    """Return the group's position of every partition that lost its state."""
    topics = parts.topics
    counts = await parts.positions.partition_counts([topics.updates, *topics.outputs])
    if set(counts.values()) != {parts.partitions}:
        raise ConfigurationError(
            f"SEG_PARTITIONS is {parts.partitions}, the topics have {counts}: set it to theirs"
        )
    members = await parts.positions.group_members()
    if members:
        raise ConfigurationError(f"workers are running ({members} in the group): stop them first")
    found = {}
    for partition in range(parts.partitions):
        group = await parts.positions.group(topics.updates, partition)
        if not await parts.store.meta(partition) and await _has_past(parts, partition, group):
            found[partition] = group
    if not found:
        raise ConfigurationError(
            "there is nothing to recover: Redis has the state of every partition that has a past"
        )
    return found


async def _has_past(parts: RecoverParts, partition: int, group: GroupPosition) -> bool:
    outputs = [(parts.topics.changes, partition), (parts.topics.memberships, partition)]
    bounds = await parts.positions.bounds(outputs)
    return group.offset is not None or any(bound.stop for bound in bounds.values())


async def _recover_definitions(parts: RecoverParts, report: RecoverReport) -> None:
    newest: dict[bytes, JsonObject | None] = {}
    counts = await parts.positions.partition_counts([parts.definitions_topic])
    starts = {(parts.definitions_topic, at): 0 for at in range(counts[parts.definitions_topic])}
    async for records in parts.positions.read(starts):
        for record in records:
            newest[record.key or b""] = None if record.value is None else orjson.loads(record.value)
    tenants: dict[Tenant, list[JsonObject]] = {}
    for document in newest.values():
        if document is not None:
            tenant = Tenant(document["imsOrgId"], document["sandbox"]["sandboxName"])
            tenants.setdefault(tenant, []).append(document)
    for tenant, documents in tenants.items():
        count = await restore_definitions(parts.definitions, tenant, documents)
        if count:
            report.definitions[tenant] = count


class _Restorer:
    """Recovers one partition."""

    def __init__(
        self, parts: RecoverParts, partition: int, group: GroupPosition, report: RecoverReport
    ) -> None:
        self._parts = parts
        self._group = group
        self._report = report
        self._past = _Past(partition, group.epoch or 0, group.sequence or 0)
        self._ordinals: dict[Tenant, dict[str, int]] = {}
        self._orphans: dict[ProfileKey, int] = {}

    async def run(self) -> None:
        """Read back and write; the hash last."""
        past, parts = self._past, self._parts
        await self._end_open_transactions()
        async for records in self._memberships():
            await self._take(records)
        topics, at = parts.topics, past.partition
        bounds = await parts.positions.bounds([(topic, at) for topic in topics.outputs])
        meta: dict[str, Argument] = {
            f"output:{topic}:{partition}": bound.stop
            for (topic, partition), bound in bounds.items()
        }
        recovery = await self._replay(meta) if self._report.from_beginning else self._go_on(meta)
        meta |= {
            "epoch": past.epoch + 1,
            "partitions": parts.partitions,
            # Above everything published: nothing of it is taken for an outbox of ours.
            "sequence": past.sequence + 1,
            "sequence-epoch": past.epoch + 1,
        }
        await parts.store.begin_restored(at, meta, recovery)
        self._report.profiles[at] = len(past.profiles)
        self._report.orphans += sum(self._orphans.values())

    async def _end_open_transactions(self) -> None:
        """A dead worker's transaction would hide what comes after it; a zombie could go on."""
        publisher = self._parts.make_publisher(self._past.partition)
        try:
            await publisher.start()
        finally:
            await publisher.stop()

    def _memberships(self) -> AsyncGenerator[Sequence[KafkaRecord], None]:
        return self._parts.positions.read(
            {(self._parts.topics.memberships, self._past.partition): 0}
        )

    async def _take(self, records: Sequence[KafkaRecord]) -> None:
        past = self._past
        states: dict[ProfileKey, bytes] = {}
        gone: list[ProfileKey] = []
        for record in records:
            past.note(batch_of(dict(record.headers)))
            key = _profile_of(record.key)
            segments = {} if record.value is None else _statuses(orjson.loads(record.value))
            states.pop(key, None)
            if record.value is None:
                past.profiles.discard(key)
                past.published.pop(key, None)
                self._orphans.pop(key, None)
                gone.append(key)
                continue
            past.profiles.add(key)
            past.clock_ms = max([past.clock_ms, *(one.at_ms for one in segments.values())])
            if self._report.from_beginning:
                past.published[key] = segments
            else:
                found = await self._by_ordinal(key.tenant, segments)
                states[key] = restored_state(found)
                self._orphans[key] = len(segments) - len(found)
        if not self._report.from_beginning:
            await self._parts.store.put_restored(
                past.partition, states, [key for key in gone if key not in states]
            )

    async def _by_ordinal(
        self, tenant: Tenant, segments: Mapping[str, PublishedStatus]
    ) -> dict[int, Membership]:
        ordinals = self._ordinals.get(tenant)
        if ordinals is None:
            known = await self._parts.definitions.ordinals(tenant)
            ordinals = self._ordinals[tenant] = {one: ordinal for ordinal, one in known.items()}
        found = {}
        for segment_id, one in segments.items():
            if segment_id in ordinals and one.status is not None:
                found[ordinals[segment_id]] = Membership(
                    one.status, one.at_ms, one.sequence, one.until_ms
                )
        return found

    def _go_on(self, meta: dict[str, Argument]) -> bytes:
        meta["clock"] = self._past.clock_ms
        if self._group.offset is not None:
            meta[f"offset:{self._parts.topics.updates}"] = self._group.offset
        return b""

    async def _replay(self, meta: dict[str, Argument]) -> bytes:
        """Begin at the oldest update, and be silent up to the last one that was published."""
        past, positions = self._past, self._parts.positions
        inputs = (self._parts.topics.updates, past.partition)
        bound = (await positions.bounds([inputs]))[inputs]
        meta[f"offset:{inputs[0]}"] = bound.start
        end = self._group.offset
        dead_offset = -1 if end is None else end - 1
        if end is None:
            back = ReadBack(past.partition, self._parts.topics)
            await positions.read_back({(back.topics.dead_letters, past.partition): 0}, back.add)
            past.sequence = max(past.sequence, back.last_sequence)
            dead_offset, end = back.dead_offset, bound.stop
        return Recovery(end, past.clock_ms, dead_offset, past.published).pack()


def _profile_of(key: bytes | None) -> ProfileKey:
    org_id, sandbox_name, profile_id = (key or b"").decode().split("/", 2)
    return ProfileKey(Tenant(org_id, sandbox_name), profile_id)


def _statuses(value: Mapping[str, Any]) -> dict[str, PublishedStatus]:
    return {
        segment_id: PublishedStatus(
            one["status"],
            milliseconds(one["lastQualificationTime"]),
            one["sequence"],
            milliseconds(one["validUntil"]) if "validUntil" in one else 0,
        )
        for segments in value["segmentMembership"].values()
        for segment_id, one in segments.items()
    }
