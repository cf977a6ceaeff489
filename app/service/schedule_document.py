"""A schedule as JSON, as the API answers it."""

from __future__ import annotations

from app.domain.model import JsonObject, Tenant
from app.domain.quartz_parser import parse_cron
from app.domain.schedules import Schedule, ScheduleRun
from app.service.definition_document import sandbox_object


def schedule_document(tenant: Tenant, schedule: Schedule) -> JsonObject:
    """Return the fields of a schedule, in the order of the API reference's samples.

    `missedRuns`, `nextRunTime` and `lastRun` are extensions.
    """
    document: JsonObject = {
        "id": schedule.schedule_id,
        "imsOrgId": tenant.org_id,
        "sandbox": sandbox_object(tenant),
        "name": schedule.name,
        "state": schedule.state,
        "type": schedule.type,
        "schedule": schedule.cron,
        "frequency": frequency_of(schedule),
        "properties": _properties(schedule),
        "createEpoch": schedule.created_ms // 1000,
        "updateEpoch": schedule.updated_ms // 1000,
        "missedRuns": schedule.missed_runs,
    }
    if schedule.next_run_ms is not None:
        document["nextRunTime"] = schedule.next_run_ms
    if schedule.last_run is not None:
        document["lastRun"] = _run_document(schedule.last_run)
    return document


def _properties(schedule: Schedule) -> JsonObject:
    if schedule.export is not None:
        return schedule.export.document()
    return {"segments": list(schedule.segments)}


def frequency_of(schedule: Schedule) -> str:
    """Return after how long the days on which it runs repeat."""
    return parse_cron(schedule.cron).frequency


def _run_document(run: ScheduleRun) -> JsonObject:
    document: JsonObject = {"dueTime": run.due_ms, "time": run.at_ms, "outcome": run.outcome}
    if run.job_id:
        document["jobId"] = run.job_id
    if run.reason:
        document["reason"] = run.reason
    return document
