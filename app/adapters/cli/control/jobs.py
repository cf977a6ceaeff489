"""`segmentation jobs`: segment jobs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.failures import NotSucceeded, Usage
from app.adapters.cli.control.following import (
    DEFAULT_TIMEOUT_S,
    Followed,
    Timeout,
    follow,
    job_percent,
    job_progress,
)
from app.adapters.cli.control.lists import Asked, Limit, PageSize, Sort, linked_pages, text_of
from app.adapters.cli.control.output import ID_WIDTH, Column, at_ms, named
from app.adapters.cli.control.paths import BASE_PATH, item
from app.domain.model import JsonObject
from app.domain.text import printable

_COLLECTION = f"{BASE_PATH}/segment/jobs"
_EVERYTHING = "*"
_SUCCEEDED = "SUCCEEDED"

group = family()

JobId = Annotated[str, typer.Argument(metavar="ID", help="Of the segment job.")]


def _metric(field: str) -> Any:
    def shown(job: JsonObject) -> Any:
        return _object(job, "metrics").get(field)

    return shown


def _object(document: JsonObject, field: str) -> JsonObject:
    found = document.get(field)
    return found if isinstance(found, dict) else {}


def _objects(document: JsonObject, field: str) -> list[JsonObject]:
    found = document.get(field)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _segments(job: JsonObject) -> str:
    """Return a line for each definition, with its members once they are counted."""
    counted = _object(_object(job, "metrics"), "segmentedProfileByStatusCounter")
    if not counted:
        return "\n".join(str(one.get("segmentId")) for one in _objects(job, "segments"))
    counts = ((one, _object(counted, one)) for one in counted)
    return "\n".join(
        f"{one}  {found.get('realized')} realized, {found.get('exited')} exited"
        for one, found in counts
    )


def _errors(job: JsonObject) -> str:
    return "\n".join(f"{one.get('code')}: {one.get('msg')}" for one in _objects(job, "errors"))


def _ended(job: JsonObject) -> str:
    return at_ms("endTimeInMs")(_object(_object(job, "metrics"), "totalTime"))


_FIELDS = (
    named("id", "id"),
    named("status", "status"),
    named("source", "source"),
    Column("schedule", lambda job: _object(job, "properties").get("scheduleId")),
    named("number", "computeJobId"),
    Column("created", at_ms("creationTime")),
    Column("ended", _ended),
    Column("progress", job_progress),
    Column("profiles", _metric("totalProfiles")),
    Column("segments", _segments),
    Column("errors", _errors),
)
_COLUMNS = (
    named("ID", "id", ID_WIDTH),
    named("STATUS", "status", 10),
    named("SOURCE", "source", 9),
    Column("CREATED", at_ms("creationTime")),
)
_PROGRESS = Followed("status", frozenset({_SUCCEEDED, "FAILED", "CANCELLED"}), job_percent)


@command(group, "list")
def list_jobs(
    session: Session,
    status: Annotated[str | None, typer.Option(help="Such as PROCESSING or SUCCEEDED.")] = None,
    property: Annotated[list[str] | None, typer.Option(help="field==value; all must hold.")] = None,
    sort: Sort = None,
    limit: Limit = None,
    page_size: PageSize = 100,
) -> None:
    """List the jobs of the sandbox, newest first."""
    parameters = {"status": status, "property": property or None, "sort": sort}
    asked = Asked(_COLLECTION, parameters, limit, page_size)
    pages = linked_pages(session, asked, "children", "_links")
    session.out.rows(pages, _COLUMNS, "There are no such jobs.")


@command(group, "get")
def get_job(session: Session, job_id: JobId) -> None:
    """Show a job, with what it counted."""
    session.out.document(session.api.get(item(_COLLECTION, job_id)), _FIELDS)


@command(group, "create")
def create_job(
    session: Session,
    segment_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Definitions to evaluate.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All that are published.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Start a job over definitions."""
    if all == bool(segment_ids):
        raise Usage("Give the ids of definitions, or --all.")
    ids = [_EVERYTHING] if all else segment_ids or []
    job = session.api.send("POST", _COLLECTION, [{"segmentId": one} for one in ids])
    if not wait:
        session.out.document(job, _FIELDS)
        return
    job_id = text_of(session, job, "id")
    # Said first: whoever stops the waiting has to know.
    session.out.note(f"{job_id} is started; waiting until it has ended")
    _show_when_ended(session, job_id, timeout)


@command(group, "watch")
def watch_job(session: Session, job_id: JobId, timeout: Timeout = DEFAULT_TIMEOUT_S) -> None:
    """Follow a job until it has ended."""
    _show_when_ended(session, job_id, timeout)


@command(group, "cancel")
def cancel_job(session: Session, job_id: JobId) -> None:
    """Cancel a job that has not ended; a moment later it is CANCELLED."""
    answer = session.api.send("DELETE", item(_COLLECTION, job_id))
    session.out.done(answer, f"Segment job {job_id} is being cancelled.")


def _show_when_ended(session: Session, job_id: str, timeout_s: float) -> None:
    """Follow a job, then show it.

    Raises:
        NotSucceeded: It did not, or not in time. It was shown all the same.
        Refused, Unavailable: As `follow`.
    """
    job = follow(session, item(_COLLECTION, job_id), timeout_s, _PROGRESS)
    session.out.document(job, _FIELDS)
    status = job.get("status")
    if status == _SUCCEEDED:
        return
    if status in _PROGRESS.settled:
        errors = printable(_errors(job).replace("\n", "; "))
        raise NotSucceeded(f"{job_id} is {status}" + (f": {errors}" if errors else "") + ".")
    raise NotSucceeded(
        f"{job_id} is still {_PROGRESS.state_of(job)} after {timeout_s:g} s. Go on waiting:"
        f" segmentation jobs watch {job_id}"
    )
