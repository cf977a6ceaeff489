"""Profiles in Redis, as workers leave them there."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import orjson

from app.adapters.redis.keys import PartitionKeys
from app.domain.model import ProfileKey, Tenant
from app.domain.partitioning import partition_of
from app.engine.history import frame
from app.engine.profile import ProfileState, order_of
from app.engine.state_codec import encode
from tests.integration.http.harness import PARTITIONS, Plane

CLOCK_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z
SECOND = 1_000


async def store_profile(
    plane: Plane,
    profile_id: str,
    attributes: dict[str, Any] | None = None,
    events: Sequence[dict[str, Any]] = (),
    *,
    tenant: Tenant | None = None,
    **state: Any,
) -> None:
    """Store a profile; events with `at`, in ms before the clock, and arrival in the order given."""
    orders = [order_of(CLOCK_MS - event["at"], number) for number, event in enumerate(events)]
    bodies = [{name: event[name] for name in event if name != "at"} for event in events]
    packed = encode(
        ProfileState(
            attributes_json=orjson.dumps(attributes or {}),
            orders=array("q", sorted(orders)),
            **{"created": True, **state},
        )
    )
    frames = [frame(order, orjson.dumps(body)) for order, body in zip(orders, bodies, strict=True)]
    keys = PartitionKeys(plane.prefix, partition_of(profile_id, PARTITIONS))
    key = ProfileKey(tenant or plane.tenant, profile_id)
    await plane.redis.set(keys.state(key), packed)
    if frames:
        await plane.redis.set(keys.events(key), b"".join(frames))
    await plane.redis.hset(keys.meta, "clock", CLOCK_MS)


async def everything(plane: Plane) -> dict[bytes, bytes | None]:
    """Return all keys of the plane and what they hold, to compare."""
    names = [name async for name in plane.redis.scan_iter(f"{plane.prefix}*")]
    return {name: await plane.redis.dump(name) for name in sorted(names)}
