"""Exports over real profiles: every record once and in order, whatever dies meanwhile."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest

from app.adapters.datasets.locations import Location
from app.domain.model import Tenant
from app.domain.timestamps import iso_text
from tests.integration.stream.export_reader import ids, segments
from tests.integration.stream.export_world import ExportWorld
from tests.integration.stream.harness import eventually
from tests.integration.stream.test_backfill import ADULT, BUYER, is_applied, names
from tests.integration.stream.test_jobs import counted, identities, now_ms

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
WORLD = ExportWorld


async def test_what_is_exported_under_every_filter(world):
    """One world for all of them: what differs is what is asked."""
    async with world.working(slice_size=7):
        await world.live(adult=ADULT, buyer=BUYER)
        people = [
            (
                name,
                {"attributes": {"age": n, "homeAddress": {"city": "Oslo"}}}
                | {"identityMap": identities(n)},
            )
            for n, name in enumerate(names(40))
        ]
        await world.send(*people)
        await eventually(lambda: is_applied(world, 40))
        between = iso_text(now_ms())
        buys = [{"_id": f"e-{n}", "eventType": "buy", "sum": n} for n in range(5)]
        await world.send(*[(f"p-{n}", {"event": buys[n]}) for n in range(5)])
        await world.send(*[(f"x-{n}", {"event": {"_id": "e", "eventType": "see"}}) for n in (1, 2)])
        theirs = {"lists": {"gold": {"status": "existing"}, "old": {"status": "exited"}}}
        await world.send(("p-9", {"attributes": {"segmentMembership": theirs}}))
        await world.send(*[(f"p-{n}", {"attributes": {"age": 1}}) for n in range(30, 35)])
        await eventually(lambda: is_applied(world, 53))

        async def exported(**body):
            job = await world.ended(await world.export(**body))
            assert job["status"] == "SUCCEEDED", job
            found = await world.whole(str(job["id"]))
            metrics = job["metrics"]
            assert metrics["totalExportedProfileCounter"] == len(set(ids(found)))
            return job, found

        everybody = sorted(names(40))
        adults = sorted(f"p-{n}" for n in range(19, 40) if not 30 <= n < 35)
        left = sorted(f"p-{n}" for n in range(30, 35))
        job, found = await exported()
        assert ids(found) == everybody
        counter = job["metrics"]["exportedProfileByNamespaceCounter"]
        assert counter == {"crmid": 40, "email": 14}
        _, found = await exported(filter={"emptyProfiles": True})
        assert ids(found) == sorted([*everybody, "x-1", "x-2"])

        _, found = await exported(filter=segments("adult"))
        assert ids(found) == adults
        (one,) = (value for value in found if value["profileId"] == "p-20")
        assert one["profile"]["age"] == 20
        assert one["profile"]["segmentMembership"]["ups"]["adult"]["status"] == "realized"
        assert one["segments"] == [
            {
                "segmentNs": "ups",
                "segmentId": "adult",
                "status": "realized",
                "lastQualificationTime": one["segments"][0]["lastQualificationTime"],
            }
        ]
        _, found = await exported(filter=segments("adult", status=["exited"]))
        assert ids(found) == left
        _, found = await exported(filter=segments("adult", "buyer", status=["exited", "existing"]))
        assert ids(found) == sorted({*adults, *left, *names(5)})
        for segment_id, status, expected in (
            ("gold", "realized", ["p-9"]),
            ("old", "realized", []),
            ("old", "exited", ["p-9"]),
        ):
            asked = segments(segment_id, segmentNs="lists", status=[status])
            assert ids((await exported(filter=asked))[1]) == expected

        entered = {change["profileId"]: change for change in await world.changes()}
        moment = entered["p-30"]["lastQualificationTime"]
        later = {"segmentQualificationTime": {"startTime": moment}}
        asked = {**segments("adult", status=["realized", "exited"]), **later}
        expected = sorted(
            name
            for name, change in entered.items()
            if change["segmentId"] == "adult" and change["lastQualificationTime"] >= moment
        )
        assert ids((await exported(filter=asked))[1]) == expected
        assert set(left) <= set(expected)
        none = {"segmentQualificationTime": {"endTime": "2001-01-01T00:00:00Z"}}
        assert ids((await exported(filter={**segments("adult"), **none}))[1]) == []
        assert ids((await exported(filter=none))[1]) == []

        _, found = await exported(fields="homeAddress.city,identityMap", filter=segments("buyer"))
        assert ids(found) == names(5)
        assert found[0]["profile"].keys() == {"homeAddress", "identityMap"}

        asked = {"eventList": {"fields": "_id,sum"}}
        _, found = await exported(filter=segments("buyer"), additionalFields=asked)
        for value in found:
            number = int(value["profileId"][2:])
            assert value["eventList"] == [{"_id": f"e-{number}", "sum": number}]

        for name, count in (("fromIngestTimestamp", 1), ("toIngestTimestamp", 0)):
            asked = {"eventList": {"filter": {name: between}}}
            _, found = await exported(filter=segments("buyer"), additionalFields=asked)
            assert [len(value["eventList"]) for value in found] == [count] * 5
        _, found = await exported(filter={"fromIngestTimestamp": between})
        assert ids(found) == sorted({*names(5), "p-9", *left})

        job, found = await exported(filter=segments("adult"), evaluationInfo={"segmentation": True})
        assert ids(found) == adults
        before = await world.job(job["computeGatewayJobId"]["pushJob"])
        assert before["status"] == "SUCCEEDED"
        assert before["metrics"]["segmentedProfileCounter"] == {"adult": len(adults)}


async def slow(world, count):
    await world.people(count)
    await world.live(adult=ADULT)


async def test_a_successor_goes_on_without_repeating_or_losing(lone):
    async with lone.working(slice_size=2) as first:
        await slow(lone, 300)
        job_id = await lone.export(filter=segments("adult"))
        await eventually(lambda: counted(first) >= 20)
    assert 20 <= counted(first) < 300
    progress = (await lone.job(job_id))["progress"]
    assert (progress["partitionsDone"], progress["profiles"]) == (0, counted(first))
    assert abs(progress["percent"] - counted(first) / 3) < 10
    async with lone.working() as second:
        assert (await lone.ended(job_id))["status"] == "SUCCEEDED"
        assert counted(first) + counted(second) == 300
    assert ids(await lone.whole(job_id)) == sorted(names(300))
    _, runs = await lone.told(job_id)
    assert len(runs) == 1


async def test_an_owner_fenced_in_mid_export_goes_on(lone):
    async with lone.working(slice_size=2) as worker:
        await slow(lone, 200)
        job_id = await lone.export()
        await eventually(lambda: counted(worker) >= 20)
        await lone.store.claim(0, 1, 0, may_begin=False)
        assert (await lone.ended(job_id, 60))["status"] == "SUCCEEDED"
        assert worker.metrics.fenced.labels("redis")._value.get() == 1
    assert ids(await lone.whole(job_id)) == sorted(names(200))


async def test_where_redis_lost_the_last_slices_the_partition_is_exported_anew(lone):
    async with lone.working(slice_size=2) as first:
        await slow(lone, 200)
        await eventually(lambda: first.stream.owners[0].sequence > 0)
    kept = {name: await lone.redis.dump(name) for name in await lone.redis.keys("*{0}*")}
    async with lone.working(slice_size=2) as first:
        job_id = await lone.export(filter=segments("adult"))
        await eventually(lambda: counted(first) >= 20)
    assert counted(first) < 200
    for name in await lone.redis.keys("*{0}*"):
        await lone.redis.delete(name)
    for name, value in kept.items():
        await lone.redis.restore(name, 0, value)
    assert lone.store.keys(0).meta.encode() in kept
    async with lone.working():
        assert (await lone.ended(job_id, 60))["status"] == "SUCCEEDED"
    assert ids(await lone.whole(job_id)) == sorted(names(200))
    _, runs = await lone.told(job_id)
    assert len(runs) == 2


async def test_cancelling_in_mid_run_ends_it_and_removes_what_is_staged(lone, tmp_path):
    lone.locations["members"] = Location(str(tmp_path))
    async with lone.working(slice_size=2) as worker:
        await slow(lone, 400)
        job_id = await lone.export(destination={"datasetId": "members"})
        await eventually(lambda: counted(worker) >= 10)
        job = await lone.job(job_id)
        assert job["status"] == "PROCESSING"
        # As a worker that died would have left it.
        staged = tmp_path / "_staging" / job["destination"]["batchId"]
        staged.mkdir(parents=True)
        await lone.exports.cancel(lone.tenant, job_id)
        await lone.exports.cancel(lone.tenant, job_id)

        async def is_cancelled():
            return (await lone.job(job_id))["errors"]

        (error,) = await eventually(is_cancelled)
        assert error["code"] == "cancelled"
        assert (await lone.job(job_id))["status"] == "FAILED"
        assert counted(worker) < 400
        await eventually(lambda: not any(tmp_path.iterdir()))
        # The next one is whole.
        other = await lone.export(filter=segments("adult"))
        assert (await lone.ended(other))["status"] == "SUCCEEDED"
    assert len(await lone.whole(other)) == 400
    ends, runs = await lone.told(job_id)
    assert ends == []
    (run,) = runs.values()
    assert run[-1][1]["type"] == "profile"
    assert await lone.events(job_id) == ["NEW", "QUEUED", "PROCESSING", "CANCELLING", "CANCELLED"]


async def test_a_profile_with_many_events_is_divided_and_bounds_the_slice(lone, monkeypatch):
    monkeypatch.setattr("app.service.export_scan.SLICE_BYTES", 60_000)
    monkeypatch.setattr("app.service.export_scan.RECORD_BYTES", 10_000)
    async with lone.working() as worker:
        await lone.people(20)
        await lone.live(buyer=BUYER)
        text = "x" * 2_000
        events = [
            (f"p-{n}", {"event": {"_id": f"{n}-{at}", "eventType": "buy", "note": text}})
            for n in range(10)
            for at in range(15)
        ]
        await lone.send(*events)
        await eventually(lambda: is_applied(lone, 170))
        before = worker.stream.owners[0].sequence
        job = await lone.ended(await lone.export(additionalFields={"eventList": {}}))
        assert worker.stream.owners[0].sequence - before >= 5
    found = await lone.whole(str(job["id"]))
    parts = defaultdict(list)
    for value in found:
        parts[value["profileId"]].append(value)
        assert len(json.dumps(value)) < 13_000
    assert sorted(parts) == sorted(names(20))
    for n in range(10):
        mine = parts[f"p-{n}"]
        assert [one["part"] for one in mine] == list(range(1, mine[0]["parts"] + 1))
        assert ["profile" in one for one in mine] == [True] + [False] * (len(mine) - 1)
        kept = [event["_id"] for one in mine for event in one["eventList"]]
        assert sorted(kept) == sorted(f"{n}-{at}" for at in range(15))


async def test_an_export_waits_for_the_segment_job_before_it_and_fails_with_it(lone):
    async with lone.working(slice_size=2) as worker:
        await slow(lone, 300)
        job_id = await lone.export(filter=segments("adult"), evaluationInfo={"segmentation": True})
        before = (await lone.job(job_id))["computeGatewayJobId"]["pushJob"]
        await eventually(lambda: counted(worker) >= 10)
        assert (await lone.job(job_id))["status"] == "NEW"
        await lone.edit("adult", "age > 50")
        assert (await lone.ended(before))["status"] == "FAILED"
        job = await lone.ended(job_id)
    assert job["status"] == "FAILED"
    assert job["errors"][0]["code"] == "evaluation-failed"


async def test_two_tenants_export_their_own(lone):
    other = ExportWorld(lone.bootstrap, lone.redis_url, names=lone.names, partitions=1)
    other.tenant = Tenant(lone.tenant.org_id, "dev")
    async with lone.working():
        await slow(lone, 10)
        theirs = {"sandboxName": "dev", "attributes": {"age": 50}}
        await lone.send(*[(f"d-{n}", {**theirs, "profileId": f"d-{n}"}) for n in range(4)])
        await eventually(lambda: is_applied(lone, 14))
        mine = await lone.export()
        # Without any definition of their own.
        foreign = await other.export()
        assert (await lone.ended(mine))["status"] == "SUCCEEDED"
        assert (await other.ended(foreign))["status"] == "SUCCEEDED"
    records = [json.loads(one.value) for one in await lone.read(lone.topics.exports)]
    await other.close()
    found = {
        sandbox: sorted(
            one["profileId"]
            for one in records
            if one["sandboxName"] == sandbox and one["type"] == "profile"
        )
        for sandbox in ("prod", "dev")
    }
    assert found == {"prod": sorted(names(10)), "dev": [f"d-{n}" for n in range(4)]}
