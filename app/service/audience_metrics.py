"""Use cases of the sizes that other systems tell of audiences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.audience_metrics import METRIC_KINDS, Metric, MetricKey, MetricKind, MetricStore
from app.domain.definitions import StoredDefinition
from app.domain.model import JsonObject, Tenant
from app.service.audience_document import public_name
from app.service.definitions import Definitions

_COUNTS: dict[MetricKind, str] = {"metrics": "totalProfiles", "recordMetrics": "recordCount"}


@dataclass(frozen=True, slots=True)
class ToldMetrics:
    """What a job tells of one audience.

    Attributes:
        audience_id, namespace: As the audience shows them; not its `id`.
    """

    audience_id: str
    namespace: str
    counts: Mapping[MetricKind, int]


class AudienceMetrics:
    """The metrics of all tenants."""

    def __init__(self, store: MetricStore, definitions: Definitions) -> None:
        self._store = store
        self._definitions = definitions

    async def tell(
        self, tenant: Tenant, job: tuple[str, str], told: Sequence[ToldMetrics], now_ms: int
    ) -> list[bool]:
        """Note what a job has counted; tell for each row whether there is such an audience.

        Args:
            job: Its id and type.
            told: Of an audience that comes twice the last row counts.
        """
        every = await self._definitions.all_audiences(tenant)
        known = {public_name(one): one for one in every}
        rows = [known.get((one.audience_id, one.namespace)) for one in told]
        ids = list(dict.fromkeys(one.segment_id for one in rows if one is not None))
        before = await self._store.get(tenant, ids)
        new: dict[MetricKey, Metric] = {}
        for row, audience in zip(told, rows, strict=True):
            if audience is None:
                continue
            for kind, count in row.counts.items():
                key = audience.segment_id, kind
                new[key] = _metric(audience, job, count, now_ms, before.get(key))
        await self._store.put(tenant, new)
        return [one is not None for one in rows]

    async def documents(
        self, tenant: Tenant, audiences: Sequence[StoredDefinition]
    ) -> dict[str, JsonObject]:
        """Return by segment id the fields that show what is known of audiences."""
        found = await self._store.get(tenant, [one.segment_id for one in audiences])
        return {one.segment_id: _fields(one, found) for one in audiences}


def _metric(
    audience: StoredDefinition, job: tuple[str, str], count: int, now_ms: int, known: Metric | None
) -> Metric:
    is_same = known is not None and known.ordinal == audience.ordinal
    return Metric(
        ordinal=audience.ordinal,
        job_id=job[0],
        job_type=job[1],
        count=count,
        created_ms=known.created_ms if known is not None and is_same else now_ms,
        updated_ms=now_ms,
    )


def _fields(audience: StoredDefinition, found: Mapping[MetricKey, Metric]) -> JsonObject:
    shown: JsonObject = {}
    for kind in METRIC_KINDS:
        one = found.get((audience.segment_id, kind))
        if one is not None and one.ordinal == audience.ordinal:
            shown[kind] = {
                "type": one.job_type,
                "jobId": one.job_id,
                "id": audience.segment_id,
                "data": {_COUNTS[kind]: one.count},
                "createEpoch": one.created_ms // 1000,
                "updateEpoch": one.updated_ms // 1000,
            }
    return shown
