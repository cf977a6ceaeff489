"""`segmentation schedules`: segment jobs and exports by cron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from app.adapters.cli.control.bodies import chosen, read_object
from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.failures import Unknown, Usage
from app.adapters.cli.control.lists import Asked, Limit, PageSize, linked_pages
from app.adapters.cli.control.options import File
from app.adapters.cli.control.output import ID_WIDTH, Column, at_ms, named
from app.adapters.cli.control.paths import BASE_PATH, item
from app.domain.model import JsonObject
from app.domain.text import printable

_COLLECTION = f"{BASE_PATH}/config/schedules"
_TYPE = "batch_segmentation"
_EVERYTHING = "*"

group = family()

ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="Of the schedule.")]
Cron = Annotated[str | None, typer.Option(help="Quartz, UTC, such as '0 15 2 * * ?'.")]
MissedRuns = Annotated[
    str | None, typer.Option(help="run-once or skip: what was due while the service was away.")
]


AudienceIds = Annotated[list[str], typer.Argument(metavar="AUDIENCE...", help="Their ids.")]


def _inner(*names: str) -> Callable[[JsonObject], Any]:
    """Return what takes a value out of objects within each other."""

    def shown(schedule: JsonObject) -> Any:
        found: Any = schedule
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return shown


def _exported(schedule: JsonObject) -> Any:
    found = _inner("properties", "filter", "segments")(schedule)
    if not isinstance(found, list):
        return "all profiles" if schedule.get("type") == "export" else None
    return [one.get("segmentId") for one in found if isinstance(one, dict)]


def _last_run(schedule: JsonObject) -> str:
    run = schedule.get("lastRun")
    if not isinstance(run, dict):
        return ""
    told = run.get("jobId") or run.get("reason") or ""
    return f"{at_ms('dueTime')(run)} {run.get('outcome')} {told}".rstrip()


_FIELDS = (
    named("id", "id"),
    named("name", "name"),
    named("type", "type"),
    named("state", "state"),
    named("cron", "schedule"),
    named("frequency", "frequency"),
    named("missed runs", "missedRuns"),
    Column("next run", at_ms("nextRunTime")),
    Column("last run", _last_run),
    Column("segments", _inner("properties", "segments")),
    Column("exports", _exported),
    Column("data set", _inner("properties", "destination", "datasetId")),
)
_COLUMNS = (
    named("ID", "id", ID_WIDTH),
    named("STATE", "state", 8),
    Column("NEXT RUN", at_ms("nextRunTime"), 20),
    named("NAME", "name"),
)
_CHANGED = (
    named("added", "added"),
    named("removed", "removed"),
    Column("audiences", _inner("segmentCount", "current")),
    Column("before", _inner("segmentCount", "previous")),
)
_MAP = (
    named("AUDIENCE", "audience", ID_WIDTH),
    named("SCHEDULE", "id", ID_WIDTH),
    named("CRON", "schedule", 16),
    named("FREQUENCY", "frequency", 9),
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


@command(group, "add-audiences")
def add_audiences(session: Session, schedule_id: ScheduleId, audiences: AudienceIds) -> None:
    """Add audiences to a schedule that names its own."""
    _change_audiences(session, "add", schedule_id, audiences)


@command(group, "remove-audiences")
def remove_audiences(session: Session, schedule_id: ScheduleId, audiences: AudienceIds) -> None:
    """Remove audiences from a schedule that names its own."""
    _change_audiences(session, "remove", schedule_id, audiences)


def _change_audiences(session: Session, verb: str, schedule_id: str, ids: list[str]) -> None:
    """Raises `Unknown` after the rest was done, `Refused` when nothing is."""
    item(_COLLECTION, schedule_id)
    asked = {"id": schedule_id, "segments": ids}
    answer = session.api.send("POST", f"{_COLLECTION}/{verb}-audiences", asked)
    session.out.document(answer, _CHANGED)
    existing = [str(one) for one in answer.get("existing") or ()]
    if existing:
        was = "in the schedule before" if verb == "add" else "not in the schedule"
        session.out.note(printable(f"{was}: {', '.join(existing)}"))
    invalid = [str(one) for one in answer.get("invalid") or ()]
    if invalid:
        raise Unknown(printable(f"no published audience: {', '.join(invalid)}"))


@command(group, "audience-map")
def audience_map(session: Session, audiences: AudienceIds) -> None:
    """Show which schedules evaluate audiences, a line for each of both."""
    answer = session.api.send("POST", f"{_COLLECTION}/audience-map", {"segments": audiences})
    if session.out.json:
        session.out.document(answer, ())
        return
    found, schedules = answer.get("audienceMap"), answer.get("schedules")
    if not isinstance(found, dict) or not isinstance(schedules, dict):
        raise session.api.strange("an answer without audienceMap and schedules")
    rows = [
        {"audience": audience, "id": one, **(schedules.get(one) or {})}
        for audience, ids in found.items()
        for one in ids
    ]
    session.out.rows([rows], _MAP, "No schedule evaluates them.")


def _patch(session: Session, schedule_id: str, changes: JsonObject) -> None:
    operations = [
        {"op": "add", "path": f"/{field}", "value": value} for field, value in changes.items()
    ]
    session.api.send("PATCH", item(_COLLECTION, schedule_id), operations)
    _show(session, schedule_id)


def _show(session: Session, schedule_id: str) -> None:
    session.out.document(session.api.get(item(_COLLECTION, schedule_id)), _FIELDS)
