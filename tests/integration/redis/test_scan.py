"""The profiles of a partition, slice by slice, from the sorted set of their hashes."""

from __future__ import annotations

import pytest

from app.adapters.redis.connection import connect
from app.adapters.redis.keys import sample_hash
from app.adapters.redis.partition_store import RedisPartitionStore
from app.adapters.redis.profile_scan import RedisProfileScan
from app.domain.model import ProfileKey, Tenant

pytestmark = pytest.mark.redis

TENANT = Tenant("org", "prod")


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
async def redis(redis_server, request):
    client = connect(f"{redis_server.url}?protocol={request.param}")
    yield client
    await client.aclose()


@pytest.fixture
def store(redis, names):
    return RedisPartitionStore(redis, names.redis_key_prefix)


@pytest.fixture
def hashes(monkeypatch):
    """Hash of the ids, to be put in: hashes of equal value cannot be had otherwise."""
    found: dict[str, int] = {}
    monkeypatch.setattr("app.adapters.redis.profile_scan.sample_hash", found.__getitem__)
    return found


async def put(redis, store, hashes):
    await redis.zadd(store.keys(0).profiles(TENANT), hashes)


async def everything(store, limit):
    """Return the profiles of all slices, and the size of each slice."""
    found: list[str] = []
    sizes = []
    start: int | None = 0
    while start is not None:
        keys, start = await store.scan(0, TENANT, start, limit)
        found += [key.profile_id for key in keys]
        sizes.append(len(keys))
        assert len(sizes) < 1_000
    return found, sizes


async def test_slices_are_everything_once_in_the_order_of_the_hash(redis, store):
    hashes = {f"p-{number}": sample_hash(f"p-{number}") for number in range(100)}
    await put(redis, store, hashes)
    found, sizes = await everything(store, 16)
    assert found == sorted(hashes, key=lambda name: hashes[name])
    assert sizes == [16] * 6 + [4]


async def test_a_slice_that_ends_with_the_last_profile_is_the_last(redis, store, hashes):
    hashes |= {"a": 1, "b": 2}
    await put(redis, store, hashes)
    assert await everything(store, 2) == (["a", "b"], [2])
    hashes["c"] = (1 << 52) - 1
    await put(redis, store, hashes)
    assert await everything(store, 2) == (["a", "b", "c"], [2, 1])


async def test_each_is_returned_once_where_hashes_are_equal(redis, store, hashes):
    hashes |= {"a": 1, "b": 5, "c": 5, "d": 5, "e": 9}
    await put(redis, store, hashes)
    for limit in (1, 2, 3, 4):
        found, _ = await everything(store, limit)
        assert found == list("abcde")


async def test_without_profiles_there_is_one_empty_slice(redis, store):
    assert await store.scan(0, TENANT, 0, 10) == ([], None)


async def test_a_reader_of_states_goes_the_same_way(redis, store, names, hashes):
    hashes |= {"a": 1, "b": 5, "c": 5, "d": 5, "e": 9}
    await put(redis, store, hashes)
    for name in "abde":
        await redis.set(store.keys(0).state(ProfileKey(TENANT, name)), name)
    await redis.set(store.keys(0).events(ProfileKey(TENANT, "d")), "events")
    scan = RedisProfileScan(redis, names.redis_key_prefix)
    assert await scan.count(0, TENANT) == 5
    for limit in (1, 2, 3, 4, 9):
        found: list[tuple[str, bytes | None, bytes | None]] = []
        start: int | None = 0
        while start is not None:
            read = await scan.profiles(0, TENANT, start, limit, with_events=True)
            found += zip(read.ids, read.states, read.frames, strict=True)
            start = read.following
        assert [name for name, _, _ in found] == list("abcde")
        assert [state for _, state, _ in found] == [b"a", b"b", None, b"d", b"e"]
        assert [frames for _, _, frames in found] == [None, None, None, b"events", None]
