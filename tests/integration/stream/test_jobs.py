"""Segment jobs over real profiles: counted exactly, whatever dies meanwhile."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from app.adapters.redis.job_source import RedisJobSource
from app.adapters.redis.job_store import RedisJobStore
from app.domain.model import Tenant
from app.service.job_document import job_document
from app.service.job_tally import SegmentTally
from app.service.jobs import JobCall, Jobs
from tests.integration.stream.harness import eventually, owned
from tests.integration.stream.test_backfill import ADULT, BUYER, World, entered, is_applied, names

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


class JobWorld(World):
    """A world with segment jobs."""

    def __post_init__(self):
        super().__post_init__()
        prefix = self.names.redis_key_prefix
        self.job_store = RedisJobStore(self.redis, prefix, partitions=self.partitions)
        self.job_source = RedisJobSource(self.redis, prefix)
        self.jobs = Jobs(self.job_store, self.definitions, lambda: str(uuid.uuid4()), now_ms)

    async def live(self, **definitions):
        for segment_id, text in definitions.items():
            await self.define(segment_id, text)
        for segment_id in definitions:
            await eventually(lambda name=segment_id: self.is_live(name), 60)

    async def start(self, *segment_ids):
        job = await self.jobs.create(self.tenant, segment_ids or None, JobCall())
        return job.job_id

    async def job(self, job_id):
        return job_document(self.tenant, await self.jobs.get(self.tenant, job_id))

    async def ended(self, job_id, timeout=30.0):
        async def has_ended():
            job = await self.job(job_id)
            return job if job["status"] in ("SUCCEEDED", "FAILED", "CANCELLED") else None

        return await eventually(has_ended, timeout)

    async def events(self, job_id):
        """Return the statuses that wait for the relay, in order."""
        key = self.job_source._keys.job(self.tenant, "outbox")
        rows: Any = await self.redis.xrange(key)
        found = [json.loads(row[b"value"]) for _, row in rows]
        mine = [event for event in found if event["jobId"] == job_id]
        assert [event["sequence"] for event in mine] == list(range(1, len(mine) + 1))
        return [event["status"] for event in mine]


WORLD = JobWorld


def now_ms():
    return time.time_ns() // 1_000_000


def counted(worker):
    return worker.metrics.counted._value.get()


def identities(number):
    """Return what a brute-force count below knows of profile `number`."""
    found = {"crmid": [{"id": f"c-{number}"}]}
    if number % 3 == 0:
        found["email"] = [{"id": f"{number}@example.com"}, {"id": f"{number}@example.org"}]
    return found


async def test_the_whole_life_of_a_job_and_its_counts(world):
    ages = {name: number for number, name in enumerate(names(60))}
    async with world.working(slice_size=7) as worker:
        await world.send(
            *[
                (name, {"attributes": {"age": age}, "identityMap": identities(age)})
                for name, age in ages.items()
            ]
        )
        await world.send(*[(n, {"event": {"_id": n, "eventType": "buy"}}) for n in names(5)])
        await eventually(lambda: is_applied(world, 65))
        await world.live(adult=ADULT, buyer=BUYER)
        # Ten leave, five are deleted.
        await world.send(*[(f"p-{n}", {"attributes": {"age": 1}}) for n in range(20, 30)])
        await world.send(*[(f"p-{n}", None) for n in range(55, 60)])
        await eventually(lambda: is_applied(world, 80))

        started = await world.jobs.create(world.tenant, ["adult", "buyer"], JobCall())
        assert started.status == "NEW"
        job_id = started.job_id
        job = await world.ended(job_id)
        assert counted(worker) == 55

    adults = [n for n in range(19, 55) if not 20 <= n < 30]
    assert job["status"] == "SUCCEEDED"
    assert "errors" not in job
    metrics = job["metrics"]
    assert metrics["totalProfiles"] == 55
    assert metrics["segmentedProfileCounter"] == {"adult": len(adults), "buyer": 5}
    assert metrics["segmentedProfileByStatusCounter"] == {
        "adult": {"realized": len(adults), "exited": 10},
        "buyer": {"realized": 5, "exited": 0},
    }
    assert metrics["segmentedProfileByNamespaceCounter"] == {
        "adult": {"crmid": len(adults), "email": len([n for n in adults if n % 3 == 0])},
        "buyer": {"crmid": 5, "email": 2},
    }
    (policy,) = {one["segment"]["mergePolicyId"] for one in job["segments"]}
    assert metrics["totalProfilesByMergePolicy"] == {policy: 55}
    for name in ("totalTime", "profileSegmentationTime"):
        triple = metrics[name]
        assert triple["totalTimeInMs"] == triple["endTimeInMs"] - triple["startTimeInMs"] >= 0
    assert await world.events(job_id) == ["NEW", "QUEUED", "PROCESSING", "SUCCEEDED"]


async def test_a_job_over_everything_without_profiles(world):
    async with world.working():
        await world.live(adult=ADULT, buyer=BUYER)
        job = await world.ended(await world.start())
    assert job["status"] == "SUCCEEDED"
    assert job["segments"] == [{"segmentId": "*"}]
    assert job["metrics"]["totalProfiles"] == 0
    assert job["metrics"]["segmentedProfileCounter"] == {"adult": 0, "buyer": 0}


async def slow(world, count):
    """Make profiles whose job takes many slices."""
    await world.people(count)
    await world.live(adult=ADULT)


def realized(job):
    return job["metrics"]["totalProfiles"], job["metrics"]["segmentedProfileCounter"]


async def test_cancelling_takes_effect_within_a_slice(lone):
    async with lone.working(slice_size=2) as worker:
        await slow(lone, 400)
        job_id = await lone.start("adult")
        behind = await lone.start("adult")
        await eventually(lambda: counted(worker) >= 10)
        before = counted(worker)
        await lone.jobs.cancel(lone.tenant, job_id)
        await lone.jobs.cancel(lone.tenant, behind)
        assert (await lone.job(behind))["status"] == "CANCELLED"
        job = await lone.ended(job_id)
        assert job["status"] == "CANCELLED"
        assert "totalProfiles" not in job["metrics"]
        assert counted(worker) < 400
        after = counted(worker)
        assert after - before < 100
        # The next one is done as if nothing had been.
        assert realized(await lone.ended(await lone.start())) == (400, {"adult": 400})
        # A slice may have been on its way.
        assert counted(worker) - after - 400 in (0, 2)
    assert await lone.events(job_id) == ["NEW", "QUEUED", "PROCESSING", "CANCELLING", "CANCELLED"]


async def test_a_successor_goes_on_and_counts_every_profile_once(lone):
    async with lone.working(slice_size=2) as first:
        await slow(lone, 300)
        job_id = await lone.start("adult")
        await eventually(lambda: counted(first) >= 20)
    assert 20 <= counted(first) < 300
    job = await lone.job(job_id)
    assert job["status"] == "PROCESSING"
    progress = job["progress"]
    assert (progress["partitionsDone"], progress["partitions"]) == (0, 1)
    assert progress["profiles"] == counted(first)
    assert abs(progress["percent"] - counted(first) / 3) < 10
    async with lone.working() as second:
        job = await lone.ended(job_id)
        assert realized(job) == (300, {"adult": 300})
        assert "progress" not in job
        assert counted(first) + counted(second) == 300


async def test_a_partition_moves_in_mid_job(world):
    async with world.working(slice_size=2) as first:
        await slow(world, 600)
        job_id = await world.start("adult")
        await eventually(lambda: counted(first) >= 20)
        async with world.working(slice_size=2, ready=()) as second:
            await eventually(lambda: owned(first) and owned(second), 30)
            assert realized(await world.ended(job_id)) == (600, {"adult": 600})


async def test_jobs_of_a_tenant_are_done_in_order_and_tenants_take_turns(lone):
    other = JobWorld(lone.bootstrap, lone.redis_url, names=lone.names, partitions=1)
    other.tenant = Tenant(lone.tenant.org_id, "dev")
    async with lone.working(slice_size=4) as worker:
        await slow(lone, 200)
        await other.live(other=ADULT)
        many = [await lone.start("adult") for _ in range(20)]
        late = await other.start("other")
        assert realized(await other.ended(late)) == (0, {"other": 0})
        # It did not wait for those that were there before.
        assert (await lone.job(many[-1]))["status"] in ("NEW", "QUEUED")
        jobs = [await lone.ended(job_id, 60) for job_id in many]
        assert counted(worker) == 20 * 200
    await other.close()
    assert [realized(job) for job in jobs] == [(200, {"adult": 200})] * 20
    starts = [job["metrics"]["profileSegmentationTime"]["startTimeInMs"] for job in jobs]
    ends = [job["metrics"]["profileSegmentationTime"]["endTimeInMs"] for job in jobs]
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False))


async def test_a_job_whose_definition_changes_fails_and_says_so(lone):
    async with lone.working(slice_size=2) as worker:
        await slow(lone, 300)
        job_id = await lone.start("adult")
        await eventually(lambda: counted(worker) >= 10)
        await lone.edit("adult", "age > 50")
        job = await lone.ended(job_id)
        assert job["status"] == "FAILED"
        (error,) = job["errors"]
        assert error["code"] == "definition-changed"
        assert "'adult'" in error["msg"]
        assert realized(await lone.ended(await lone.start())) == (300, {"adult": 0})


async def test_a_job_brings_profiles_to_the_newest_definitions_and_is_heard_once(lone):
    """The definition is asked for before the scan has brought it to anybody."""
    async with lone.working() as worker:
        await lone.people(100)
        await eventually(lambda: is_applied(lone, 100))
        assert worker
    await lone.define("adult", ADULT)
    job_id = await lone.start("adult")
    async with lone.working():
        assert realized(await lone.ended(job_id)) == (100, {"adult": 100})
        await eventually(lambda: lone.is_live("adult"))
    await lone.tells({(name, "adult"): [entered()] for name in names(100)})


async def test_an_origin_starts_one_job(lone):
    async with lone.working():
        await lone.live(adult=ADULT)
        origin = "schedule:s-1:1700000000000"
        job_id = await lone.jobs.start(lone.tenant, None, origin=origin)
        job = await lone.ended(job_id)
    await lone.remove("adult")
    assert await lone.jobs.start(lone.tenant, None, origin=origin) == job_id
    assert job["source"] == "scheduler"
    assert job["requestId"] == "s-1-1700000000000"
    assert job["properties"]["scheduleId"] == "s-1"


async def test_a_profile_that_the_engine_fails_on_is_skipped_and_said(lone, monkeypatch):
    add = SegmentTally._add

    def failing(self, members, exited, attributes):
        if attributes()["age"] == 41:
            raise RuntimeError("told to fail")
        add(self, members, exited, attributes)

    monkeypatch.setattr(SegmentTally, "_add", failing)
    async with lone.working():
        await slow(lone, 30)
        await lone.send(("p-7", {"attributes": {"age": 41}}))
        await eventually(lambda: is_applied(lone, 31))
        job = await lone.ended(await lone.start("adult"), 60)
        assert job["status"] == "SUCCEEDED"
        assert realized(job) == (29, {"adult": 29})
        (error,) = job["errors"]
        assert error["code"] == "profiles-skipped"
        assert error["msg"].startswith("1 profiles")


async def test_a_worker_fenced_in_a_job_goes_on_and_counts_once(lone):
    async with lone.working(slice_size=2) as worker:
        await slow(lone, 200)
        job_id = await lone.start("adult")
        await eventually(lambda: counted(worker) >= 20)
        await lone.store.claim(0, 1, 0, may_begin=False)
        assert realized(await lone.ended(job_id, 60)) == (200, {"adult": 200})
        assert worker.metrics.fenced.labels("redis")._value.get() == 1


async def test_live_updates_go_on_during_a_job(lone):
    async with lone.working(slice_size=2) as worker:
        await slow(lone, 300)
        job_id = await lone.start("adult")
        await eventually(lambda: counted(worker) >= 10)
        await lone.send(*[(name, {"attributes": {"age": 41}}) for name in names(100)])
        await eventually(lambda: is_applied(lone, 400))
        assert counted(worker) < 300, "the updates waited for the job"
        assert realized(await lone.ended(job_id)) == (300, {"adult": 300})


async def test_two_tenants_count_their_own(lone):
    other = JobWorld(lone.bootstrap, lone.redis_url, names=lone.names, partitions=1)
    other.tenant = Tenant(lone.tenant.org_id, "dev")
    async with lone.working():
        await slow(lone, 10)
        await other.live(adult=ADULT)
        theirs = {"sandboxName": "dev", "attributes": {"age": 50}}
        await lone.send(*[(f"d-{n}", {**theirs, "profileId": f"d-{n}"}) for n in range(4)])
        await eventually(lambda: is_applied(lone, 14))
        mine, foreign = await lone.start(), await other.start()
        assert realized(await lone.ended(mine)) == (10, {"adult": 10})
        assert realized(await other.ended(foreign)) == (4, {"adult": 4})
    await other.close()


async def test_a_count_that_was_not_reported_is_reported_by_the_next_owner(lone, monkeypatch):
    async def silent(*_):
        return 0

    async with lone.working() as first:
        await slow(lone, 20)
        monkeypatch.setattr(first._jobs._source, "report", silent)
        job_id = await lone.start("adult")
        await eventually(lambda: counted(first) == 20)
    assert (await lone.job(job_id))["status"] == "PROCESSING"
    async with lone.working() as second:
        assert realized(await lone.ended(job_id)) == (20, {"adult": 20})
        assert counted(second) == 0
