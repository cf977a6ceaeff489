"""`segmentation exports`: export jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from app.adapters.cli.control.bodies import PROFILE_SCHEMA, chosen, read_object
from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.failures import NotSucceeded
from app.adapters.cli.control.following import (
    DEFAULT_TIMEOUT_S,
    Followed,
    Timeout,
    follow,
    job_percent,
    job_progress,
)
from app.adapters.cli.control.lists import Limit, Page, PageSize, limited, objects
from app.adapters.cli.control.options import File
from app.adapters.cli.control.output import Column, at_ms, named
from app.adapters.cli.control.paths import BASE_PATH, item
from app.domain.model import JsonObject
from app.domain.text import printable

_COLLECTION = f"{BASE_PATH}/export/jobs"

group = family()


def _inner(field: str, name: str) -> Any:
    def shown(one: JsonObject) -> Any:
        value = one.get(field)
        return value.get(name) if isinstance(value, dict) else None

    return shown


def _batches(one: JsonObject) -> str | None:
    destination = one.get("destination")
    batches = destination.get("batches") if isinstance(destination, dict) else None
    if not isinstance(batches, list):
        return None
    pairs = [(batch.get("segmentId"), batch.get("batchId")) for batch in batches]
    return "; ".join(f"{segment}: {batch}" for segment, batch in pairs)


def _errors(one: JsonObject) -> str | None:
    found = one.get("errors")
    errors = found if isinstance(found, list) else []
    return "; ".join(f"{error.get('code')}: {error.get('msg')}" for error in errors) or None


_FIELDS = (
    named("id", "id"),
    named("status", "status"),
    Column("progress", job_progress),
    Column("profiles", _inner("metrics", "totalExportedProfileCounter")),
    Column("data set", _inner("destination", "datasetId")),
    Column("batch", _inner("destination", "batchId")),
    Column("batches", _batches),
    Column("created", at_ms("creationTime")),
    Column("updated", at_ms("updateTime")),
    Column("errors", _errors),
)
_COLUMNS = (
    named("ID", "id", 8),
    named("STATUS", "status", 10),
    Column("CREATED", at_ms("creationTime"), 20),
    Column("PROFILES", _inner("metrics", "totalExportedProfileCounter"), 10),
    Column("DATA SET", _inner("destination", "datasetId")),
)

ExportId = Annotated[str, typer.Argument(metavar="ID", help="Number of the export job.")]
Segments = Annotated[
    list[str] | None,
    typer.Option("--segment", help="Only members of it; once for each. [default: all profiles]"),
]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", help="realized or exited, of each --segment.")
]
Fields = Annotated[str | None, typer.Option(help="Dotted paths with commas between.")]
Dataset = Annotated[str | None, typer.Option(help="A data set that SEG_DATASETS of the API names.")]
WaitForEnd = Annotated[bool, typer.Option("--wait", help="Until it has ended.")]
StatusFilter = Annotated[
    str | None, typer.Option(help="NEW, PROCESSING, SUCCEEDED or FAILED only.")
]


@command(group, "list")
def list_exports(
    session: Session,
    status: StatusFilter = None,
    limit: Limit = None,
    page_size: PageSize = 100,
) -> None:
    """List the exports of the sandbox, newest first."""
    pages = limited(_pages(session, status, min(page_size, limit or page_size)), limit)
    session.out.rows(pages, _COLUMNS, "There are no export jobs.")


@command(group, "get")
def get_export(session: Session, job_id: ExportId) -> None:
    """Show an export."""
    session.out.document(session.api.get(item(_COLLECTION, job_id)), _FIELDS)


@command(group, "create")
def create_export(
    session: Session,
    segment: Segments = None,
    status: Statuses = None,
    fields: Fields = None,
    dataset: Dataset = None,
    events: Annotated[bool, typer.Option("--events", help="With the kept events.")] = False,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="A segment job first.")] = False,
    file: File = None,
    wait: WaitForEnd = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Start an export from options, or from a file with the options over it."""
    body: JsonObject = {"schema": {"name": PROFILE_SCHEMA}}
    body |= read_object(file) if file is not None else {}
    if segment:
        one = {"status": status} if status else {}
        found = body.get("filter")
        given = found if isinstance(found, dict) else {}
        body["filter"] = {**given, "segments": [{"segmentId": name, **one} for name in segment]}
    body |= chosen(
        fields=fields,
        destination={"datasetId": dataset} if dataset else None,
        additionalFields={"eventList": {}} if events else None,
        evaluationInfo={"segmentation": True} if evaluate else None,
    )
    export = session.api.send("POST", _COLLECTION, body)
    if not wait:
        session.out.document(export, _FIELDS)
        return
    job_id = str(export.get("id"))
    # Said first: whoever stops the waiting has to know.
    session.out.note(f"export {job_id} is started; waiting until it has ended")
    _show_when_ended(session, job_id, timeout)


@command(group, "cancel")
def cancel_export(session: Session, job_id: ExportId) -> None:
    """Cancel an export that has not ended."""
    answer = session.api.send("DELETE", item(_COLLECTION, job_id))
    session.out.done(answer, str(answer.get("message")))


@command(group, "watch")
def watch_export(session: Session, job_id: ExportId, timeout: Timeout = DEFAULT_TIMEOUT_S) -> None:
    """Follow an export until it SUCCEEDED or FAILED."""
    _show_when_ended(session, job_id, timeout)


def _show_when_ended(session: Session, job_id: str, timeout_s: float) -> None:
    export = follow(session, item(_COLLECTION, job_id), timeout_s, _ENDED)
    session.out.document(export, _FIELDS)
    status = export.get("status")
    if status == "FAILED":
        raise NotSucceeded(
            f"export {job_id} is FAILED: {printable(_errors(export) or 'no reason')}"
        )
    if status != "SUCCEEDED":
        raise NotSucceeded(
            f"export {job_id} is still {printable(str(status))} after {timeout_s:g} s. Go on"
            f" waiting: segmentation exports watch {job_id}"
        )


_ENDED = Followed("status", frozenset({"SUCCEEDED", "FAILED"}), job_percent)


def _pages(session: Session, status: str | None, page_size: int) -> Iterator[Page]:
    """Yield the pages of a list that goes on from the offset at the end of each."""
    asked: dict[str, Any] = {"limit": page_size} | ({"status": status} if status else {})
    while True:
        document = session.api.get(_COLLECTION, asked)
        yield objects(session, document, "records")
        link, page = document.get("link"), document.get("page")
        offset = page.get("pageOffset") if isinstance(page, dict) else None
        if not isinstance(link, dict) or not link.get("next"):
            return
        if not isinstance(offset, str) or offset == asked.get("offset"):
            raise session.api.strange("a page that is followed by itself")
        asked["offset"] = offset
