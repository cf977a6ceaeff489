"""`segmentation schedules`: segment jobs by cron."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.adapters.cli.control.bodies import chosen, read_object
from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.failures import Usage
from app.adapters.cli.control.lists import Asked, Limit, PageSize, linked_pages
from app.adapters.cli.control.options import File
from app.adapters.cli.control.output import ID_WIDTH, Column, at_ms, named
from app.adapters.cli.control.paths import BASE_PATH, item
from app.domain.model import JsonObject

_COLLECTION = f"{BASE_PATH}/config/schedules"
_TYPE = "batch_segmentation"
_EVERYTHING = "*"

group = family()

ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="Of the schedule.")]
Cron = Annotated[str | None, typer.Option(help="Quartz, UTC, such as '0 15 2 * * ?'.")]
MissedRuns = Annotated[
    str | None, typer.Option(help="run-once or skip: what was due while the service was away.")
]


def _segments(schedule: JsonObject) -> Any:
    properties = schedule.get("properties")
    return properties.get("segments") if isinstance(properties, dict) else None


def _last_run(schedule: JsonObject) -> str:
    run = schedule.get("lastRun")
    if not isinstance(run, dict):
        return ""
    told = run.get("jobId") or run.get("reason") or ""
    return f"{at_ms('dueTime')(run)} {run.get('outcome')} {told}".rstrip()


_FIELDS = (
    named("id", "id"),
    named("name", "name"),
    named("state", "state"),
    named("cron", "schedule"),
    named("frequency", "frequency"),
    named("missed runs", "missedRuns"),
    Column("next run", at_ms("nextRunTime")),
    Column("last run", _last_run),
    Column("segments", _segments),
)
_COLUMNS = (
    named("ID", "id", ID_WIDTH),
    named("STATE", "state", 8),
    Column("NEXT RUN", at_ms("nextRunTime"), 20),
    named("NAME", "name"),
)


@command(group, "list")
def list_schedules(session: Session, limit: Limit = None, page_size: PageSize = 100) -> None:
    """List the schedules of the sandbox, newest first."""
    pages = linked_pages(session, Asked(_COLLECTION, {}, limit, page_size), "children", "_links")
    session.out.rows(pages, _COLUMNS, "There are no schedules.")


@command(group, "get")
def get_schedule(session: Session, schedule_id: ScheduleId) -> None:
    """Show a schedule, with its next and last run."""
    _show(session, schedule_id)


@command(group, "create")
def create_schedule(
    session: Session,
    name: Annotated[str | None, typer.Option(help="What it is called.")] = None,
    cron: Cron = None,
    segment: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="To evaluate; once for each.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All that are published at a run.")] = False,
    active: Annotated[bool, typer.Option("--active", help="Runs from now on.")] = False,
    missed_runs: MissedRuns = None,
    file: File = None,
) -> None:
    """Create a schedule from options, or from a file with the options over it."""
    if all and segment:
        raise Usage("Give --segment or --all, not both.")
    segments = [_EVERYTHING] if all else segment or None
    options = chosen(
        name=name,
        schedule=cron,
        properties=segments and {"segments": segments},
        state="active" if active else None,
        missedRuns=missed_runs,
    )
    if file is None and not {"name", "properties"} <= options.keys():
        raise Usage("Give --name, and --segment or --all; or --file with the whole of it as JSON.")
    body = {"type": _TYPE, **(read_object(file) if file else {}), **options}
    session.out.document(session.api.send("POST", _COLLECTION, body), _FIELDS)


@command(group, "update")
def update_schedule(
    session: Session,
    schedule_id: ScheduleId,
    cron: Cron = None,
    missed_runs: MissedRuns = None,
) -> None:
    """Change when it runs, and what becomes of missed runs."""
    changes = chosen(schedule=cron, missedRuns=missed_runs)
    if not changes:
        raise Usage("Nothing to change: give --cron or --missed-runs.")
    _patch(session, schedule_id, changes)


@command(group, "enable")
def enable_schedule(session: Session, schedule_id: ScheduleId) -> None:
    """Let it run from now on; what was due before is not made up for."""
    _patch(session, schedule_id, {"state": "active"})


@command(group, "disable")
def disable_schedule(session: Session, schedule_id: ScheduleId) -> None:
    """Let it run no more; jobs that it started go on."""
    _patch(session, schedule_id, {"state": "inactive"})


@command(group, "delete")
def delete_schedule(session: Session, schedule_id: ScheduleId) -> None:
    """Remove a schedule; jobs that it started go on."""
    answer = session.api.send("DELETE", item(_COLLECTION, schedule_id))
    session.out.done(answer, f"Schedule {schedule_id} was removed.")


@command(group, "trigger")
def trigger_schedule(session: Session, schedule_id: ScheduleId) -> None:
    """Start its job now, be it active or not; the last run then names the job."""
    item(_COLLECTION, schedule_id)  # refuses what is no id, as the other commands do
    session.api.send("POST", f"{_COLLECTION}/trigger", {"id": schedule_id})
    _show(session, schedule_id)


def _patch(session: Session, schedule_id: str, changes: JsonObject) -> None:
    operations = [
        {"op": "add", "path": f"/{field}", "value": value} for field, value in changes.items()
    ]
    session.api.send("PATCH", item(_COLLECTION, schedule_id), operations)
    _show(session, schedule_id)


def _show(session: Session, schedule_id: str) -> None:
    session.out.document(session.api.get(item(_COLLECTION, schedule_id)), _FIELDS)
