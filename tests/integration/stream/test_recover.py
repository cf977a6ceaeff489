"""`segmentation recover`: Redis is empty, Kafka is not."""

from __future__ import annotations

import pytest

from app.adapters.kafka.publisher import transactional_publisher
from app.adapters.kafka.recover import RecoverParts, recover
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.domain.errors import ConfigurationError
from app.engine.state_codec import decode
from app.service.definition_input import DefinitionInput
from app.service.definitions import Definitions
from app.service.partition import PartitionEngine
from tests.integration.stream.dying_owner import DyingOwner
from tests.integration.stream.harness import Bus, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

OSLO = 'city = "Oslo"'
BUYERS = 'xEvent[eventType = "buy"].count() >= 1'


class World(Bus):
    """A bus with two definitions, and what a recovery needs."""

    def __post_init__(self):
        super().__post_init__()
        self.definitions_topic = f"{self.names.topic_prefix}definitions"
        self.definition_store = RedisDefinitionStore(self.redis, self.names.redis_key_prefix)

    @property
    def all_topics(self):
        return [*super().all_topics, f"{self.names.topic_prefix}definitions"]

    async def define(self):
        """Make the definitions, and publish them as the relay does."""
        ids = iter(["oslo", "buyers"])
        definitions = Definitions(self.definition_store, lambda: next(ids))
        for name, text in (("Oslo", OSLO), ("Buyers", BUYERS)):
            given = DefinitionInput(name, text, "_xdm.context.profile")
            await definitions.create(self.tenant, given, 1_000)
        rows = await self.redis.xrange(self.definition_store._keys.outbox(self.tenant))
        assert rows
        async with self.producer() as producer:
            for _, row in rows:
                assert isinstance(row, dict)
                await producer.send_and_wait(
                    self.definitions_topic, row[b"value"], key=row[b"key"], partition=0
                )

    def working(self):
        worker = self.worker(source=self.definition_store, engine=PartitionEngine)
        return self.running(worker)

    async def recover(self, *, from_beginning=False):
        parts = RecoverParts(
            self.positions,
            self.store,
            self.definition_store,
            self.topics,
            self.definitions_topic,
            self.partitions,
            lambda at: transactional_publisher(self.client, self.names.application_id, at),
        )
        return await recover(parts, from_beginning=from_beginning)

    async def lose_redis(self):
        await eventually(self.is_without_workers)
        async for key in self.redis.scan_iter(f"{self.names.redis_key_prefix}:*"):
            await self.redis.delete(key)

    async def is_without_workers(self):
        return await self.positions.group_members() == 0

    async def published(self):
        """Return every change by its id; ids that repeat fail."""
        changes = await self.changes()
        found = {change["changeId"]: change for change in changes}
        assert len(found) == len(changes)
        return found

    async def story(self, profile_id, segment_id):
        """Return (sequence, previous status, status) of every change, in order."""
        return [
            (one["sequence"], one["previousStatus"], one["status"])
            for one in await self.changes()
            if (one["profileId"], one["segmentId"]) == (profile_id, segment_id)
        ]

    async def is_at_end(self):
        """Whether every update was applied and its output published."""
        for partition in range(self.partitions):
            at = (self.topics.updates, partition)
            bound = (await self.positions.bounds([at]))[at]
            meta = await self.meta(partition)
            group = await self.positions.group(*at)
            stored = int(meta.get(f"offset:{self.topics.updates}", "0"))
            if stored < bound.stop or (group.offset or 0) < bound.stop:
                return False
        return True


@pytest.fixture
async def world(kafka, redis_server):
    world = World(kafka.bootstrap, redis_server.url, partitions=2)
    await world.create_topics()
    await world.define()
    yield world
    await world.close()


def living_in(city):
    return {"attributes": {"city": city}}


async def live(world):
    """Lead three profiles to: in Oslo; has bought; was in Oslo."""
    async with world.working():
        await world.send(
            ("p-1", living_in("Oslo")),
            ("p-2", {"event": {"_id": "e-1", "eventType": "buy"}}),
            ("p-3", living_in("Oslo")),
            ("p-3", living_in("Bergen")),
        )
        await world.changes(4)
        await eventually(world.is_at_end)
    return await world.published()


async def test_memberships_go_on_above_what_was_published(world):
    before = await live(world)
    await world.lose_redis()
    with pytest.raises(ConfigurationError, match="segmentation recover"):
        await DyingOwner(world, 0).acquire()

    report = await world.recover()

    assert report.definitions == {world.tenant: 2}
    assert sum(report.profiles.values()) == 3
    assert "no attributes" in report.lines()[-1]
    async with world.working():
        assert await world.published() == before  # nothing is said before an update comes
        await world.send(("p-3", living_in("Oslo")), ("p-2", living_in("Rome")))
        await eventually(world.is_at_end)
        assert await world.story("p-3", "oslo") == [
            (1, None, "realized"),
            (2, "realized", "exited"),
            (3, "exited", "realized"),
        ]
        assert await world.story("p-2", "buyers") == [
            (1, None, "realized"),
            (2, "realized", "exited"),
        ]
        assert await world.story("p-1", "oslo") == [(1, None, "realized")]
        await world.send(("p-1", living_in("Bergen")))
        await eventually(world.is_at_end)
        assert (await world.story("p-1", "oslo"))[1:] == [(2, "realized", "exited")]


async def test_a_replay_of_what_is_kept_publishes_only_differences(world):
    before = await live(world)
    await world.lose_redis()

    report = await world.recover(from_beginning=True)

    assert sum(report.profiles.values()) == 3
    assert "without publishing" in report.lines()[-1]
    async with world.working():
        await world.send(("p-1", living_in("Oslo")), ("p-2", living_in("Rome")))
        await eventually(world.is_at_end)
        assert await world.published() == before  # attributes and events are there again
        await world.send(("p-3", living_in("Oslo")), ("p-1", living_in("Rome")))
        await eventually(world.is_at_end)
        assert (await world.story("p-3", "oslo"))[2:] == [(3, "exited", "realized")]
        assert (await world.story("p-1", "oslo"))[1:] == [(2, "realized", "exited")]


async def test_definitions_come_back_as_they_were(world):
    await live(world)
    before = await world.definition_store.all(world.tenant)
    await world.lose_redis()

    await world.recover()

    after = await world.definition_store.all(world.tenant)
    assert [(one.segment_id, one.version, one.expression, one.name) for one in after] == [
        (one.segment_id, one.version, one.expression, one.name) for one in before
    ]


async def test_what_is_still_there_is_left_alone(world):
    await live(world)
    await eventually(world.is_without_workers)
    lost, kept = world.partition("p-3"), 1 - world.partition("p-3")
    async for key in world.redis.scan_iter(f"{world.store.keys(lost).meta[:-4]}*"):
        await world.redis.delete(key)
    before = await world.meta(kept)
    head = await world.definition_store.head(world.tenant)

    report = await world.recover()

    assert set(report.profiles) == {lost}
    assert report.definitions == {}
    assert await world.meta(kept) == before
    assert await world.definition_store.head(world.tenant) == head


async def test_a_deleted_profile_and_an_unknown_segment_are_left_out(world):
    await live(world)
    async with world.working():
        await world.send(("p-2", None))
        await eventually(world.is_at_end)
    await world.lose_redis()
    async with world.producer() as producer:
        await producer.send_and_wait(
            world.definitions_topic,
            value=None,
            key=f"{world.tenant.org_id}/prod/oslo".encode(),
            partition=0,
        )

    report = await world.recover()

    assert report.orphans == 2
    assert sum(report.profiles.values()) == 2
    keys = [key async for key in world.redis.scan_iter(f"{world.names.redis_key_prefix}:*:state:*")]
    assert sorted(key[-3:] for key in keys) == [b"p-1", b"p-3"]
    packed = [decode(value) for value in await world.redis.mget(keys)]
    assert all(not state.members and not len(state.details) for state in packed)


async def test_a_recovery_that_was_cut_off_is_repeated(world, monkeypatch):
    await live(world)
    await world.lose_redis()

    async def cut_off(*_):
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "begin_restored", cut_off)
        with pytest.raises(ConnectionError):
            await world.recover()
    with pytest.raises(ConfigurationError, match="segmentation recover"):
        await DyingOwner(world, 0).acquire()
    await world.recover()

    async with world.working():
        await world.send(("p-3", living_in("Oslo")))
        await eventually(world.is_at_end)
        assert (await world.story("p-3", "oslo"))[2:] == [(3, "exited", "realized")]


async def test_it_refuses_while_state_is_there_or_workers_are(world):
    await live(world)
    await eventually(world.is_without_workers)
    with pytest.raises(ConfigurationError, match="nothing to recover"):
        await world.recover()

    async with world.working():
        with pytest.raises(ConfigurationError, match="workers are running"):
            await world.recover()
