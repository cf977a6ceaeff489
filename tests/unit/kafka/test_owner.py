"""How an owner cuts batches and what it makes of the records in them."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from app.adapters.kafka.codecs import InputRules, UpdateDecoder
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.records import TopicNames
from app.adapters.kafka.transport import RecordBatch
from app.domain.limits import EngineLimits
from app.domain.model import Origin
from app.service.partition import PartitionEngine

PARTITION = 0
DECODER = UpdateDecoder(InputRules(1, "org", "prod"))


class Raw(NamedTuple):
    """A record as aiokafka parses it: without topic and partition."""

    offset: int
    value: bytes | None
    key: bytes | None = b"p-1"
    timestamp: int = 1_767_607_200_000
    headers: Any = ()


def update(offset: int, profile_id: str = "p-1") -> Raw:
    return Raw(offset, orjson.dumps({"profileId": profile_id, "attributes": {"a": 1}}))


def owner_of(*batches: list[Raw]) -> Owner:
    owner = Owner(PARTITION, 1, TopicNames.of("t."), PartitionEngine(EngineLimits()))
    for records in batches:
        end = records[-1].offset + 1
        owner.pending.append(RecordBatch(PARTITION, 1, records[0].offset, end, records))
    return owner


def taken(owner: Owner, max_records: int = 100, max_bytes: int = 1 << 20) -> list[int]:
    """Return the offsets of the next batch."""
    work = owner.take(max_records, max_bytes, DECODER)
    assert work.records == len(work.updates)
    owner.offset = work.end
    return [found.origin.offset for found in work.updates]


def test_a_batch_joins_polls_up_to_the_bound_on_records():
    owner = owner_of([update(0), update(1)], [update(2), update(3), update(4)])
    assert taken(owner, max_records=4) == [0, 1, 2, 3]
    assert owner.offset == 4
    assert taken(owner, max_records=4) == [4]
    assert not owner.pending


def test_a_batch_is_bounded_by_bytes_but_has_one_record_at_least():
    size = len(update(0).value or b"")
    owner = owner_of([update(offset) for offset in range(5)])
    assert taken(owner, max_bytes=2 * size) == [0, 1]
    assert taken(owner, max_bytes=2 * size) == [2, 3]
    assert taken(owner, max_bytes=1) == [4]


def test_a_dead_letter_says_where_its_record_was():
    owner = owner_of([Raw(7, b"{")])
    work = owner.take(10, 1 << 20, DECODER)
    (letter,) = work.output
    assert (letter.topic, letter.partition) == ("t.dead-letters", PARTITION)
    headers = dict(letter.headers)
    assert (headers["topic"], headers["partition"]) == (b"t.profile-updates", b"0")
    assert headers["offset"] == b"7"


def test_updates_of_a_profile_share_its_key():
    owner = owner_of([update(0), update(1), update(2, "p-2")])
    first, second, other = owner.take(10, 1 << 20, DECODER).updates
    assert first.key is second.key
    assert first.key != other.key
    assert second.origin == Origin("t.profile-updates", PARTITION, 1)
