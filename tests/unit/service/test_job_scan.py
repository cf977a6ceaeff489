"""How far a partition is with its jobs, and what it counts."""

from __future__ import annotations

import pytest

from app.domain.job_reach import JobReach, reach_field, reach_of
from app.domain.jobs import JobCounts, JobSegment, JobTask, SegmentCount
from app.domain.limits import EngineLimits
from app.domain.model import (
    DefinitionSet,
    Membership,
    Origin,
    ProfileKey,
    ProfileUpdate,
    SegmentDefinition,
    Tenant,
)
from app.domain.previews import ScannedProfiles
from app.engine.catalogue import Catalogue, compile_catalogue
from app.engine.profile import ProfileState
from app.engine.state_codec import encode
from app.engine.state_glance import glance
from app.engine.tables import Detail
from app.service.backfill import HASHES, Suspects
from app.service.export_scan import ExportTally
from app.service.job_scan import PartitionJobs
from app.service.job_tally import JobProgress, SegmentTally, Tally
from app.service.outcome import Outcome
from app.service.partition import PartitionEngine
from app.service.restoration import restored_state
from app.service.settled import count_settled

TENANT, OTHER = Tenant("o", "s"), Tenant("o", "t")
AT = 1_767_607_200_000
LIMITS = EngineLimits()
FIELD = "job:o/s"


def catalogue(tag: str, *versions: tuple[str, int], text: str = "age > 18") -> Catalogue:
    live = [SegmentDefinition(name, at, v, text) for at, (name, v) in enumerate(versions)]
    return compile_catalogue(DefinitionSet(TENANT, tag, tuple(live)), LIMITS)


def task(job_id: str = "j", number: int = 1, version: int = 1) -> JobTask:
    return JobTask(job_id, number, (JobSegment("adult", 0, version, "", "m"),))


def jobs_of(*tenants: Tenant, wanted: JobTask | None = None) -> PartitionJobs:
    jobs = PartitionJobs(ExportTally)
    for tenant in tenants:
        jobs.set_catalogue(tenant, catalogue("2-b", ("adult", 1)))
    jobs.offer({tenant: wanted or task() for tenant in tenants})
    return jobs


def advance(jobs: PartitionJobs, following: int | None, realized: int) -> dict[str, str]:
    found = jobs.next(10, Suspects())
    assert found is not None
    scan, tally = found
    assert isinstance(tally, SegmentTally)
    tally.counts.add(JobCounts([SegmentCount(realized, 1, {"email": 1})], realized + 1))
    return jobs.advance(scan.tenant, tally, following)


def test_counts_and_cursor_are_one_field_that_a_successor_goes_on_from():
    jobs = jobs_of(TENANT)
    advance(jobs, 99, 3)
    fields = advance(jobs, 200, 4)
    assert list(fields) == [FIELD, reach_field(TENANT)]
    successor = PartitionJobs(ExportTally)
    successor.restore({**fields, "epoch": "1"})
    successor.set_catalogue(TENANT, catalogue("2-b", ("adult", 1)))
    successor.offer({TENANT: task()})
    found = successor.next(10, Suspects())
    assert found is not None
    assert found[0].start == 200
    progress = JobProgress.unpacked(advance(successor, None, 5)[FIELD])
    assert progress.counts == JobCounts([SegmentCount(12, 3, {"email": 3})], 15)
    assert not successor.is_waiting


def test_the_control_plane_is_told_how_far_a_partition_is():
    jobs, half = jobs_of(TENANT), HASHES // 2
    begun = advance(jobs, half, 3)[reach_field(TENANT)]
    assert reach_of("j", [begun, None]) == JobReach(0, 2, 25, 4)
    done = advance(jobs, None, 5)[reach_field(TENANT)]
    assert reach_of("j", [begun, done]) == JobReach(1, 2, 75, 14)
    assert reach_of("j", [done, done]) == JobReach(2, 2, 100, 20)
    assert reach_of("another", [done, done]) == JobReach(0, 2, 0, 0)


def test_only_what_is_committed_is_done():
    jobs = jobs_of(TENANT)
    advance(jobs, None, 1)
    assert jobs.done() == []
    jobs.committed()
    ((tenant, progress),) = jobs.done()
    assert (tenant, progress.job_id, progress.cursor) == (TENANT, "j", None)
    jobs.offer({})
    assert jobs.done() == []


def test_the_next_job_begins_at_the_beginning():
    jobs = jobs_of(TENANT)
    advance(jobs, 99, 3)
    jobs.offer({TENANT: task("k")})
    found = jobs.next(10, Suspects())
    assert found is not None
    assert (found[0].start, found[0].tag) == (0, "job k")
    progress = JobProgress.unpacked(jobs.advance(TENANT, found[1], None)[FIELD])
    assert progress == JobProgress("k", None, JobCounts.zero(1))


def test_a_job_that_is_withdrawn_gets_no_further_slice():
    jobs = jobs_of(TENANT)
    late = jobs.next(10, Suspects())
    assert late is not None
    jobs.offer({TENANT: task("k")})
    # A slice of the old one was on its way, its last.
    jobs.advance(TENANT, late[1], None)
    assert jobs.is_waiting
    jobs.offer({})
    assert not jobs.is_waiting
    assert jobs.next(10, Suspects()) is None


def test_tenants_take_turns():
    jobs = jobs_of(TENANT, OTHER)
    found = [jobs.next(10, Suspects()) for _ in range(4)]
    assert [one and one[0].tenant for one in found] == [TENANT, OTHER, TENANT, OTHER]


def test_an_older_catalogue_waits_and_another_version_fails():
    jobs = jobs_of(TENANT, wanted=task(number=3))
    assert not jobs.is_waiting
    assert jobs.failures == {}
    jobs.set_catalogue(TENANT, catalogue("3-c", ("adult", 1)))
    assert jobs.is_waiting
    for edited, code in (
        (catalogue("4-d", ("adult", 2)), "definition-changed"),
        (catalogue("4-d"), "definition-changed"),
        (catalogue("4-d", ("adult", 1), text="age >"), "definition-failed"),
    ):
        jobs.set_catalogue(TENANT, edited)
        assert not jobs.is_waiting
        job_id, error = jobs.failures[TENANT]
        assert (job_id, error.code) == ("j", code)
    jobs.offer({})
    assert jobs.failures == {}


def test_what_a_definition_asks_must_not_change_either():
    wanted = JobTask("j", 1, task().segments, (("base", 1),))
    jobs = jobs_of(TENANT, wanted=wanted)
    jobs.set_catalogue(TENANT, catalogue("3-c", ("adult", 1), ("base", 1)))
    assert jobs.is_waiting
    jobs.set_catalogue(TENANT, catalogue("4-d", ("adult", 1), ("base", 2)))
    assert "'base'" in jobs.failures[TENANT][1].message


def test_who_is_done_minds_no_edit():
    jobs = jobs_of(TENANT)
    advance(jobs, None, 1)
    jobs.committed()
    jobs.set_catalogue(TENANT, catalogue("3-c", ("adult", 2)))
    assert jobs.failures == {}
    assert len(jobs.done()) == 1


class Bench:
    """An engine without a cache, and what it stored.

    Attributes:
        glanced: Profiles that were counted without being unpacked.
    """

    def __init__(self, *, glances: bool) -> None:
        self.engine = PartitionEngine(LIMITS)
        self.tag = ""
        self.glances = glances
        self.glanced: set[ProfileKey] = set()
        self.states: dict[ProfileKey, bytes | None] = {}
        self.events: dict[ProfileKey, bytes | None] = {}

    def apply(self, *updates: ProfileUpdate, tally: Tally | None = None, at: int = AT) -> Outcome:
        if self.glances and isinstance(tally, SegmentTally):
            self.count_settled(tally, {one.key.profile_id for one in updates}, at)
        keys = [one.key for one in updates] + (tally.keys if tally else [])
        loaded = {key: self.states.get(key) for key in self.engine.missing_states(keys)}
        self.engine.provide_states(loaded)
        wanted = self.engine.missing_events(keys)
        self.engine.provide_events({key: self.events.get(key) for key in wanted})
        outcome = self.engine.apply(updates, [], at, at, tally=tally)
        self.states.update(outcome.states)
        for key, write in outcome.events.items():
            kept = b"" if write is None or write.replace else self.events.get(key) or b""
            self.events[key] = None if write is None else kept + write.frames
        return outcome

    def define(self, one: Catalogue) -> None:
        self.engine.set_catalogue(TENANT, one)
        self.tag = one.tag

    def count_settled(self, tally: SegmentTally, changing: set[str], at: int) -> None:
        """Count what need not be unpacked, and leave the rest to the engine."""
        ids = [one.profile_id for one in tally.keys]
        states = [self.states.get(one) for one in tally.keys]
        found = ScannedProfiles(ids, states, (), None, 0)
        rest = count_settled(tally, found, TENANT, self.tag, changing, at)
        self.glanced = set(tally.keys) - rest.keys()
        tally.keys = list(rest)


@pytest.fixture(params=[False, True], ids=["unpacked", "glanced at"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(glances=request.param)


def key(name: str) -> ProfileKey:
    return ProfileKey(TENANT, name)


def test_a_profile_is_counted_at_the_clock_and_the_definitions_of_its_batch(bench):
    text = 'CHAIN(xEvent, timestamp, [X: WHAT(eventType = "buy") WHEN(< 1 hours before now)])'
    bench.define(catalogue("2-b", ("adult", 1), text=text))
    bought = {"eventType": "buy", "timestamp": "2026-01-05T10:00:00Z"}
    bench.apply(ProfileUpdate(key("a"), Origin("t", 0, 1), AT, event=bought, event_ms=AT - 1))
    for at, expected in ((AT, (1, 0)), (AT + 7_200_000, (0, 1))):
        tally = SegmentTally(task())
        tally.set_keys([key("a"), key("ghost")], [key("a"), key("ghost")])
        outcome = bench.apply(tally=tally, at=at)
        (count,) = tally.counts.segments
        assert (tally.counts.total, count.realized, count.exited) == (1, *expected)
    assert [(one.status, one.cause.kind) for one in outcome.changes] == [("exited", "time")]


def test_a_profile_that_did_not_change_is_not_written(bench):
    bench.define(catalogue("2-b", ("adult", 1)))
    person = {"age": 40, "identityMap": {"email": [{"id": "x"}, {"id": "y"}], "none": []}}
    bench.apply(ProfileUpdate(key("a"), Origin("t", 0, 1), AT, attributes=person))
    tally = SegmentTally(task())
    tally.set_keys([key("a"), key("bad")], [key("a")])
    outcome = bench.apply(tally=tally)
    assert tally.counts == JobCounts([SegmentCount(1, 0, {"email": 1})], 1, skipped=1)
    assert (outcome.states, outcome.changes, outcome.timers) == ({}, [], {})


def test_an_update_in_the_same_batch_comes_first(bench):
    bench.define(catalogue("2-b", ("adult", 1)))
    for name in ("a", "b"):
        bench.apply(ProfileUpdate(key(name), Origin("t", 0, 1), AT, attributes={"age": 40}))
    tally = SegmentTally(task())
    tally.set_keys([key("a"), key("b")], [key("a"), key("b")])
    young = ProfileUpdate(key("a"), Origin("t", 0, 2), AT, attributes={"age": 1})
    gone = ProfileUpdate(key("b"), Origin("t", 0, 3), AT, deletes=True)
    bench.apply(young, gone, tally=tally)
    assert tally.counts == JobCounts([SegmentCount(0, 1)], 1)


def test_a_restored_profile_is_counted_as_it_was_published(bench):
    bench.define(catalogue("2-b", ("adult", 1)))
    bench.states[key("a")] = restored_state({0: Membership("realized", AT, 3)})
    tally = SegmentTally(task())
    tally.set_keys([key("a")], [key("a")])
    outcome = bench.apply(tally=tally)
    assert tally.counts == JobCounts([SegmentCount(1, 0)], 1)
    assert outcome.changes == []


def test_who_is_not_as_the_definitions_want_or_may_change_by_time_is_unpacked():
    text = 'xEvent[eventType = "buy" and timestamp occurs < 1 hours before now].count() > 0'
    bench = Bench(glances=True)
    bench.define(catalogue("1-a", ("adult", 1), text=text))
    old = ProfileUpdate(key("old"), Origin("t", 0, 1), AT, attributes={"age": 40})
    bench.apply(old)
    bench.define(catalogue("2-b", ("adult", 1), text=text))
    bought = {"eventType": "buy", "timestamp": "2026-01-05T10:00:00Z"}
    bench.apply(ProfileUpdate(key("due"), Origin("t", 0, 2), AT, event=bought, event_ms=AT - 1))
    bench.apply(ProfileUpdate(key("settled"), Origin("t", 0, 3), AT, attributes={"age": 40}))
    bench.apply(ProfileUpdate(key("gone"), Origin("t", 0, 4), AT, attributes={"age": 40}))
    bench.apply(ProfileUpdate(key("gone"), Origin("t", 0, 5), AT, deletes=True))
    names = [key(name) for name in ("old", "due", "settled", "gone", "ghost")]
    for at, glanced, expected in (
        (AT, {"due", "settled"}, (1, 0)),
        (AT + 7_200_000, {"old", "settled"}, (0, 1)),
    ):
        tally = SegmentTally(task())
        tally.set_keys(names, names)
        bench.apply(tally=tally, at=at)
        assert {one.profile_id for one in bench.glanced} - {"gone"} == glanced
        (count,) = tally.counts.segments
        assert (tally.counts.total, count.realized, count.exited) == (3, *expected)


def test_a_stored_profile_that_cannot_be_counted_is_left_to_the_engine():
    bench = Bench(glances=True)
    bench.define(catalogue("2-b", ("adult", 1)))
    bench.apply(ProfileUpdate(key("a"), Origin("t", 0, 1), AT, attributes={"age": 40}))
    states = [
        bench.states[key("a")],
        b"\x02torn",
        encode(ProfileState("2-b", b"{", members=b"\1", created=True)),
    ]
    tally = SegmentTally(task())
    found = ScannedProfiles(["a", "torn", "no-json"], states, (), None, 0)
    rest = count_settled(tally, found, TENANT, "2-b", set(), AT)
    assert rest == {key("torn"): states[1], key("no-json"): states[2]}
    assert tally.counts == JobCounts([SegmentCount(1)], 1)


@pytest.mark.parametrize("memberships", [1, 15, 16, 40])
def test_what_a_profile_was_in_is_told_from_what_it_is_in(memberships):
    state = ProfileState("2-b", b"{}", created=True)
    for ordinal in range(memberships):
        state.details[ordinal] = Detail(AT, 1)
    for left in ((), (memberships - 1,)):
        bits = sum(1 << ordinal for ordinal in range(memberships) if ordinal not in left)
        state.members = bits.to_bytes(8, "little")
        assert glance(encode(state)).memberships() == (bits, left)


def test_a_record_is_not_read_for_segments_that_the_job_does_not_count():
    state = ProfileState("2-b", b"{", members=b"\2", created=True)
    state.details[1] = Detail(AT, 1)
    tally = SegmentTally(task())
    found = ScannedProfiles(["a"], [encode(state)], (), None, 0)
    assert count_settled(tally, found, TENANT, "2-b", set(), AT) == {}
    assert tally.counts == JobCounts([SegmentCount()], 1)
