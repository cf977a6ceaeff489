"""What workers see of the definitions in Redis, and what they report."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from app.adapters.redis.connection import connect
from app.adapters.redis.definition_source import EMPTY_TAG
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.domain.definitions import (
    BACKFILLING,
    DRAFT,
    INACTIVE,
    OFF,
    PUBLISHED,
    REMOVING,
    BackfillProgress,
    DefinitionWrite,
    StoredDefinition,
)
from app.domain.errors import Unavailable
from app.domain.model import RemovedDefinition, Tenant
from app.service.definition_input import DefinitionInput
from app.service.definitions import Definitions
from tests.builders import stored_definition
from tests.services import LocalRedis, Names

pytestmark = pytest.mark.redis

TENANT = Tenant("org@AdobeOrg", "prod")
BASE = stored_definition(segment_id="s1", name="one", created_ms=1, updated_ms=1, version_ms=1)
TWO = replace(BASE, segment_id="s2", ordinal=1, name="two", uses=("s1",))


@pytest.fixture
def store(redis: Redis, names: Names) -> RedisDefinitionStore:
    return RedisDefinitionStore(redis, names.redis_key_prefix)


async def put(
    store: RedisDefinitionStore, new: StoredDefinition, previous: StoredDefinition | None = None
) -> str:
    assert await store.put(TENANT, await store.head(TENANT), DefinitionWrite(new, {}, previous))
    return await store.tag(TENANT)


async def state_of(store: RedisDefinitionStore, segment_id: str) -> str:
    return (await store.get(TENANT, [segment_id]))[segment_id].state


async def mark_live(store: RedisDefinitionStore, tag: str) -> int:
    """Report that the only partition has completed a tag."""
    return await store.report_backfill(TENANT, tag, 0, 1, 1.0)


async def test_a_tenant_without_definitions_is_empty(store: RedisDefinitionStore) -> None:
    loaded = await store.load(TENANT)
    assert (loaded.tag, loaded.definitions) == (EMPTY_TAG, ())
    assert await store.tags() == {}


async def test_the_tag_changes_only_with_what_workers_see(store: RedisDefinitionStore) -> None:
    first = await put(store, BASE)
    described = replace(BASE, description="new", updated_ms=2)
    assert await put(store, described, BASE) == first
    renamed = replace(described, name="other")
    assert await put(store, renamed, described) != first
    assert await store.tags() == {TENANT: await store.tag(TENANT)}
    assert (await store.load(TENANT)).definitions[0].name == "other"


async def test_an_outdated_head_writes_nothing(store: RedisDefinitionStore) -> None:
    head = await store.head(TENANT)
    await put(store, BASE)
    before = await store.load(TENANT)
    assert not await store.put(TENANT, head, DefinitionWrite(TWO, {}))
    assert not await store.remove(TENANT, head, BASE)
    assert await store.load(TENANT) == before
    assert await store.owner_of_name(TENANT, "two") is None
    assert list(await store.uses(TENANT)) == []


async def test_a_removed_definition_stays_known_until_profiles_were_migrated(
    store: RedisDefinitionStore,
) -> None:
    await put(store, BASE)
    before = await put(store, TWO)
    assert await store.remove(TENANT, await store.head(TENANT), TWO)
    loaded = await store.load(TENANT)
    assert loaded.removed == (RemovedDefinition("s2", 1, 1),)
    assert (await store.head(TENANT)).next_ordinal == 2
    await mark_live(store, before)
    assert (await store.load(TENANT)).removed == loaded.removed
    await mark_live(store, loaded.tag)
    assert (await store.load(TENANT)).removed == ()
    assert await store.ordinals(TENANT) == {0: "s1", 1: "s2"}


async def test_what_is_not_published_is_out_of_the_evaluated_set_with_its_ordinal(
    store: RedisDefinitionStore,
) -> None:
    draft = replace(BASE, lifecycle=DRAFT)
    assert await put(store, draft) == EMPTY_TAG
    assert await state_of(store, "s1") == OFF
    assert (await store.load(TENANT)).definitions == ()
    assert (await store.head(TENANT)).next_ordinal == 1
    assert await store.existing(TENANT, ["s1"]) == {"s1"}

    published = await put(store, BASE, draft)
    assert [one.ordinal for one in (await store.load(TENANT)).definitions] == [0]
    assert await state_of(store, "s1") == BACKFILLING

    inactive = replace(BASE, lifecycle=INACTIVE)
    off = await put(store, inactive, BASE)
    loaded = await store.load(TENANT)
    assert len({EMPTY_TAG, published, off}) == 3
    assert (loaded.tag, loaded.definitions) == (off, ())
    assert loaded.removed == (RemovedDefinition("s1", 0, 1, is_inactive=True),)
    assert await state_of(store, "s1") == REMOVING
    assert await store.segment_ids(TENANT) == {0: "s1"}

    edited = replace(inactive, version=2, expression="a = 2")
    assert await put(store, edited, inactive) == off
    assert await state_of(store, "s1") == REMOVING

    await put(store, replace(edited, lifecycle=PUBLISHED), edited)
    loaded = await store.load(TENANT)
    assert (len(loaded.definitions), loaded.removed) == (1, ())
    assert await state_of(store, "s1") == BACKFILLING


async def test_an_inactive_definition_is_kept_when_all_profiles_have_left(
    store: RedisDefinitionStore,
) -> None:
    on = await put(store, BASE)
    inactive = replace(BASE, lifecycle=INACTIVE)
    off = await put(store, inactive, BASE)
    await store.report_failures(TENANT, on, {"s1": "of a worker that was late"})
    await mark_live(store, on)
    assert await state_of(store, "s1") == REMOVING
    await mark_live(store, off)
    assert await state_of(store, "s1") == OFF
    assert (await store.load(TENANT)).removed[0].is_inactive
    assert await store.remove(TENANT, await store.head(TENANT), inactive)
    loaded = await store.load(TENANT)
    assert loaded.removed == (RemovedDefinition("s1", 0, 1),)
    await mark_live(store, loaded.tag)
    assert (await store.load(TENANT)).removed == ()


async def test_workers_never_hear_of_a_removed_draft(store: RedisDefinitionStore) -> None:
    tag = await put(store, BASE)
    draft = replace(TWO, uses=(), lifecycle=DRAFT)
    await put(store, draft)
    assert await store.remove(TENANT, await store.head(TENANT), draft)
    loaded = await store.load(TENANT)
    assert (loaded.tag, loaded.removed) == (tag, ())
    assert await store.owner_of_name(TENANT, "two") is None


async def test_a_definition_restored_as_inactive_can_take_its_members_out(
    store: RedisDefinitionStore,
) -> None:
    await put(store, replace(BASE, lifecycle=INACTIVE))
    assert (await store.load(TENANT)).removed == (RemovedDefinition("s1", 0, 1, is_inactive=True),)
    assert await state_of(store, "s1") == OFF


async def test_live_is_what_the_tag_contains(store: RedisDefinitionStore) -> None:
    first = await put(store, BASE)
    await put(store, TWO)
    assert await mark_live(store, first) == 1
    assert (await state_of(store, "s1"), await state_of(store, "s2")) == ("LIVE", "BACKFILLING")
    edited = replace(BASE, version=2, expression="a = 2")
    last = await put(store, edited, BASE)
    assert await mark_live(store, first) == 0
    assert await state_of(store, "s1") == "BACKFILLING"
    assert await mark_live(store, last) == 2


async def test_a_tag_of_lost_history_makes_nothing_live(store: RedisDefinitionStore) -> None:
    tag = await put(store, BASE)
    other = f"{tag.partition('-')[0]}-0123456789abcdef"
    assert await mark_live(store, other) == 0
    await store.report_failures(TENANT, other, {"s1": "no"})
    assert await state_of(store, "s1") == "BACKFILLING"


async def test_a_failure_has_a_reason_until_the_definition_is_edited(
    store: RedisDefinitionStore,
) -> None:
    tag = await put(store, BASE)
    await store.report_failures(TENANT, tag, {"s1": "too large", "unknown": "x"})
    failed = (await store.get(TENANT, ["s1"]))["s1"]
    assert (failed.state, failed.state_reason) == ("FAILED", "too large")
    assert await mark_live(store, tag) == 0
    await put(store, replace(failed, version=2, expression="a = 2"), failed)
    await store.report_failures(TENANT, tag, {"s1": "too late"})
    edited = (await store.get(TENANT, ["s1"]))["s1"]
    assert (edited.state, edited.state_reason) == ("BACKFILLING", "")


async def test_a_change_is_told_at_once(store: RedisDefinitionStore) -> None:
    changes = store.changed()
    told = asyncio.ensure_future(anext(changes))
    deadline = asyncio.get_running_loop().time() + 10
    previous: StoredDefinition | None = None
    while not told.done():  # the subscription takes a moment
        assert asyncio.get_running_loop().time() < deadline
        new = replace(BASE, version=(previous.version if previous else 0) + 1)
        await put(store, new, previous)
        previous = new
        await asyncio.wait([told], timeout=0.05)
    assert await told == TENANT
    await changes.aclose()


async def test_notifications_go_on_after_redis_was_away(
    own_redis: LocalRedis, names: Names
) -> None:
    redis = connect(own_redis.url)
    store = RedisDefinitionStore(redis, names.redis_key_prefix)
    await put(store, BASE)
    changes = store.changed()
    told = asyncio.ensure_future(anext(changes))
    await asyncio.wait([told], timeout=0.1)
    await asyncio.to_thread(own_redis.kill)
    with pytest.raises(Unavailable):
        await store.load(TENANT)
    await asyncio.to_thread(own_redis.start)
    deadline = asyncio.get_running_loop().time() + 20
    previous = BASE
    while not told.done():
        assert asyncio.get_running_loop().time() < deadline
        new = replace(previous, version=previous.version + 1)
        await put(store, new, previous)
        previous = new
        await asyncio.wait([told], timeout=0.1)
    assert await told == TENANT
    await changes.aclose()
    await redis.aclose()


async def test_a_page_of_many_reads_only_its_rows(store: RedisDefinitionStore) -> None:
    for number in range(30):
        await put(
            store,
            replace(
                BASE,
                segment_id=f"s{number:02}",
                ordinal=number,
                name=f"n{number}",
                created_ms=number // 3,
            ),
        )
    total, rows = await store.page(TENANT, 10, 5, newest_first=False)
    assert (total, [one.segment_id for one in rows]) == (30, [f"s{n}" for n in range(10, 15)])
    _, newest = await store.page(TENANT, 28, 5, newest_first=True)
    assert [one.segment_id for one in newest] == ["s01", "s00"]


async def test_a_write_whose_answer_was_lost_is_not_done_twice(
    store: RedisDefinitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = store.put, []

    async def answer_lost(*arguments: Any) -> bool:
        calls.append(await real(*arguments))
        return False  # what a repeated script answers after it was done

    monkeypatch.setattr(store, "put", answer_lost)
    definitions = Definitions(store, lambda: "s1")
    given = DefinitionInput(name="one", expression="a = 1", schema_name="_xdm.context.profile")
    written = await definitions.create(TENANT, given, 1)
    assert calls == [True]
    assert written.definition.ordinal == 0
    assert (await store.head(TENANT)).next_ordinal == 1


async def report(store: RedisDefinitionStore, tag: str, partition: int, share: float = 1.0) -> int:
    return await store.report_backfill(TENANT, tag, partition, 2, share)


async def progress_of(store: RedisDefinitionStore, segment_id: str) -> BackfillProgress | None:
    return (await store.get(TENANT, [segment_id]))[segment_id].progress


async def test_the_last_partition_makes_a_definition_live(store: RedisDefinitionStore) -> None:
    tag = await put(store, BASE)
    assert await progress_of(store, "s1") is None
    assert await report(store, tag, 0, 0.5) == 0
    assert await progress_of(store, "s1") == BackfillProgress(0, 2, 25)
    assert [await report(store, tag, 0), await report(store, tag, 0)] == [0, 0]
    assert await progress_of(store, "s1") == BackfillProgress(1, 2, 50)
    assert await state_of(store, "s1") == "BACKFILLING"
    assert [await report(store, tag, 1), await report(store, tag, 1)] == [1, 0]
    assert await state_of(store, "s1") == "LIVE"
    assert await progress_of(store, "s1") is None


async def test_partitions_may_complete_different_tags(store: RedisDefinitionStore) -> None:
    first = await put(store, BASE)
    assert await report(store, first, 0) == 0
    second = await put(store, TWO)
    assert await report(store, second, 0, 0.5) == 0  # what it has completed stays so
    assert await progress_of(store, "s2") == BackfillProgress(0, 2, 25)
    assert await report(store, second, 1) == 1
    assert (await state_of(store, "s1"), await state_of(store, "s2")) == ("LIVE", "BACKFILLING")
    assert await progress_of(store, "s2") == BackfillProgress(1, 2, 75)
    assert await report(store, second, 0) == 1
    assert await state_of(store, "s2") == "LIVE"


async def test_an_edit_meanwhile_is_not_live_with_what_came_before(
    store: RedisDefinitionStore,
) -> None:
    first = await put(store, BASE)
    await report(store, first, 0)
    edited = await put(store, replace(BASE, version=2, expression="a = 2"), BASE)
    assert await report(store, first, 1) == 0
    assert await state_of(store, "s1") == "BACKFILLING"
    assert await report(store, edited, 1) == 0
    assert await report(store, edited, 0) == 1


async def test_a_removed_definition_is_known_until_all_have_left_it(
    store: RedisDefinitionStore,
) -> None:
    await put(store, BASE)
    assert await store.remove(TENANT, await store.head(TENANT), BASE)
    gone = await store.tag(TENANT)
    await report(store, gone, 0)
    assert (await store.load(TENANT)).removed
    await report(store, gone, 1)
    assert (await store.load(TENANT)).removed == ()


async def test_an_inactive_definition_is_off_when_all_have_left_it(
    store: RedisDefinitionStore,
) -> None:
    await put(store, BASE)
    off = await put(store, replace(BASE, lifecycle=INACTIVE), BASE)
    assert await report(store, off, 0) == 0
    assert await state_of(store, "s1") == REMOVING
    assert await report(store, off, 1) == 1
    assert await state_of(store, "s1") == OFF
    assert (await store.load(TENANT)).removed == (RemovedDefinition("s1", 0, 1, is_inactive=True),)


async def test_a_draft_is_not_live_before_it_was_scanned_as_published(
    store: RedisDefinitionStore,
) -> None:
    draft = replace(BASE, lifecycle=DRAFT)
    await put(store, draft)
    before = await put(store, replace(TWO, uses=()))
    assert [await report(store, before, 0), await report(store, before, 1)] == [0, 1]
    published = await put(store, BASE, draft)
    assert await report(store, before, 1) == 0
    assert await progress_of(store, "s1") == BackfillProgress(0, 2, 0)
    assert [await report(store, published, 0), await report(store, published, 1)] == [0, 1]
    assert await state_of(store, "s1") == "LIVE"
