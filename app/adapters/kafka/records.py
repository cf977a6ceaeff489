"""Output records of a batch: built, packed into the outbox, and read back.

Each carries its partition and a header `batch = p/epoch/sequence/index`, so that an owner can tell
later which of them reached the topics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import orjson

from app.adapters.kafka.codecs import FORWARDED_FROM
from app.adapters.kafka.update_fields import InputRecord
from app.domain.errors import InvalidUpdate
from app.domain.model import MembershipChange, Origin, ProfileKey
from app.domain.timestamps import iso_text

BATCH_HEADER = "batch"

Headers = list[tuple[str, bytes]]


class OutputRecord(NamedTuple):
    """One record to publish.

    Attributes:
        timestamp_ms: None lets the producer take the time of sending.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None = None


class Outbox(NamedTuple):
    """The output of one batch."""

    epoch: int
    sequence: int
    records: list[OutputRecord]


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Names of the topics that a worker reads and writes."""

    updates: str
    changes: str
    memberships: str
    dead_letters: str
    exports: str

    @property
    def outputs(self) -> list[str]:
        """Those that the owner of a partition writes to, in the partition of the same number."""
        return [self.changes, self.memberships, self.dead_letters, self.exports]

    @classmethod
    def of(cls, prefix: str) -> TopicNames:
        """Return the names under a prefix."""
        return cls(
            f"{prefix}profile-updates",
            f"{prefix}membership-changes",
            f"{prefix}memberships",
            f"{prefix}dead-letters",
            f"{prefix}export-results",
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Outbox)


def pack_outbox(outbox: Outbox) -> bytes:
    """Encode an outbox for Redis."""
    return _encoder.encode(outbox)


def unpack_outbox(packed: bytes) -> Outbox:
    """Decode what `pack_outbox` wrote."""
    return _decoder.decode(packed)


def with_batch_headers(partition: int, outbox: Outbox) -> None:
    """Add the header `batch` to every record of a new outbox."""
    start = f"{partition}/{outbox.epoch}/{outbox.sequence}/"
    for index, record in enumerate(outbox.records):
        record.headers.append((BATCH_HEADER, f"{start}{index}".encode()))


def batch_of(headers: Mapping[str, bytes]) -> tuple[int, int, int, int] | None:
    """Return partition, epoch, sequence and index of a published record, or None."""
    text = headers.get(BATCH_HEADER)
    if text is None:
        return None
    partition, epoch, sequence, index = text.decode().split("/")
    return int(partition), int(epoch), int(sequence), int(index)


def change_record(topic: str, partition: int, change: MembershipChange) -> OutputRecord:
    """Return the record of one membership change (docs/topics.md)."""
    tenant, profile_id = change.key
    org, sandbox = tenant
    cause: dict[str, object] = {"kind": change.cause.kind}
    if change.cause.event_id is not None:
        cause["eventId"] = change.cause.event_id
    if change.cause.origin is not None:
        cause["topic"], cause["partition"], cause["offset"] = change.cause.origin
    segment = change.segment_id
    value = {
        "changeId": f"{org}/{sandbox}/{segment}/{profile_id}/{change.sequence}",
        "orgId": org,
        "sandboxName": sandbox,
        "profileId": profile_id,
        "segmentId": segment,
        "segmentNs": change.namespace,
        "definitionVersion": change.definition_version,
        "status": change.status,
        "previousStatus": change.previous_status,
        "lastQualificationTime": iso_text(change.at_ms),
        "sequence": change.sequence,
        "cause": cause,
    }
    return OutputRecord(topic, partition, profile_id.encode(), orjson.dumps(value), [])


def memberships_record(
    topic: str, partition: int, key: ProfileKey, memberships: bytes | None
) -> OutputRecord:
    """Return the compacted record of a profile; `memberships` is its value, None a tombstone."""
    tenant, profile_id = key
    org, sandbox = tenant
    name = f"{org}/{sandbox}/{profile_id}".encode()
    return OutputRecord(topic, partition, name, memberships, [])


def export_record(topic: str, partition: int, job_id: str, value: bytes) -> OutputRecord:
    """Return a record of an export; `value` is one of `app.service.export_records`."""
    return OutputRecord(topic, partition, job_id.encode(), value, [])


def dead_letter(
    topic: str, origin: Origin, record: InputRecord, error: InvalidUpdate
) -> OutputRecord:
    """Return the dead letter of a record: its own bytes, and headers that say why."""
    headers: Headers = [
        ("error-code", error.code.encode()),
        ("message", error.message.encode(errors="replace")),
        ("topic", origin.topic.encode()),
        ("partition", b"%d" % origin.partition),
        ("offset", b"%d" % origin.offset),
    ]
    return OutputRecord(topic, origin.partition, record.key, record.value, headers)


def forwarded(record: InputRecord, partition: int, origin: Origin) -> OutputRecord:
    """Return the copy of a record for its own partition: same key, value, headers and time."""
    headers = [item for item in record.headers if item[0] != BATCH_HEADER]
    headers.append((FORWARDED_FROM, f"{origin.topic}/{origin.partition}/{origin.offset}".encode()))
    return OutputRecord(
        origin.topic, partition, record.key, record.value, headers, max(record.timestamp, 0)
    )
