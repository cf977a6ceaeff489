"""Metrics of audiences in Redis: one hash for a tenant. The definition store removes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys
from app.adapters.redis.definition_scripts import TELL_METRICS
from app.domain.audience_metrics import METRIC_KINDS, Metric, MetricKey
from app.domain.model import Tenant


class RedisMetricStore:
    """Implements `app.domain.audience_metrics.MetricStore`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key.
    """

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        self._redis = redis
        self._keys = ControlKeys(prefix)
        self._tell = redis.register_script(TELL_METRICS)

    async def get(self, tenant: Tenant, ids: Sequence[str]) -> dict[MetricKey, Metric]:
        """Return what is known of the audiences among `ids`."""
        keys: list[MetricKey] = [(one, kind) for one in ids for kind in METRIC_KINDS]
        if not keys:
            return {}
        fields = [_field(key) for key in keys]
        with redis_errors():
            found = await self._redis.hmget(self._keys.audience_metrics(tenant), fields)
        return {
            key: Metric(**orjson.loads(text))
            for key, text in zip(keys, found, strict=True)
            if text is not None
        }

    async def put(self, tenant: Tenant, found: Mapping[MetricKey, Metric]) -> None:
        """Store metrics, all or nothing but for those of audiences that are removed by now."""
        values: list[str | bytes] = []
        for key, one in found.items():
            values += [key[0], _field(key), orjson.dumps(asdict(one))]
        keys = [self._keys.definitions(tenant), self._keys.audience_metrics(tenant)]
        if values:
            with redis_errors():
                await self._tell(keys=keys, args=values)


def metric_fields(segment_id: str) -> list[str]:
    """Return the fields of a tenant's hash that tell of an audience."""
    return [_field((segment_id, kind)) for kind in METRIC_KINDS]


def _field(key: MetricKey) -> str:
    segment_id, kind = key
    return f"{kind} {segment_id}"
