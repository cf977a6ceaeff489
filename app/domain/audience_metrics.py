"""Sizes of audiences that other systems tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from app.domain.model import Tenant

MetricKind: TypeAlias = Literal["metrics", "recordMetrics"]
METRIC_KINDS: tuple[MetricKind, ...] = ("metrics", "recordMetrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number that a job elsewhere has counted of an audience.

    Attributes:
        ordinal: Of the audience; one that was made anew under the same id has another.
        count: Profiles (`metrics`) or records (`recordMetrics`).
        created_ms, updated_ms: When it was told first and last, epoch milliseconds.
    """

    ordinal: int
    job_id: str
    job_type: str
    count: int
    created_ms: int
    updated_ms: int


MetricKey: TypeAlias = tuple[str, MetricKind]
"""Segment id and kind."""


class MetricStore(Protocol):
    """What was told, of all tenants; what removes an audience removes what is known of it.

    Every method raises `Unavailable` when the store is away.
    """

    async def get(self, tenant: Tenant, ids: Sequence[str]) -> dict[MetricKey, Metric]:
        """Return what is known of the audiences among `ids`."""
        ...

    async def put(self, tenant: Tenant, found: Mapping[MetricKey, Metric]) -> None:
        """Store metrics, all or nothing but for those of audiences that are removed by now."""
        ...
