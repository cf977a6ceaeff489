"""Previews over real profiles: each looked at once, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import orjson
import pytest

from app.adapters.kafka.preview_agent import PreviewOptions
from app.adapters.redis.preview_source import RedisPreviewSource
from app.adapters.redis.preview_store import RedisPreviewStore
from app.adapters.redis.profile_scan import RedisProfileScan
from app.domain.errors import NotFound
from app.domain.limits import EngineLimits
from app.domain.model import ProfileKey, Tenant
from app.domain.previews import PreviewLimits
from app.engine.history import read_frames
from app.engine.oracle import Event, Subject, matches
from app.engine.predicate import Predicate
from app.engine.state_codec import decode
from app.pql.checker import check
from app.pql.parser import parse
from app.service.expressions import ExpressionRules
from app.service.partition import PartitionEngine
from app.service.preview_document import estimate_document, preview_document
from app.service.previews import Previews, preview_id_of
from tests.integration.stream.harness import SESSION_MS, eventually, owned
from tests.integration.stream.test_backfill import ADULT, World, is_applied, names
from tests.integration.stream.test_jobs import identities

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

RETENTION_MS = EngineLimits().retention_ms


class PreviewWorld(World):
    """A world with previews."""

    def __post_init__(self):
        super().__post_init__()
        self.preview_store = RedisPreviewStore(self.redis, self.names.redis_key_prefix)
        self.previews = self.service_with(PreviewLimits())

    def service_with(self, limits):
        return Previews(
            self.preview_store,
            self.definitions,
            lambda: str(uuid.uuid4()),
            lambda: time.time_ns() // 1_000_000,
            ExpressionRules(RETENTION_MS),
            limits,
        )

    def sampling(self, sample, kept=10_000):
        return self.worker(
            source=self.definitions,
            engine=PartitionEngine,
            previews=PreviewOptions(sample, kept),
        )

    async def begin(self, text, *, service=None, **more):
        previews = service or self.previews
        preview = await previews.create(self.tenant, text, **{"is_stitched": False, **more})
        return preview_id_of(preview.task.query_id)

    async def estimate(self, preview_id):
        return estimate_document("", await self.previews.get(self.tenant, preview_id))

    async def ready(self, preview_id, timeout=30.0):
        async def is_ready():
            found = await self.estimate(preview_id)
            assert found["state"] != "FAILED", found
            return found if found["state"] == "RESULT_READY" else None

        return await eventually(is_ready, timeout)

    async def results(self, preview_id, limit=7):
        """Return all results by profile id, read page by page."""
        found: dict[str, Any] = {}
        offset = 0
        while True:
            page = await self.previews.page(self.tenant, preview_id, offset, limit)
            document = preview_document("", page, offset, limit)
            for result in document["results"]:
                assert not found.keys() & result.keys()
                found |= result
            if not document["links"]["next"]:
                return found
            offset += limit

    async def by_the_oracle(self, text, profile_ids, clock_ms, segment_ids=None):
        """Return which profiles the oracle finds in what is stored."""
        expr: Any = check(parse(text)).expr
        found = set()
        for profile_id in profile_ids:
            keys = self.store.keys(self.partition(profile_id))
            key = ProfileKey(self.tenant, profile_id)
            packed: Any = await self.redis.get(keys.state(key))
            if packed is None or not (state := decode(packed)).created:
                continue
            frames: Any = await self.redis.get(keys.events(key)) or b""
            events = [
                Event(one.at_ms, one.order, one.body) for one in read_frames(frames, state.orders)
            ]
            members = int.from_bytes(state.members, "little")
            member_of = {name for name, at in (segment_ids or {}).items() if members >> at & 1}
            attributes = orjson.loads(state.attributes_json)
            if matches(expr, Subject(attributes, events, member_of, clock_ms)):
                found.add(profile_id)
        return found


WORLD = PreviewWorld


def looked_at(worker):
    return worker.metrics.previewed._value.get()


def slowed(monkeypatch, count=8, seconds=0.02):
    """Let a slice have few profiles, and take its time."""
    monkeypatch.setattr("app.adapters.kafka.preview_agent._MOST", count)
    monkeypatch.setattr("app.adapters.kafka.preview_agent._LEAST", count)
    holds = Predicate.holds

    def slow(self, packed, frames, now_ms):
        time.sleep(seconds / count)
        return holds(self, packed, frames, now_ms)

    monkeypatch.setattr(Predicate, "holds", slow)


async def test_an_exact_preview_finds_what_the_oracle_finds(world):
    ages = {name: number for number, name in enumerate(names(60))}
    async with world.working() as worker:
        await world.send(
            *[
                (name, {"attributes": {"age": age}, "identityMap": identities(age)})
                for name, age in ages.items()
            ]
        )
        await world.send(*[(n, {"event": {"_id": n, "eventType": "buy"}}) for n in names(25)])
        await world.define("adult", ADULT)
        await eventually(lambda: is_applied(world, 85))
        await eventually(lambda: world.is_live("adult"))
        await world.send(*[(f"p-{n}", None) for n in range(55, 60)])
        await eventually(lambda: is_applied(world, 90))
        ordinal = (await world.definitions.get(world.tenant, ["adult"]))["adult"].ordinal
        texts = (
            "age < 30 and age.isNotNull()",
            'inSegment("adult") and age < 40',
            'xEvent[eventType = "buy" and timestamp occurs < 1 days before now].count() >= 1'
            ' and inSegment("adult")',
            'chain(xEvent, timestamp, [A: WHAT(eventType = "buy")])',
            "age > 1000",
        )
        for text in texts:
            preview_id = await world.begin(text, is_stitched=True)
            estimate = await world.ready(preview_id)
            now = time.time_ns() // 1_000_000
            expected = await world.by_the_oracle(text, ages, now, {"adult": ordinal})
            found = await world.results(preview_id)
            assert set(found) == expected, text
            counts = {
                "crmid": len(expected),
                "email": len([name for name in expected if ages[name] % 3 == 0]),
            }
            assert estimate == {
                "estimatedSize": len(expected),
                "numRowsToRead": 55,
                "totalRows": 55,
                "profilesReadSoFar": 55,
                "profilesMatchedSoFar": len(expected),
                "profilesSkipped": 0,
                "estimatedNamespaceDistribution": [
                    {"namespaceId": name, "profilesMatchedSoFar": count}
                    for name, count in counts.items()
                    if count
                ],
                "state": "RESULT_READY",
                "standardError": 0,
                "error": {"description": "", "traceback": ""},
                "confidenceInterval": "95%",
                "confidenceLimits": {"lower": len(expected), "upper": len(expected)},
                "_links": estimate["_links"],
            }
            for name, result in found.items():
                number = ages[name]
                related = {f"c-{number}"}
                if number % 3 == 0:
                    related |= {f"{number}@example.com", f"{number}@example.org"}
                assert set(result["endCustomerIds"]) == related
        await eventually(lambda: looked_at(worker) == 55 * len(texts))
        opt_out = {"optOutType": "general_opt_out", "optOutValue": "out"}
        await world.send(("p-3", {"attributes": {"privacyOptOuts": [opt_out]}}))
        await eventually(lambda: is_applied(world, 91))
        for leaves_out, expected in ((True, {"p-4"}), (False, {"p-3", "p-4"})):
            preview_id = await world.begin("age in [3, 4]", excludes_opt_out=leaves_out)
            assert (await world.ready(preview_id))["estimatedSize"] == len(expected)
            assert set(await world.results(preview_id)) == expected
    changes = len(await world.changes())
    assert changes == 41 + 5, "a preview changed memberships"


def read_so_far(estimate):
    return estimate["profilesReadSoFar"]


async def test_an_estimate_from_a_sample_has_the_truth_in_its_interval(world):
    async with world.running(world.sampling(100, kept=20)):
        nobody = await world.ready(await world.begin(ADULT))
        assert (nobody["estimatedSize"], nobody["totalRows"]) == (0, 0)
        assert nobody["confidenceLimits"] == {"lower": 0, "upper": 0}
        await world.send(*[(name, {"attributes": {"age": n}}) for n, name in enumerate(names(600))])
        await eventually(lambda: is_applied(world, 600))
        preview_id = await world.begin("age < 240")
        estimate = await world.ready(preview_id)
        results = await world.results(preview_id)
    assert (estimate["totalRows"], estimate["numRowsToRead"]) == (600, 200)
    assert read_so_far(estimate) == 200
    # The sample is the same in every run: it hangs on the names alone.
    limits = estimate["confidenceLimits"]
    assert limits["lower"] <= 240 <= limits["upper"]
    assert limits["lower"] < estimate["estimatedSize"] < limits["upper"]
    assert 10 < estimate["standardError"] < 25
    # Of each partition those with the smallest hashes were kept.
    assert len(results) == 40 < estimate["profilesMatchedSoFar"]
    assert all(int(name.removeprefix("p-")) < 240 for name in results)


async def under_way(world, worker, preview_id, least=20):
    """Wait until some of a preview was noted, and not all."""

    async def is_under_way():
        return read_so_far(await world.estimate(preview_id)) >= least

    await eventually(is_under_way)
    estimate = await world.estimate(preview_id)
    assert estimate["state"] == "RUNNING"
    return estimate


async def test_another_worker_goes_on_and_nobody_is_counted_twice(world, monkeypatch):
    slowed(monkeypatch)
    async with world.working() as first:
        await world.people(400)
        preview_id = await world.begin(ADULT)
        before = await under_way(world, first, preview_id)
        assert before["estimatedSize"] == 400
        # It vanishes in the middle of a slice, and tells nobody.
        first._previews._parts.source.report = _never
    noted = read_so_far(await world.estimate(preview_id))
    assert 20 <= noted < 400
    async with world.working() as second:
        estimate = await world.ready(preview_id)
        # The worker counts once it has its answer, a moment after the preview is ready.
        await eventually(lambda: looked_at(second) >= 400 - noted)
        assert looked_at(second) == 400 - noted, "it began anew"
    assert (read_so_far(estimate), estimate["estimatedSize"]) == (400, 400)
    assert len(await world.results(preview_id)) == 400


async def _never(*_):
    raise AssertionError("a worker that is dead reports nothing")


async def test_a_partition_handed_over_meanwhile_is_counted_once(world, monkeypatch):
    monkeypatch.setattr("app.adapters.kafka.preview_agent._MOST", 16)
    is_held, slices, read = [True], [], RedisProfileScan.profiles

    async def held(self, *arguments, **options):
        slices.append(arguments)
        while is_held[0] and len(slices) > 5:
            await asyncio.sleep(0.05)
        return await read(self, *arguments, **options)

    async with world.working() as first:
        await world.people(400)
        monkeypatch.setattr(RedisProfileScan, "profiles", held)
        preview_id = await world.begin(ADULT)
        await under_way(world, first, preview_id)
        second = world.worker(
            source=world.definitions, engine=PartitionEngine, session_timeout_ms=SESSION_MS
        )
        async with world.running(second, ready=()):
            await eventually(lambda: len(owned(first)) == len(owned(second)) == 1)
            assert (await world.estimate(preview_id))["state"] == "RUNNING"
            is_held[0] = False
            estimate = await world.ready(preview_id)
            await eventually(lambda: looked_at(first) + looked_at(second) >= 400)
        assert looked_at(second) > 0
    assert (read_so_far(estimate), estimate["totalRows"]) == (400, 400)
    assert len(await world.results(preview_id)) == 400


async def test_what_was_noted_by_another_is_not_noted_again(lone, monkeypatch):
    slowed(monkeypatch)
    source = RedisPreviewSource(lone.redis, lone.names.redis_key_prefix, 1)
    async with lone.working() as worker:
        await lone.people(100)
        preview_id = await lone.begin(ADULT)
        await under_way(lone, worker, preview_id)
        query_id = (await lone.previews.get(lone.tenant, preview_id)).task.query_id
        stored: Any = await source.share(lone.tenant, query_id, 0)
        late = stored.copy()
        late.read, late.cursor = 99_999, None

        async def has_moved():
            share: Any = await source.share(lone.tenant, query_id, 0)
            return share.cursor != stored.cursor

        await eventually(has_moved)
        said = await source.report(lone.tenant, query_id, 0, stored, late, [])
        assert said == "stale"
        assert read_so_far(await lone.ready(preview_id)) == 100
        assert await source.report(lone.tenant, query_id, 0, stored, late, []) == "gone"


async def preview_keys(world):
    prefix = world.names.redis_key_prefix
    keys = [key async for key in world.redis.scan_iter(f"{prefix}*preview*")]
    return [key for key in keys if not key.endswith(b":preview-tenants")]


async def test_deleting_cancels_within_a_slice_and_removes_every_key(lone, monkeypatch):
    slowed(monkeypatch)
    async with lone.working() as worker:
        await lone.people(400)
        preview_id = await lone.begin(ADULT)
        await under_way(lone, worker, preview_id)
        await lone.previews.delete(lone.tenant, preview_id)
        assert await preview_keys(lone) == []
        seen = looked_at(worker)
        with pytest.raises(NotFound):
            await lone.estimate(preview_id)
        following = await lone.begin("age > 100")
        await lone.ready(following)
        # The next one's profiles, and at most a slice of the one that was deleted.
        assert looked_at(worker) <= seen + 8 + 400
        await lone.previews.delete(lone.tenant, following)
        assert await preview_keys(lone) == []
        with pytest.raises(NotFound):
            await lone.previews.delete(lone.tenant, following)


async def test_a_preview_expires_ready_or_not(lone):
    brief = lone.service_with(PreviewLimits(kept_ms=1_500))
    async with lone.working():
        await lone.people(20)
        ready = await lone.begin(ADULT, service=brief)
        await lone.ready(ready)
        assert len(await lone.results(ready)) == 20
    waiting = await lone.begin(ADULT, service=brief)

    async def are_gone():
        return not [key for key in await preview_keys(lone) if b"preview:" in key]

    await eventually(are_gone)
    assert not [key for key in await preview_keys(lone) if b"preview-matches" in key]
    for preview_id in (ready, waiting):
        with pytest.raises(NotFound):
            await lone.estimate(preview_id)
    async with lone.working() as worker:
        # What expired unfinished is nobody's work any more.
        await lone.ready(await lone.begin("age > 100"))
        await eventually(lambda: looked_at(worker) == 20)


async def test_tenants_see_their_own_and_take_turns(lone, monkeypatch):
    slowed(monkeypatch)
    other = PreviewWorld(lone.bootstrap, lone.redis_url, names=lone.names, partitions=1)
    other.tenant = Tenant(lone.tenant.org_id, "dev")
    async with lone.working() as worker:
        await lone.people(400)
        theirs = {"sandboxName": "dev", "attributes": {"age": 50}}
        await lone.send(*[(f"d-{n}", {**theirs, "profileId": f"d-{n}"}) for n in range(24)])
        await eventually(lambda: is_applied(lone, 424))
        mine = [await lone.begin(ADULT), await lone.begin(ADULT)]
        await under_way(lone, worker, mine[0])
        foreign = await other.begin(ADULT)
        estimate = await other.ready(foreign)
        # It came last, and did not wait for the others.
        states = [(await lone.estimate(one))["state"] for one in mine]
        assert states == ["RUNNING", "RUNNING"]
        assert estimate["estimatedSize"] == 24
        assert set(await other.results(foreign)) == {f"d-{n}" for n in range(24)}
        for preview_id in mine:
            with pytest.raises(NotFound):
                await other.estimate(preview_id)
            with pytest.raises(NotFound):
                await other.previews.delete(other.tenant, preview_id)
            assert (await lone.ready(preview_id))["estimatedSize"] == 400
    await other.close()


async def test_live_updates_go_on_during_a_preview(lone, monkeypatch):
    slowed(monkeypatch, 8, 0.05)
    async with lone.working() as worker:
        await lone.people(400)
        preview_id = await lone.begin(ADULT)
        await under_way(lone, worker, preview_id)
        await lone.send(*[(name, {"attributes": {"age": 41}}) for name in names(100)])
        await eventually(lambda: is_applied(lone, 500))
        assert (await lone.estimate(preview_id))["state"] == "RUNNING"
        await lone.previews.delete(lone.tenant, preview_id)


async def test_a_profile_that_cannot_be_evaluated_is_skipped_and_said(lone):
    async with lone.working():
        await lone.people(30)
        keys = lone.store.keys(0)
        await lone.redis.set(keys.state(ProfileKey(lone.tenant, "p-7")), b"\x09 of the future")
        preview_id = await lone.begin(ADULT)
        estimate = await lone.ready(preview_id)
    assert (estimate["profilesSkipped"], read_so_far(estimate)) == (1, 29)
    assert estimate["error"]["description"].startswith("1 profiles could not be evaluated")
    assert (estimate["totalRows"], estimate["estimatedSize"]) == (30, 30)
    assert "p-7" not in await lone.results(preview_id)
