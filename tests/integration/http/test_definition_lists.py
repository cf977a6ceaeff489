"""Lists of all definitions are what Redis has, whichever process wrote it, and read it once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from app.adapters.redis.control_keys import ControlKeys
from app.adapters.redis.definition_lists import DefinitionLists
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.domain.definitions import (
    BACKFILLING,
    FAILED,
    INACTIVE,
    LIVE,
    REMOVING,
    DefinitionWrite,
    StoredDefinition,
)
from app.domain.model import Tenant
from tests.builders import stored_definition
from tests.services import Names

pytestmark = pytest.mark.redis

TENANT = Tenant("org@AdobeOrg", "prod")
ONE = stored_definition(segment_id="s1", name="one", created_ms=1, updated_ms=1, version_ms=1)
TWO = replace(ONE, segment_id="s2", ordinal=1, name="two", created_ms=2)


class Two:
    """Two API processes of one deployment: one that writes, one that only lists."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self.redis, self.prefix = redis, prefix
        self.writer, self.reader = (RedisDefinitionStore(redis, prefix) for _ in range(2))

    async def put(self, new: StoredDefinition, previous: StoredDefinition | None = None) -> str:
        head = await self.writer.head(TENANT)
        assert await self.writer.put(TENANT, head, DefinitionWrite(new, {}, previous))
        return await self.writer.tag(TENANT)

    async def listed(self) -> list[StoredDefinition]:
        """Return what the reader lists, which is what one that knows nothing does."""
        found = await self.reader.with_progress(TENANT, await self.reader.all(TENANT))
        fresh = RedisDefinitionStore(self.redis, self.prefix)
        assert found == await fresh.with_progress(TENANT, await fresh.all(TENANT))
        assert found == list((await self.writer.get(TENANT, ["s1", "s2"])).values())
        return found


@pytest.fixture
def two(redis: Redis, names: Names) -> Two:
    return Two(redis, names.redis_key_prefix)


async def test_a_list_follows_the_writes_of_another_process(two: Two) -> None:
    assert await two.reader.all(TENANT) == []
    await two.put(ONE)
    assert [one.name for one in await two.listed()] == ["one"]
    await two.put(TWO)
    assert [one.name for one in await two.listed()] == ["one", "two"]
    renamed = replace(ONE, name="uno", description="new")
    await two.put(renamed, ONE)
    assert [one.name for one in await two.listed()] == ["uno", "two"]
    assert await two.writer.remove(TENANT, await two.writer.head(TENANT), renamed)
    assert [one.name for one in await two.listed()] == ["two"]


async def test_a_list_follows_states_that_move_without_a_write(two: Two) -> None:
    await two.put(ONE)
    assert [one.state for one in await two.listed()] == [BACKFILLING]
    tag = await two.put(TWO)
    await two.writer.report_backfill(TENANT, tag, 0, 2, 0.5)
    first = (await two.listed())[0]
    assert first.progress is not None
    assert first.progress.percent == 25
    for partition in range(2):
        await two.writer.report_backfill(TENANT, tag, partition, 2, 1.0)
    assert [one.state for one in await two.listed()] == [LIVE, LIVE]
    await two.writer.report_failures(TENANT, tag, {"s2": "too much"})
    failed = (await two.listed())[1]
    assert (failed.state, failed.state_reason) == (FAILED, "too much")
    await two.put(replace(TWO, lifecycle=INACTIVE), TWO)
    assert [one.state for one in await two.listed()] == [LIVE, REMOVING]


async def test_only_what_changed_is_decoded_again(two: Two) -> None:
    tag = await two.put(ONE)
    tag = await two.put(TWO)
    await two.writer.report_backfill(TENANT, tag, 0, 1, 1.0)
    before = await two.reader.all(TENANT)
    assert all(a is b for a, b in zip(before, await two.reader.all(TENANT), strict=True))
    await two.put(replace(TWO, description="new"), TWO)
    after = await two.reader.all(TENANT)
    assert after[0] is before[0]
    assert after[1].description == "new"


async def test_what_is_kept_of_many_tenants_is_bounded(redis: Redis, names: Names) -> None:
    prefix = names.redis_key_prefix
    keys = ControlKeys(prefix)
    store, lists = RedisDefinitionStore(redis, prefix), DefinitionLists(redis, keys, most_kept=2)
    tenants = [Tenant("org@AdobeOrg", f"sandbox-{number}") for number in range(3)]
    shown = {}
    for tenant in tenants:
        for new in (ONE, TWO):
            assert await store.put(tenant, await store.head(tenant), DefinitionWrite(new, {}))
        shown[tenant] = await lists.all(tenant, keys.order(tenant))
    first = tenants[0]
    assert (await lists.all(first, keys.order(first))) == shown[first]
    assert lists.kept == 2
