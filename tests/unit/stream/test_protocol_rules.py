from __future__ import annotations

import json
from typing import Any, cast

import pytest

from app.adapters.kafka.pace import Pace
from app.adapters.kafka.records import (
    Outbox,
    OutputRecord,
    TopicNames,
    batch_of,
    change_record,
    memberships_record,
    pack_outbox,
    unpack_outbox,
    with_batch_headers,
)
from app.adapters.kafka.recovery import (
    PublishedStatus,
    ReadBack,
    Recovery,
    begin_recovery,
    milliseconds,
    unpack_recovery,
)
from app.adapters.redis.keys import PartitionKeys, member_of, profile_of, sample_hash
from app.domain.model import Cause, Membership, MembershipChange, Origin, ProfileKey, Tenant
from app.domain.timestamps import iso_text
from app.service.assignment import (
    GroupPosition,
    InputStart,
    Step,
    after_look,
    first_step,
    input_start,
)

KEY = ProfileKey(Tenant("o", "s"), "a/b {c}")
TOPICS = TopicNames.of("t.")


@pytest.mark.parametrize(
    ("sequence", "outbox", "group", "expected"),
    [
        (0, None, None, Step.GO_ON),
        (5, 5, 5, Step.GO_ON),
        (7, 5, 5, Step.GO_ON),
        (7, 5, 6, Step.GO_ON),
        (5, 5, 4, Step.PUBLISH),
        (7, 5, 4, Step.PUBLISH),
        (5, 5, None, Step.LOOK),
        (5, None, None, Step.LOOK),
        (4, 3, 6, Step.REPLAY),
        (0, None, 1, Step.REPLAY),
    ],
)
def test_the_first_step_is_told_by_sequences(sequence, outbox, group, expected):
    position = GroupPosition(10, None if group is None else 1, group)
    assert first_step(sequence, outbox, position) is expected


def test_looking_tells_the_rest():
    assert after_look(5, 5, 5) is Step.GO_ON
    assert after_look(5, 5, 4) is Step.PUBLISH
    assert after_look(5, 5, 0) is Step.PUBLISH
    assert after_look(5, None, 0) is Step.GO_ON
    assert after_look(5, 5, 6) is Step.REPLAY


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (None, InputStart(10)),
        (10, InputStart(10)),
        (20, InputStart(20)),
        (4, InputStart(10, 6, "below-log-start")),
        (23, InputStart(20, 3, "above-log-end")),
    ],
)
def test_input_start(offset, expected):
    assert input_start(offset, 10, 20) == expected


def change(sequence=3, status="exited", at_ms=1_767_607_200_123):
    cause = Cause("event", "e-1", Origin(TOPICS.updates, 2, 41))
    return MembershipChange(KEY, "seg", 4, status, "realized", at_ms, sequence, cause)


def test_a_change_as_published():
    record = change_record(TOPICS.changes, 2, change())
    assert (record.topic, record.partition, record.key) == (TOPICS.changes, 2, b"a/b {c}")
    assert json.loads(record.value or b"") == {
        "changeId": "o/s/seg/a/b {c}/3",
        "orgId": "o",
        "sandboxName": "s",
        "profileId": "a/b {c}",
        "segmentId": "seg",
        "segmentNs": "ups",
        "definitionVersion": 4,
        "status": "exited",
        "previousStatus": "realized",
        "lastQualificationTime": "2026-01-05T10:00:00.123Z",
        "sequence": 3,
        "cause": {
            "kind": "event",
            "eventId": "e-1",
            "topic": TOPICS.updates,
            "partition": 2,
            "offset": 41,
        },
    }


@pytest.mark.parametrize("at_ms", [0, 1, 999, 1_767_607_200_000, 8_772_796_799_999])
def test_times_are_read_back_as_written(at_ms):
    assert milliseconds(iso_text(at_ms)) == at_ms


def outbox_of(sequence, *records, epoch=2):
    outbox = Outbox(epoch, sequence, list(records))
    with_batch_headers(7, outbox)
    return outbox


def test_an_outbox_survives_redis():
    tombstone = memberships_record(TOPICS.memberships, 7, KEY, None)
    late = OutputRecord("x", 1, None, b"\xff", [("h", b"\x00")], 17)
    outbox = outbox_of(9, change_record(TOPICS.changes, 7, change()), tombstone, late)
    found = unpack_outbox(pack_outbox(outbox))
    assert [tuple(r) for r in found.records] == [
        (*r[:4], [tuple(h) for h in r.headers], r.timestamp_ms) for r in outbox.records
    ]
    assert [batch_of(dict(r.headers)) for r in found.records] == [
        (7, 2, 9, 0),
        (7, 2, 9, 1),
        (7, 2, 9, 2),
    ]


class Read:
    """An output record as a reader sees it."""

    def __init__(self, record):
        self.topic, self.partition, self.key, self.value, headers, _ = record
        self.headers = tuple(headers)
        self.offset, self.timestamp = 0, 0


def test_reading_back_keeps_the_newest_of_this_partition():
    back = ReadBack(7, TOPICS)
    other = Outbox(2, 99, [change_record(TOPICS.changes, 6, change(sequence=50))])
    with_batch_headers(6, other)
    for outbox in (
        outbox_of(8, change_record(TOPICS.changes, 7, change(sequence=1, status="realized"))),
        other,
        outbox_of(10, change_record(TOPICS.changes, 7, change(sequence=2))),
    ):
        for record in outbox.records:
            back.add(cast(Any, Read(record)))
    assert back.batches == {(2, 8), (2, 10)}
    assert back.last_sequence == 10
    assert back.changes == {KEY: {"seg": PublishedStatus("exited", 1_767_607_200_123, 2)}}


def test_an_unpublished_outbox_counts_as_its_previous_status():
    dead = OutputRecord(TOPICS.dead_letters, 7, None, b"{", [])
    members = memberships_record(TOPICS.memberships, 7, KEY, b"{}")
    outbox = outbox_of(9, change_record(TOPICS.changes, 7, change(sequence=5)), members, dead)
    recovery = begin_recovery(ReadBack(7, TOPICS), 12, outbox)
    assert recovery.published[KEY]["seg"].status == "realized"
    assert recovery.published[KEY]["seg"].sequence == 4
    assert [r.topic for r in recovery.unpublished] == [TOPICS.dead_letters]
    found = unpack_recovery(recovery.pack())
    assert (found.end, found.published) == (12, recovery.published)
    assert found.unpublished == recovery.unpublished


def test_what_a_replay_does_not_publish_is_remembered_once():
    recovery = Recovery(end=5)
    assert recovery.note_suppressed([change(sequence=3)])
    assert not recovery.note_suppressed([change(sequence=4)])
    assert recovery.published[KEY]["seg"].sequence == 2
    assert recovery.memberships() == {
        KEY: {"seg": Membership("realized", change().at_ms, 2)},
    }


def test_keys_share_a_slot_and_members_read_back():
    keys = PartitionKeys("seg", 3)
    names = [keys.meta, keys.outbox, keys.timers, keys.recovery, keys.state(KEY), keys.events(KEY)]
    assert all(name.startswith("seg:{3}:") for name in names)
    assert profile_of(member_of(KEY)) == KEY
    assert 0 <= sample_hash("a/b {c}") < 2**52
    assert float(sample_hash("x")) == sample_hash("x")


def test_polls_are_spread_by_the_cost_of_transactions():
    pace = Pace(linger_s=0.005, full_records=1_000)
    pace.cycle_ended(transactions=0, busy_s=0.001, records=10)
    assert pace.interval_s == 0.005
    pace.cycle_ended(transactions=8, busy_s=0.001, records=10)
    assert pace.interval_s == 0.032
    pace.polls(100.0)
    assert pace.delay(100.01) == pytest.approx(0.022)
    assert pace.delay(101.0) == 0
    pace.cycle_ended(transactions=100, busy_s=0.001, records=10)
    assert pace.interval_s <= 0.06
    pace.cycle_ended(transactions=8, busy_s=0.1, records=1_000)
    assert pace.interval_s == 0
