"""Changed definitions reach every profile without an update, once, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import pytest

from app.adapters.kafka.batches import StreamLimits
from app.adapters.kafka.slices import set_scanned
from app.adapters.kafka.work import Work
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.domain.definitions import DefinitionWrite
from app.domain.errors import Fenced
from app.domain.limits import EngineLimits
from app.engine.catalogue import compile_catalogue
from app.service.definition_input import DefinitionInput
from app.service.definitions import Definitions
from app.service.partition import PartitionEngine
from tests.builders import stored_definition
from tests.integration.stream.dying_owner import DyingOwner
from tests.integration.stream.harness import Bus, eventually, owned

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

ADULT = "age > 18"
BUYER = 'xEvent[eventType = "buy"].count() >= 1'
LATENCY_MS = 1_000


class World(Bus):
    """A bus with definitions."""

    def __post_init__(self):
        super().__post_init__()
        self.definitions = RedisDefinitionStore(self.redis, self.names.redis_key_prefix)
        self._ids: list[str] = []
        self.service = Definitions(self.definitions, lambda: self._ids.pop())

    def working(self, *, slice_size=256, **options):
        limits = StreamLimits(scan_profiles=slice_size)
        worker = self.worker(source=self.definitions, engine=PartitionEngine, stream=limits)
        return self.running(worker, **options)

    async def define(self, segment_id, text):
        self._ids.append(segment_id)
        await self.service.create(self.tenant, self.given(segment_id, text), 1_000)

    async def edit(self, segment_id, text):
        await self.service.overwrite(self.tenant, segment_id, self.given(segment_id, text), 2_000)

    async def remove(self, segment_id):
        await self.service.delete(self.tenant, segment_id)

    async def move(self, segment_id, lifecycle):
        def edit(previous):
            return replace(self.given(segment_id, previous.expression), lifecycle=lifecycle)

        written = await self.service.change(self.tenant, segment_id, edit, 3_000)
        return written.definition.state

    @staticmethod
    def given(segment_id, text):
        return DefinitionInput(segment_id, text, "_xdm.context.profile")

    async def state(self, segment_id):
        return (await self.definitions.get(self.tenant, [segment_id]))[segment_id].state

    async def is_live(self, segment_id):
        return await self.state(segment_id) == "LIVE"

    async def is_off(self, segment_id):
        return await self.state(segment_id) == "OFF"

    async def has_forgotten(self):
        """Tell whether workers have nobody to take out of anything any more."""
        return (await self.definitions.load(self.tenant)).removed == ()

    async def people(self, count, age=40):
        """Make profiles, and wait until they are stored."""
        await self.send(*[(name, {"attributes": {"age": age}}) for name in names(count)])

        async def stored():
            sizes = [
                await self.redis.zcard(self.store.keys(p).profiles(self.tenant))
                for p in range(self.partitions)
            ]
            return sum(sizes) == count

        await eventually(stored)

    async def stories(self):
        """Return by profile and segment every (sequence, status, cause), in order."""
        found: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
        for one in await self.changes():
            story = found.setdefault((one["profileId"], one["segmentId"]), [])
            story.append((one["sequence"], one["status"], one["cause"]["kind"]))
        return found

    async def tells(self, expected):
        """Check that these are all the stories: what is stored and live is told a moment later."""

        async def are_told():
            return await self.stories() == expected

        with suppress(AssertionError):
            await eventually(are_told)
        assert await self.stories() == expected


WORLD = World


def names(count):
    return [f"p-{number}" for number in range(count)]


def entered(kind="backfill"):
    return (1, "realized", kind)


LEFT = (2, "exited", "definition")
BACK = (3, "realized", "backfill")


def scanned(worker):
    return worker.metrics.scanned._value.get()


async def test_definitions_reach_profiles_that_nobody_touches(world):
    async with world.working():
        await world.people(40)
        await world.send(("p-0", {"event": {"_id": "e", "eventType": "buy"}}))
        await eventually(lambda: is_applied(world, 41))
        await world.define("adult", ADULT)
        assert await world.state("adult") == "BACKFILLING"
        await world.define("buyer", BUYER)
        await eventually(lambda: world.is_live("adult"))
        await eventually(lambda: world.is_live("buyer"))
        expected = {(name, "adult"): [entered()] for name in names(40)}
        expected["p-0", "buyer"] = [entered()]
        await world.tells(expected)

        await world.edit("adult", "age > 50")
        await world.edit("buyer", "age = 40")
        assert await world.state("adult") == "BACKFILLING"
        await eventually(lambda: world.is_live("adult"))
        await eventually(lambda: world.is_live("buyer"))
        for name in names(40):
            expected[name, "adult"] = [entered(), LEFT]
            expected.setdefault((name, "buyer"), [entered("definition")])
        await world.tells(expected)

        await world.remove("buyer")
        await eventually(world.has_forgotten)
        for name in names(40):
            expected[name, "buyer"].append(LEFT)
        await world.tells(expected)


async def is_applied(world, count):
    metas = [await world.meta(p) for p in range(world.partitions)]
    return sum(int(meta.get(f"offset:{world.topics.updates}", "0")) for meta in metas) == count


async def test_a_scan_writes_nothing_for_what_is_up_to_date(world):
    await world.define("adult", ADULT)
    async with world.working():
        await eventually(lambda: world.is_live("adult"))
        await world.people(20)
        await eventually(lambda: is_applied(world, 20))
        keys = [k async for k in world.redis.scan_iter(f"{world.names.redis_key_prefix}:*:state:*")]
        before = await world.redis.mget(keys)
        for partition in range(world.partitions):
            field = f"backfill:{world.tenant.org_id}/{world.tenant.sandbox_name}"
            await world.redis.hdel(world.store.keys(partition).meta, field)
    async with world.working() as worker:
        await eventually(lambda: scanned(worker) == 20)
        assert await world.redis.mget(keys) == before
    assert all(story == [entered("attribute")] for story in (await world.stories()).values())


async def test_partitions_without_profiles_complete_at_once(world):
    async with world.working() as worker:
        await world.define("adult", ADULT)
        await eventually(lambda: world.is_live("adult"))
        assert scanned(worker) == 0
        sequences = [int((await world.meta(p))["sequence"]) for p in range(world.partitions)]
        assert sequences == [1, 1]


async def test_live_only_when_every_partition_has_done_it(world):
    async with world.working():
        await world.people(10)
    await world.define("adult", ADULT)
    tag = await world.definitions.tag(world.tenant)
    await world.definitions.report_backfill(world.tenant, tag, 0, 2, 1.0)
    assert await world.state("adult") == "BACKFILLING"
    async with world.working():
        await eventually(lambda: world.is_live("adult"))


async def test_a_definition_that_cannot_be_compiled_stays_failed(world):
    broken = stored_definition(segment_id="broken", name="broken", expression="age >")
    head = await world.definitions.head(world.tenant)
    assert await world.definitions.put(world.tenant, head, DefinitionWrite(broken, {}))
    async with world.working():
        await world.define("adult", ADULT)
        await eventually(lambda: world.is_live("adult"))
        found = (await world.definitions.get(world.tenant, ["broken"]))["broken"]
    assert found.state == "FAILED"
    assert found.state_reason


async def test_a_newer_definition_starts_the_scan_over(lone):
    async with lone.working(slice_size=4) as worker:
        await lone.people(200)
        await lone.define("adult", ADULT)
        await eventually(lambda: scanned(worker) >= 20)
        await lone.define("forty", "age = 40")
        await eventually(lambda: lone.is_live("forty"))
        assert await lone.is_live("adult")
        assert scanned(worker) >= 220
    stories = await lone.stories()
    assert len(stories) == 400
    assert all(story == [entered()] for story in stories.values())


async def test_members_leave_an_audience_that_is_switched_off_and_come_back_with_it(world):
    async with world.working():
        await world.people(40)
        await world.define("adult", ADULT)
        await world.define("forty", "age = 40")
        await eventually(lambda: world.is_live("forty"))

        assert await world.move("adult", "inactive") == "REMOVING"
        await eventually(lambda: world.is_off("adult"))
        expected = {(name, "adult"): [entered(), LEFT] for name in names(40)}
        expected |= {(name, "forty"): [entered()] for name in names(40)}
        await world.tells(expected)
        # Known for as long as it is inactive, whatever is scanned meanwhile.
        await world.edit("forty", "age = 41")
        await eventually(lambda: world.is_live("forty"))
        (kept,) = (await world.definitions.load(world.tenant)).removed
        assert (kept.segment_id, kept.is_inactive) == ("adult", True)

        assert await world.move("adult", "published") == "BACKFILLING"
        await eventually(lambda: world.is_live("adult"))
        expected = {(name, "adult"): [entered(), LEFT, BACK] for name in names(40)}
        expected |= {(name, "forty"): [entered(), LEFT] for name in names(40)}
        await world.tells(expected)

        await world.move("adult", "inactive")
        await eventually(lambda: world.is_off("adult"))
        await world.remove("adult")
        await eventually(world.has_forgotten)
        for name in names(40):
            expected[name, "adult"].append((4, "exited", "definition"))
        await world.tells(expected)


async def test_an_audience_is_switched_off_and_on_while_no_worker_runs(world):
    """So the next one knows no catalogue from before, and counts the kept events anew."""
    async with world.working():
        await world.people(10)
        await world.send(("p-0", {"event": {"_id": "e", "eventType": "buy"}}))
        await eventually(lambda: is_applied(world, 11))
        await world.define("buyer", BUYER)
        await eventually(lambda: world.is_live("buyer"))
    await world.move("buyer", "inactive")
    async with world.working():
        await eventually(lambda: world.is_off("buyer"))
    assert await world.stories() == {("p-0", "buyer"): [entered(), LEFT]}
    await world.move("buyer", "published")
    async with world.working():
        await eventually(lambda: world.is_live("buyer"))
    assert await world.stories() == {("p-0", "buyer"): [entered(), LEFT, BACK]}


async def test_who_had_not_left_when_an_audience_came_back_stays_without_a_change(lone):
    async with lone.working():
        await lone.people(50)
        await lone.define("adult", ADULT)
        await eventually(lambda: lone.is_live("adult"))
    await lone.move("adult", "inactive")
    owner = await ScanningOwner(lone, 0).begin()
    await owner.publish(await owner.look(20))
    await owner.die()
    assert await lone.state("adult") == "REMOVING"
    await lone.move("adult", "published")
    async with lone.working():
        await eventually(lambda: lone.is_live("adult"))
    stories = list((await lone.stories()).values())
    assert stories.count([entered(), LEFT, BACK]) == 20
    assert stories.count([entered()]) == 30


class ScanningOwner(DyingOwner):
    """Looks at slices step by step, until it dies."""

    async def begin(self):
        await self.acquire()
        definitions = await self.bus.definitions.load(self.bus.tenant)
        self.owner.engine = PartitionEngine(EngineLimits())
        self.owner.set_catalogue(
            self.bus.tenant, compile_catalogue(definitions, EngineLimits(), None)
        )
        return self

    async def look(self, limit):
        """Commit one slice; return what it has to publish."""
        owner, store, engine = self.owner, self.bus.store, self.owner.engine
        work = Work(owner.offset)
        work.scan = owner.backfill.next(limit, owner.suspicion.profiles)
        assert work.scan is not None
        keys, following = await store.scan(0, work.scan.tenant, work.scan.start, limit)
        set_scanned(owner, work, keys, following)
        states = await store.states({0: engine.missing_states(keys)})
        engine.provide_states(states[0])
        work.scanned = engine.outdated(work.scanned)
        assert not engine.missing_events(work.scanned)
        outcome = engine.apply([], [], owner.clock_ms, owner.clock_ms, work.scanned)
        commit, outbox = owner.finish(work, outcome)
        (answer,) = await store.commit([commit])
        if isinstance(answer, Fenced):
            raise answer
        return outbox


async def halfway(lone, *, is_last_published):
    """Leave 50 profiles of which an owner looked at 20 before it died."""
    async with lone.working():
        await lone.people(50)
        await eventually(lambda: is_applied(lone, 50))
    await lone.define("adult", ADULT)
    owner = await ScanningOwner(lone, 0).begin()
    await owner.publish(await owner.look(10))
    outbox = await owner.look(10)
    if is_last_published:
        await owner.publish(outbox)
    return owner


@pytest.mark.parametrize("is_last_published", [True, False])
async def test_a_new_owner_goes_on_from_the_cursor(lone, is_last_published):
    owner = await halfway(lone, is_last_published=is_last_published)
    await owner.die()
    assert await lone.state("adult") == "BACKFILLING"

    async with lone.working() as worker:
        await eventually(lambda: lone.is_live("adult"))
        assert scanned(worker) == 30
    assert await lone.stories() == {(name, "adult"): [entered()] for name in names(50)}


async def test_a_fenced_owner_writes_no_slice(lone):
    zombie = await halfway(lone, is_last_published=True)
    async with lone.working():
        with pytest.raises(Fenced):
            await zombie.look(10)
        await eventually(lambda: lone.is_live("adult"))
    await zombie.die()
    assert await lone.stories() == {(name, "adult"): [entered()] for name in names(50)}


async def test_slices_that_redis_lost_are_not_told_twice(lone):
    async with lone.working():
        await lone.people(50)
        await eventually(lambda: is_applied(lone, 50))
    await lone.define("adult", ADULT)
    owner = await ScanningOwner(lone, 0).begin()
    await owner.publish(await owner.look(10))
    prefix = lone.names.redis_key_prefix
    keys = [key async for key in lone.redis.scan_iter(f"{prefix}:*")]
    copy = {key: await lone.redis.dump(key) for key in keys}
    for _ in range(2):
        await owner.publish(await owner.look(10))
    await owner.die()
    for key, value in copy.items():
        await lone.redis.restore(key, 0, value, replace=True)

    async with lone.working() as worker:
        await eventually(lambda: lone.is_live("adult"))
        assert worker.metrics.recoveries.labels("replay")._value.get() == 1
        assert scanned(worker) == 40
    assert await lone.stories() == {(name, "adult"): [entered()] for name in names(50)}


async def test_a_worker_fenced_in_a_scan_takes_over_again(lone):
    async with lone.working(slice_size=4) as worker:
        await lone.people(200)
        await lone.define("adult", ADULT)
        await eventually(lambda: scanned(worker) >= 20)
        await lone.store.claim(0, 1, 0, may_begin=False)
        await eventually(lambda: lone.is_live("adult"), 30)
        assert worker.metrics.fenced.labels("redis")._value.get() == 1
        assert 200 <= scanned(worker) <= 212
    assert await lone.stories() == {(name, "adult"): [entered()] for name in names(200)}


async def test_a_completion_that_was_not_told_is_told_by_the_next_owner(lone):
    async with lone.working():
        await lone.people(5)
        await eventually(lambda: is_applied(lone, 5))
    await lone.define("adult", ADULT)
    owner = await ScanningOwner(lone, 0).begin()
    await owner.publish(await owner.look(10))
    await owner.die()
    async with lone.working() as worker:
        await eventually(lambda: lone.is_live("adult"))
        assert scanned(worker) == 0


async def test_live_updates_go_on_during_a_scan(lone):
    """Updates of profiles not yet looked at, of others that were, and of new ones."""
    async with lone.working(slice_size=4) as worker:
        await lone.people(300)
        await lone.define("adult", ADULT)
        await lone.define("eighty", "age > 80")
        await eventually(lambda: scanned(worker) >= 8)
        sent = 0
        while not await lone.is_live("eighty"):
            ages = (20, 90) if sent % 2 else (90, 20)
            await lone.send(
                (f"p-{sent % 300}", {"attributes": {"age": ages[0]}}),
                (f"p-{299 - sent % 300}", {"attributes": {"age": ages[1]}}),
                (f"new-{sent}", {"attributes": {"age": 90}}),
            )
            sent += 1
            assert sent < 1_000, "the scan never ends"
        await eventually(lambda: is_applied(lone, 300 + 3 * sent))
        assert sent > 5, "the scan was over too soon: the test shows nothing"
    stories = await lone.stories()
    for story in stories.values():
        assert [one[0] for one in story] == list(range(1, len(story) + 1))
        assert [one[1] for one in story] == (["realized", "exited"] * len(story))[: len(story)]
    for name in [*names(300), *(f"new-{number}" for number in range(sent))]:
        assert stories[name, "adult"][-1][1] == "realized"
    for number in range(sent):
        assert stories[f"new-{number}", "eighty"] == [entered("attribute")]
    delays = await change_delays(lone)
    assert len(delays) >= 2 * sent
    assert max(delays) < LATENCY_MS


async def change_delays(lone):
    """Return the milliseconds from each update to the changes that it caused."""
    updates = {r.offset: r.timestamp for r in await lone.read(lone.topics.updates)}
    changes = await lone.read(lone.topics.changes)
    return [
        record.timestamp - updates[cause["offset"]]
        for record in changes
        if (cause := json.loads(record.value)["cause"])["kind"] in ("attribute", "event")
    ]


async def test_a_profile_that_breaks_the_engine_is_left_out_alone(lone):
    async with lone.working():
        await lone.people(20)
        await eventually(lambda: is_applied(lone, 20))
    (state,) = [
        k async for k in lone.redis.scan_iter(f"{lone.names.redis_key_prefix}:*:state:*/p-7")
    ]
    await lone.redis.set(state, b"\x07")
    await lone.define("adult", ADULT)
    async with lone.working():
        await eventually(lambda: lone.is_live("adult"), 60)
    others = [name for name in names(20) if name != "p-7"]
    assert await lone.stories() == {(name, "adult"): [entered()] for name in others}


async def test_an_owner_looks_for_definitions_before_its_first_batch(lone, monkeypatch):
    """Whoever owned the partition before may have evaluated under the newest."""

    async def silence():
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr("app.adapters.kafka.catalogues.CHECK_INTERVAL_S", 600.0)
    monkeypatch.setattr(lone.definitions, "changed", silence)
    async with lone.working() as worker:
        await lone.people(5)
        await lone.define("adult", ADULT)
        await lone.store.claim(0, 1, 0, may_begin=False)
        await lone.send(("new", {"attributes": {"age": 40}}))
        await eventually(lambda: is_applied(lone, 6))
        assert worker.stream.owners[0].tags == {
            lone.tenant: await lone.definitions.tag(lone.tenant)
        }
        await eventually(lambda: lone.is_live("adult"))
    stories = await lone.stories()
    assert stories.pop(("new", "adult")) == [entered("attribute")]
    assert stories == {(name, "adult"): [entered()] for name in names(5)}


async def test_a_second_worker_takes_a_scan_over(world):
    async with world.working(slice_size=4) as first:
        await world.people(400)
        await world.define("adult", ADULT)
        await eventually(lambda: scanned(first) >= 20)
        async with world.working(slice_size=4, ready=()) as second:
            await eventually(lambda: owned(first) and owned(second), 30)
            await eventually(lambda: world.is_live("adult"), 30)
            assert scanned(first) + scanned(second) <= 400 + 8
    await asyncio.sleep(0)
    assert await world.stories() == {(name, "adult"): [entered()] for name in names(400)}
