"""Schedules on a real Redis, with a clock and a job starter that the test holds."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redis.asyncio import Redis

from app.adapters.http.definitions import now_ms
from app.adapters.http.metrics import HttpMetrics
from app.adapters.http.schedule_loop import LoggedFirings
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.adapters.redis.job_store import RedisJobStore
from app.adapters.redis.schedule_store import RedisScheduleStore
from app.domain.definitions import DefinitionWrite, StoredDefinition
from app.domain.model import Tenant
from app.domain.schedules import Schedule
from app.service.exports import Exports
from app.service.firing import Firing, FiringParts
from app.service.scheduled_jobs import ScheduledJobs
from app.service.schedules import ScheduleInput, Schedules
from tests.builders import stored_definition

TENANT = Tenant("org@AdobeOrg", "prod")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@dataclass
class RecordingStarter:
    """Implements `JobStarter`; one job for each origin. `error` is raised as long as it is set."""

    jobs: dict[tuple[Tenant, str], str] = field(default_factory=dict)
    calls: list[tuple[Tenant, tuple[str, ...] | None, str]] = field(default_factory=list)
    error: BaseException | None = None

    async def start(self, tenant: Tenant, segment_ids: Sequence[str] | None, *, origin: str) -> str:
        segments = None if segment_ids is None else tuple(segment_ids)
        self.calls.append((tenant, segments, origin))
        if self.error is not None:
            raise self.error
        return self.jobs.setdefault((tenant, origin), f"job-{len(self.jobs) + 1}")

    @property
    def due(self) -> list[int]:
        """When the firings were due that started a job, in order."""
        return sorted(int(origin.rpartition(":")[2]) for _, origin in self.jobs)


class ScheduleBench:
    """One Redis prefix with the parts around it."""

    def __init__(self, redis: Redis, prefix: str, runs_per_day: int = 86_400) -> None:
        self.store = RedisScheduleStore(redis, prefix)
        self.definitions = RedisDefinitionStore(redis, prefix)
        self.starter = RecordingStarter()
        ids = itertools.count(1)
        self.exports = Exports(
            RedisJobStore(redis, prefix, "export"),
            self.definitions,
            self.starter,
            lambda _: (),
            secrets.token_hex,
            now_ms,
        )
        self.schedules = Schedules(
            self.store,
            self.definitions,
            self._jobs(self.starter),
            lambda: f"id-{next(ids)}",
            runs_per_day,
        )

    def _jobs(self, starter: RecordingStarter) -> ScheduledJobs:
        return ScheduledJobs(self.definitions, starter, self.exports)

    def firing(self, starter: RecordingStarter | None = None) -> Firing:
        """Return what another process would have."""
        journal = LoggedFirings(HttpMetrics())
        jobs = self._jobs(starter or self.starter)
        return Firing(FiringParts(self.store, jobs, journal, secrets.token_hex))

    async def create(self, now: str, cron: str = "0 0 2 * * ?", **given: object) -> Schedule:
        defaults: dict[str, object] = {
            "name": "nightly",
            "type": "batch_segmentation",
            "segments": ("*",),
            "cron": cron,
            "state": "active",
            "missed_runs": "run-once",
        }
        tenant = given.pop("tenant", TENANT)
        assert isinstance(tenant, Tenant)
        body = ScheduleInput(**(defaults | given))  # type: ignore[arg-type]  # by keyword
        return await self.schedules.create(tenant, body, ms(now))

    async def audience(self, segment_id: str, **given: object) -> StoredDefinition:
        """Store a published audience."""
        head = await self.definitions.head(TENANT)
        new = stored_definition(
            segment_id=segment_id, name=segment_id, ordinal=head.next_ordinal, **given
        )
        assert await self.definitions.put(TENANT, head, DefinitionWrite(new, {}))
        return new
