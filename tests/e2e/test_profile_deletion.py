"""A profile made, read and deleted over HTTP alone, with the worker and the API as processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.adapters.redis.keys import PartitionKeys
from app.domain.model import ProfileKey
from app.engine.state_codec import decode
from tests.e2e.stage import Stage, running_stage, wall_ms
from tests.integration.stream.harness import eventually
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(180)]

SECRET = "correct-horse-battery"
PATH = f"/profiles/{SECRET}-id"
NAME = f"{SECRET}-id"
BOUGHT = 'xEvent[eventType = "buy" and timestamp occurs <= 5 days before now].count() >= 1'
ENTITIES = "/data/core/ups/access/entities"


async def shown(stage: Stage) -> dict[str, Any]:
    answer = await stage.client.get(PATH)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def contents(stage: Stage, key: bytes) -> bytes:
    """Return the name and all bytes of a key."""
    redis: Any = stage.bus.redis
    kind = (await redis.type(key)).decode()
    if kind == "hash":
        found = await redis.hgetall(key)
    elif kind == "zset":
        found = await redis.zrange(key, 0, -1, withscores=True)
    else:
        found = await redis.get(key) if kind == "string" else await redis.dump(key)
    return key + repr(found).encode()


async def keys_with(stage: Stage, text: str) -> set[str]:
    """Return the keys in which a text stands, or in whose name, without what comes before."""
    prefix = stage.bus.names.redis_key_prefix
    names = [name async for name in stage.bus.redis.scan_iter(f"{prefix}:*")]
    wanted = text.encode()
    return {
        name.decode().removeprefix(f"{prefix}:")
        for name in names
        if wanted in await contents(stage, name)
    }


async def test_a_profile_is_gone_everywhere_after_its_deletion(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        bought = await stage.define("bought", BOUGHT)
        city = await stage.define("city", f'city = "{SECRET}"')
        update = {"eventId": "u-1", "attributes": {"city": SECRET}}
        event = {"_id": "e-1", "eventType": "buy", "timestamp": wall_ms(), "note": SECRET}

        answer = await stage.client.post(f"{PATH}/updates", json=[update, {"event": event}])

        assert answer.status_code == 202, answer.text
        offsets = [one["offset"] for one in answer.json()["updates"]]
        entered = [await stage.change(NAME, one, 1) for one in (city, bought)]
        assert [one["cause"]["offset"] for one in entered] == offsets
        assert [one["cause"]["eventId"] for one in entered] == ["u-1", "e-1"]
        found = await shown(stage)
        assert (found["attributes"], found["eventCount"]) == ({"city": SECRET}, 1)
        assert found["events"][0]["note"] == SECRET
        assert {one["status"] for one in found["segmentMembership"]["ups"].values()} == {"realized"}
        query = {"schema.name": "_xdm.context.profile", "entityId": NAME}
        entity = (await stage.client.get(ENTITIES, params=query)).json()[NAME]["entity"]
        assert entity["city"] == SECRET
        # The same once more changes nothing.
        again = await stage.client.post(f"{PATH}/updates", json=update)
        assert again.status_code == 202
        tag = f"{{{stage.bus.partition(NAME)}}}"
        tenant = f"{stage.bus.names.org_id}/prod"
        own = {f"{tag}:{kind}:{tenant}/{NAME}" for kind in ("state", "events")}
        assert own | {f"{tag}:timers", f"{tag}:profiles:{tenant}"} <= await keys_with(stage, SECRET)

        answer = await stage.client.delete(PATH)

        assert answer.status_code == 202, answer.text
        left = [await stage.change(NAME, one, 2) for one in (city, bought)]
        for change in left:
            assert (change["status"], change["cause"]["kind"]) == ("exited", "profile-deleted")
            assert change["cause"]["offset"] == answer.json()["offset"]
        assert (await stage.client.get(PATH)).status_code == 404
        assert (await stage.client.get(ENTITIES, params=query)).status_code == 404
        assert (await stage.client.delete(PATH)).status_code == 404
        await check_redis(stage, {bought, city})
        await check_memberships(stage)
        await check_afterlife(stage, update, event, city)


async def check_redis(stage: Stage, segment_ids: set[str]) -> None:
    """See that nothing is left but the stub, and the exits until the next output."""
    bus = stage.bus
    tag = f"{{{bus.partition(NAME)}}}"
    member = f"{bus.tenant.org_id}/{bus.tenant.sandbox_name}/{NAME}"
    stub = {f"{tag}:state:{member}", f"{tag}:timers"}
    assert await keys_with(stage, NAME) == stub | {f"{tag}:outbox"}
    keys = PartitionKeys(bus.names.redis_key_prefix, bus.partition(NAME))
    packed = await bus.redis.get(keys.state(ProfileKey(bus.tenant, NAME)))
    assert isinstance(packed, bytes)
    state = decode(packed)
    assert SECRET.encode() not in packed
    assert (state.created, state.attributes_json, len(state.orders)) == (False, b"{}", 0)
    assert len(state.details) == len(segment_ids)
    # The timer is the end of the stub.
    due_ms = await bus.redis.zscore(keys.timers, member)
    assert due_ms == state.deleted_ms + 30 * 86_400_000
    # The next batch with output of the partition takes the outbox.
    names = (f"other-{number}" for number in range(1_000))
    other = next(name for name in names if bus.partition(name) == bus.partition(NAME))
    await stage.send(other, {"attributes": {"city": SECRET}})

    async def is_taken() -> bool:
        return await keys_with(stage, NAME) == stub

    await eventually(is_taken)


async def check_memberships(stage: Stage) -> None:
    records = await stage.bus.read(stage.bus.topics.memberships)
    ours = [record for record in records if record.key.decode().endswith(f"/prod/{NAME}")]
    assert ours[-1].value is None
    assert all(record.value is not None for record in ours[:-1])


async def check_afterlife(
    stage: Stage, update: dict[str, Any], event: dict[str, Any], city: str
) -> None:
    """See that what was applied before brings nothing back, and what is new begins anew."""
    for body in (update, {"event": {**event, "_id": "e-2"}}):
        assert (await stage.client.post(f"{PATH}/updates", json=body)).status_code == 202
    fresh = {"attributes": {"city": SECRET}, "eventId": "u-2"}
    assert (await stage.client.post(f"{PATH}/updates", json=fresh)).status_code == 202
    assert (await stage.change(NAME, city, 3))["cause"]["eventId"] == "u-2"
    found = await shown(stage)
    assert (found["attributes"], found["eventCount"]) == ({"city": SECRET}, 0)
