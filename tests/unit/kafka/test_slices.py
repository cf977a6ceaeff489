"""Scan and jobs of a partition take turns, but for the search for what the engine fails on."""

from __future__ import annotations

from app.adapters.kafka.owner import Owner
from app.adapters.kafka.records import TopicNames
from app.adapters.kafka.scanning import Scanning
from app.adapters.kafka.slices import cut_slice, next_slice, set_scanned
from app.adapters.kafka.work import Work
from app.domain.jobs import JobSegment, JobTask
from app.domain.limits import EngineLimits
from app.domain.model import DefinitionSet, ProfileKey, SegmentDefinition, Tenant
from app.engine.catalogue import compile_catalogue
from app.service.job_tally import SegmentTally
from app.service.outcome import Outcome
from app.service.partition import PartitionEngine

TENANT = Tenant("org", "prod")
KEYS = [ProfileKey(TENANT, name) for name in ("a", "b")]
TASK = JobTask("j", 1, (JobSegment("adult", 0, 1, "", "m"),))


def owner_of() -> Owner:
    limits = EngineLimits()
    owner = Owner(0, 1, TopicNames.of(""), PartitionEngine(limits), is_ready=True)
    adult = SegmentDefinition("adult", 0, 1, "age > 18")
    definitions = DefinitionSet(TENANT, "1-a", (adult,))
    owner.set_catalogue(TENANT, compile_catalogue(definitions, limits))
    owner.jobs.offer({TENANT: TASK})
    return owner


def work_of(owner: Owner) -> Work:
    work = Work(0)
    next_slice(owner, Scanning(16), work)
    assert work.scan is not None
    return work


def kinds(owner: Owner, count: int) -> list[bool]:
    return [work_of(owner).tally is not None for _ in range(count)]


def test_they_take_turns_while_both_wait():
    owner = owner_of()
    assert kinds(owner, 4) == [False, True, False, True]
    owner.jobs.offer({})
    assert kinds(owner, 2) == [False, False]


def test_a_partition_whose_scan_is_done_has_jobs_only():
    owner = owner_of()
    work = work_of(owner)
    set_scanned(owner, work, [], None)
    owner.finish(work, Outcome(0))
    assert owner.may_scan
    assert kinds(owner, 2) == [True, True]


def test_a_search_is_not_broken_off():
    owner = owner_of()
    work_of(owner)
    failed = work_of(owner)
    assert failed.tally is not None
    set_scanned(owner, failed, KEYS, None)
    assert failed.tally.keys == KEYS
    assert failed.scanned == []
    owner.suspicion.blame(failed)
    again = work_of(owner)
    assert isinstance(again.tally, SegmentTally)
    assert again.scans_alone
    owner.suspicion.profiles.bad.add(KEYS[0])
    set_scanned(owner, again, KEYS, None)
    assert (again.tally.keys, again.tally.counts.skipped) == (KEYS[1:], 1)


def test_the_batch_that_looked_writes_cursor_and_counts():
    owner = owner_of()
    work_of(owner)
    work = work_of(owner)
    set_scanned(owner, work, KEYS, 99)
    assert isinstance(work.tally, SegmentTally)
    work.tally.counts.total = 2
    commit, _ = owner.finish(work, Outcome(0))
    assert commit.meta["job:org/prod"] == '["j",99,[2,0,[[0,0,{}]]]]'


def test_a_slice_is_cut_between_two_hashes(monkeypatch):
    hashes = {"a": 1, "b": 2, "c": 2, "d": 3}
    monkeypatch.setattr("app.adapters.kafka.slices.sample_hash", hashes.__getitem__)
    owner = owner_of()
    work_of(owner)
    found = [ProfileKey(TENANT, name) for name in hashes]
    owner.suspicion.profiles.bad.add(found[0])
    for most, expected in ((10, 1), (20, 3), (45, None)):
        work = work_of(owner)
        if work.tally is None:
            work = work_of(owner)
        tally = work.tally
        assert isinstance(tally, SegmentTally)
        monkeypatch.setattr(SegmentTally, "most_bytes", most)
        set_scanned(owner, work, found, 9)
        cut_slice(work, dict.fromkeys(found[1:], 15))
        taken = 4 if expected is None else expected
        assert work.following == (9 if expected is None else list(hashes.values())[expected])
        assert (work.looked, len(tally.keys)) == (taken, taken - 1)
        assert tally.counts.skipped == 1
