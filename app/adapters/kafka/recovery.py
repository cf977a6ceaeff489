"""Replaying writes that Redis lost, without publishing twice (docs/decisions/0301).

Redis is behind the group when it lost its last writes. What was published since is read back; the
inputs are replayed without output; at their end the differences are published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import orjson

from app.adapters.kafka.records import Outbox, OutputRecord, TopicNames, batch_of
from app.adapters.kafka.update_fields import KafkaRecord
from app.domain.model import Membership, MembershipChange, ProfileKey, Status, Tenant


class PublishedStatus(NamedTuple):
    """What the output topic says last of a profile in a segment.

    Attributes:
        status: None with sequence 0: nothing was ever published.
        until_ms: When a membership of an external audience ends by itself, where that is known.
    """

    status: Status | None
    at_ms: int
    sequence: int
    until_ms: int = 0


_Entry = tuple[str, str, str, str, Status | None, int, int]


class _Packed(NamedTuple):
    end: int
    clock_ms: int
    dead_offset: int
    entries: list[_Entry]
    unpublished: list[OutputRecord]


@dataclass(slots=True)
class Recovery:
    """State of a replay; kept in Redis until its last batch.

    Attributes:
        end: Input offset at which the replay is over.
        clock_ms: The latest instant that was published; timers up to it are fired unheard.
        dead_offset: Dead letters of input offsets up to it are on their topic.
        published: By profile and segment.
        unpublished: Records of an outbox that never was published, other than changes.
    """

    end: int
    clock_ms: int = 0
    dead_offset: int = -1
    published: dict[ProfileKey, dict[str, PublishedStatus]] = field(default_factory=dict)
    unpublished: list[OutputRecord] = field(default_factory=list)

    def note_suppressed(self, changes: Iterable[MembershipChange]) -> bool:
        """Remember changes that the replay does not publish.

        Returns:
            Whether there was a profile and segment of which nothing was known yet.
        """
        added = False
        for change in changes:
            known = self.published.setdefault(change.key, {})
            if change.segment_id not in known:
                known[change.segment_id] = PublishedStatus(
                    change.previous_status, change.at_ms, change.sequence - 1
                )
                added = True
        return added

    def memberships(self) -> dict[ProfileKey, dict[str, Membership | None]]:
        """Return what the engine has to agree with; None for what was never published."""
        return {
            key: {
                segment: None
                if item.status is None
                else Membership(item.status, item.at_ms, item.sequence)
                for segment, item in segments.items()
            }
            for key, segments in self.published.items()
        }

    def pack(self) -> bytes:
        """Encode for Redis."""
        entries: list[_Entry] = [
            (*key.tenant, key.profile_id, segment, item.status, item.at_ms, item.sequence)
            for key, segments in self.published.items()
            for segment, item in segments.items()
        ]
        packed = _Packed(self.end, self.clock_ms, self.dead_offset, entries, self.unpublished)
        return msgspec.msgpack.encode(packed)


def unpack_recovery(packed: bytes) -> Recovery:
    """Decode what `Recovery.pack` wrote."""
    found = msgspec.msgpack.decode(packed, type=_Packed)
    recovery = Recovery(found.end, found.clock_ms, found.dead_offset, unpublished=found.unpublished)
    for org, sandbox, profile_id, segment, status, at_ms, sequence in found.entries:
        key = ProfileKey(Tenant(org, sandbox), profile_id)
        known = recovery.published.setdefault(key, {})
        known[segment] = PublishedStatus(status, at_ms, sequence)
    return recovery


@dataclass(slots=True)
class ReadBack:
    """What a partition published since the position that Redis knows.

    Attributes:
        batches: (epoch, sequence) of every batch found.
        changes: Newest value of the changes topic by profile and segment.
        dead_offset: Highest input offset among the dead letters, -1 for none.
        input_end: One more than the highest input offset that caused something found.
    """

    partition: int
    topics: TopicNames
    batches: set[tuple[int, int]] = field(default_factory=set)
    changes: dict[ProfileKey, dict[str, PublishedStatus]] = field(default_factory=dict)
    dead_offset: int = -1
    input_end: int = 0
    clock_ms: int = 0

    @property
    def last_sequence(self) -> int:
        """The highest batch sequence found, 0 for none."""
        return max((sequence for _, sequence in self.batches), default=0)

    def add(self, record: KafkaRecord) -> None:
        """Take in one record of an output topic; those of other partitions are skipped."""
        headers = dict(record.headers)
        batch = batch_of(headers)
        if batch is None or batch[0] != self.partition:
            return
        self.batches.add((batch[1], batch[2]))
        if record.topic == self.topics.changes and record.value is not None:
            self._add_change(orjson.loads(record.value))
        elif record.topic == self.topics.dead_letters:
            offset = int(headers["offset"])
            self.dead_offset = max(self.dead_offset, offset)
            self.input_end = max(self.input_end, offset + 1)

    def _add_change(self, value: Mapping[str, Any]) -> None:
        key, segment, published = change_of(value)
        self.changes.setdefault(key, {})[segment] = published
        self.clock_ms = max(self.clock_ms, published.at_ms)
        cause = value["cause"]
        own = cause.get("topic") == self.topics.updates
        if own and cause.get("partition") == self.partition:
            self.input_end = max(self.input_end, int(cause["offset"]) + 1)


def change_of(value: Mapping[str, Any]) -> tuple[ProfileKey, str, PublishedStatus]:
    """Return profile, segment and status of a decoded membership change."""
    key = ProfileKey(Tenant(value["orgId"], value["sandboxName"]), value["profileId"])
    at_ms = milliseconds(value["lastQualificationTime"])
    return key, value["segmentId"], PublishedStatus(value["status"], at_ms, value["sequence"])


def milliseconds(stamp: str) -> int:
    """Read a time of `records.timestamp`."""
    moment = datetime.fromisoformat(stamp)
    return round(moment.timestamp() * 1000)


def begin_recovery(back: ReadBack, group_offset: int | None, outbox: Outbox | None) -> Recovery:
    """Build the state of a replay.

    An outbox that was not found among what is read back counts as unpublished: its changes are
    treated as if nothing after their previous status was published, the rest is sent at the end.
    """
    end = back.input_end if group_offset is None else group_offset
    recovery = Recovery(end, back.clock_ms, back.dead_offset, back.changes)
    if outbox is None or (outbox.epoch, outbox.sequence) in back.batches:
        return recovery
    for record in outbox.records:
        if record.topic == back.topics.changes and record.value is not None:
            value = orjson.loads(record.value)
            key, segment, status = change_of(value)
            before = PublishedStatus(value["previousStatus"], status.at_ms, status.sequence - 1)
            recovery.published.setdefault(key, {}).setdefault(segment, before)
        elif record.topic != back.topics.memberships:
            recovery.unpublished.append(record)
    return recovery
