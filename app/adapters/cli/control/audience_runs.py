"""`segmentation audiences import` and `runs`: members of external audiences from their source."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from app.adapters.cli.control.commands import Session, command
from app.adapters.cli.control.failures import Failed, Usage
from app.adapters.cli.control.lists import objects, text_of
from app.adapters.cli.control.output import ID_WIDTH, Column, named
from app.adapters.cli.control.paths import INGESTION_PATH, item
from app.adapters.cli.control.text import printable
from app.adapters.cli.control.waiting import DEFAULT_TIMEOUT_S, Timeout
from app.domain.errors import Unavailable
from app.domain.model import JsonObject

_COLLECTION = f"{INGESTION_PATH}/external-audience"
_POLL_S = 0.5


def _at(field: str) -> Column:
    def shown(one: JsonObject) -> str:
        value = one.get(field)
        if not isinstance(value, int):
            return ""
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"

    return Column(field, shown)


def _of(field: str, name: str) -> Column:
    def shown(one: JsonObject) -> Any:
        value = one.get(field)
        return value.get(name) if isinstance(value, dict) else None

    return Column(name, shown)


_FIELDS = (
    named("run", "runId"),
    named("audience", "audienceName"),
    named("status", "status"),
    named("reason", "reason"),
    _of("rows", "accepted"),
    _of("rows", "rejected"),
    _of("files", "taken"),
    _of("files", "ignored"),
    _at("createdAt"),
    _at("updatedAt"),
    Column("problems", lambda one: "\n".join(map(str, one.get("problems") or ()))),
)
_COLUMNS = (
    named("ID", "runId", ID_WIDTH),
    named("STATUS", "status", 10),
    Column("STARTED", _at("createdAt").value, 20),
    named("REASON", "reason"),
)

AudienceId = Annotated[str, typer.Argument(metavar="ID", help="Of the external audience.")]


def add_runs(group: typer.Typer) -> None:
    """Add the commands to those of audiences."""

    @command(group, "import")
    def import_audience(
        session: Session,
        audience_id: AudienceId,
        since: Annotated[
            str | None, typer.Option(help="Only files changed since then, ISO 8601. [default: all]")
        ] = None,
        until: Annotated[
            str | None, typer.Option(help="Only files changed until then, ISO 8601.")
        ] = None,
        wait: Annotated[
            bool, typer.Option("--wait", help="Until the members are in their profiles.")
        ] = False,
        timeout: Timeout = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Import the members of an external audience from its source."""
        body = {"dataFilterStartTime": 0 if since is None else _seconds("--since", since)}
        if until is not None:
            body["dataFilterEndTime"] = _seconds("--until", until)
        started = session.api.send("POST", item(_COLLECTION, audience_id, "runs"), body)
        path = item(f"{item(_COLLECTION, audience_id)}/runs", text_of(session, started, "runId"))
        if not wait:
            session.out.document(session.api.get(path), _FIELDS)
            return
        run = _ended(session, path, timeout)
        session.out.document(run, _FIELDS)
        if run.get("status") != "SUCCESS":
            reason = run.get("reason") or f"is still {run.get('status')} after {timeout:g} s"
            raise Failed(f"The run {started['runId']}: {printable(str(reason))}.")

    @command(group, "runs")
    def list_runs(session: Session, audience_id: AudienceId) -> None:
        """List the imports of an external audience, newest first."""
        answer = session.api.get(item(_COLLECTION, audience_id, "runs"))
        found = objects(session, answer, "runs")
        session.out.rows([found], _COLUMNS, "There are no runs of this audience.")


def _ended(session: Session, path: str, timeout_s: float) -> JsonObject:
    """Return a run once it has ended, or at the end of the time."""
    deadline = time.monotonic() + timeout_s
    run = session.api.get(path)
    while run.get("status") == "PROCESSING" and time.monotonic() < deadline:
        time.sleep(min(_POLL_S, max(deadline - time.monotonic(), 0)))
        try:
            run = session.api.get(path)
        except Unavailable:
            # It may come back, as after a restart: the run goes on.
            if time.monotonic() >= deadline:
                raise
    return run


def _seconds(option: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"{option} {text!r} is no time such as 2026-01-05T10:00:00Z.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(int(moment.timestamp()), 0)
