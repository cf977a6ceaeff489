"""Who scans in a cycle, how much, and what the batch then writes."""

from __future__ import annotations

from typing import Any

from app.adapters.kafka.owner import Owner
from app.adapters.kafka.records import TopicNames
from app.adapters.kafka.recovery import Recovery
from app.adapters.kafka.scanning import (
    FEW_RECORDS,
    LONGEST_WAIT_S,
    SLICE_BYTES,
    SLICE_S,
    Scanning,
)
from app.adapters.kafka.slices import set_scanned
from app.adapters.kafka.transport import RecordBatch
from app.adapters.kafka.work import Work
from app.domain.limits import EngineLimits
from app.domain.model import ProfileKey, Tenant
from app.service.backfill import Slice
from app.service.outcome import Outcome
from app.service.partition import PartitionEngine

TENANT = Tenant("org", "prod")
FIELD = "backfill:org/prod"
KEYS = [ProfileKey(TENANT, name) for name in ("a", "b")]


def owner_of(partition: int = 0, *, waiting: bool = True, records: int = 0) -> Owner:
    owner = Owner(partition, 1, TopicNames.of(""), PartitionEngine(EngineLimits()), is_ready=True)
    if waiting:
        owner.dirty.update(owner.backfill.begin(TENANT, "1-a"))
    some: list[Any] = [None] * records
    owner.pending.append(RecordBatch(partition, 1, 0, records, some))
    return owner


def chosen(scanning: Scanning, owners: list[Owner], now_s: float) -> int | None:
    owner = scanning.choose(owners, now_s)
    return None if owner is None else owner.partition


def test_those_that_wait_take_turns():
    owners = [owner_of(0), owner_of(1, waiting=False), owner_of(2)]
    scanning = Scanning(256)
    assert [chosen(scanning, owners, 0.0) for _ in range(3)] == [0, 2, 0]
    assert Scanning(256).choose([owners[1]], 0.0) is None


def test_live_records_come_first_but_not_for_ever():
    busy = [owner_of(0), owner_of(1, waiting=False, records=FEW_RECORDS)]
    scanning = Scanning(256)
    assert chosen(scanning, busy, 10.0) == 0
    assert chosen(scanning, busy, 10.0 + LONGEST_WAIT_S / 2) is None
    assert chosen(scanning, busy, 10.0 + LONGEST_WAIT_S) == 0
    busy[1].pending.clear()
    assert chosen(scanning, busy, 10.0 + LONGEST_WAIT_S) == 0


def test_nothing_is_scanned_while_something_is_amiss():
    owner = owner_of()
    assert owner.may_scan
    owner.recovery = Recovery(5, 0, -1, {})
    assert not owner.may_scan
    owner.recovery = None
    owner.suspicion.alone_until = 3
    assert not owner.may_scan
    owner.offset = 3
    assert owner.may_scan
    owner.is_ready = False
    assert not owner.may_scan


def looked_at(profiles: int, *, tag: str = "1-a", records: int = 0) -> Work:
    return Work(0, looked=profiles, records=records, scan=Slice(TENANT, tag, 0, profiles))


def test_a_slice_is_as_large_as_the_time_for_it_allows():
    scanning = Scanning(256)
    sizes = []
    for busy_s in (0.0, 0.0, 0.0, 0.0, 0.0, 3 * SLICE_S, 1.5 * SLICE_S):
        sizes.append(scanning.limit_of("1-a"))
        scanning.ended(looked_at(sizes[-1]), busy_s, 0)
    assert sizes == [16, 32, 64, 128, 256, 256, 128]
    assert scanning.limit_of("1-a") == 128


def test_a_slice_is_as_large_as_what_it_loads_allows():
    scanning = Scanning(256)
    for loaded in (0, 0, SLICE_BYTES, 3 * SLICE_BYTES):
        scanning.ended(looked_at(scanning.limit_of("1-a")), 0.0, loaded)
    assert scanning.limit_of("1-a") == 32


def test_what_a_profile_takes_is_found_out_anew_for_each_change_and_job():
    scanning = Scanning(256)
    scanning.ended(looked_at(16), 0.0, 0)
    assert (scanning.limit_of("1-a"), scanning.limit_of("2-b")) == (32, 16)
    for number in range(100):
        scanning.ended(looked_at(16, tag=f"{number}-c"), 0.0, 0)
    assert (scanning.limit_of("1-a"), scanning.limit_of("99-c")) == (16, 32)


def test_only_batches_with_a_slice_and_little_else_say_how_long_one_takes():
    scanning = Scanning(256)
    scanning.ended(Work(0), 0.0, 0)
    scanning.ended(looked_at(16, records=FEW_RECORDS), 0.0, 0)
    assert scanning.limit_of("1-a") == 16
    small = Scanning(5)
    small.ended(looked_at(5), 9.0, 0)
    assert small.limit_of("1-a") == 5


def test_the_cursor_is_written_with_the_batch_that_looked():
    owner = owner_of()
    work = Work(0)
    work.scan = owner.backfill.next(2, owner.suspicion.profiles)
    set_scanned(owner, work, KEYS, 99)
    commit, _ = owner.finish(work, Outcome(0))
    assert commit.meta[FIELD] == "1-a 99"
    last = Work(0)
    last.scan = owner.backfill.next(2, owner.suspicion.profiles)
    set_scanned(owner, last, [], None)
    commit, outbox = owner.finish(last, Outcome(0))
    assert commit.meta[FIELD] == "1-a done"
    assert outbox is None


def test_the_first_batch_of_a_catalogue_says_that_nothing_is_scanned_for_it():
    owner = owner_of()
    commit, _ = owner.finish(Work(1, records=1), Outcome(0))
    assert commit.meta[FIELD] == "1-a 0"
    commit, _ = owner.finish(Work(2, records=1), Outcome(0))
    assert FIELD not in commit.meta


def test_a_failure_is_blamed_on_the_slice_before_the_records():
    owner = owner_of()
    work = Work(1, first=0, records=1, scan=Slice(TENANT, "1-a", 0, 2))
    set_scanned(owner, work, KEYS, None)
    owner.suspicion.blame(work)
    assert owner.suspicion.poison == set()
    again = Work(0)
    again.scan = owner.backfill.next(16, owner.suspicion.profiles)
    assert again.scans_alone
    assert not owner.may_fire(again)
    owner.suspicion.profiles.bad.add(KEYS[0])
    set_scanned(owner, again, KEYS, None)
    assert again.scanned == KEYS[1:]
    owner.suspicion.blame(Work(1, first=0, records=1))
    assert owner.suspicion.poison == {0}
