"""`segmentation audiences import` and `runs`: members of external audiences from their source."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from app.adapters.cli.control.commands import Session
from app.adapters.cli.control.failures import Failed, Usage
from app.adapters.cli.control.lists import objects, text_of
from app.adapters.cli.control.output import ID_WIDTH, Column, named
from app.adapters.cli.control.paths import INGESTION_PATH, item
from app.adapters.cli.control.waiting import Patience
from app.domain.errors import Unavailable
from app.domain.model import JsonObject
from app.domain.text import printable

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


def import_members(
    session: Session, audience_id: str, times: tuple[str | None, str | None], patience: Patience
) -> None:
    """Start a run, and wait for its end if that is wanted.

    Args:
        session: Of the command.
        audience_id: Of the external audience.
        times: As typed: files changed since, and until then.
        patience: Whether to wait.

    Raises:
        Usage: What was typed is no time.
        Failed: The run failed, or takes longer. It was shown all the same.
    """
    since, until = times
    body = {"dataFilterStartTime": 0 if since is None else _seconds("--since", since)}
    if until is not None:
        body["dataFilterEndTime"] = _seconds("--until", until)
    runs = item(_COLLECTION, audience_id, "runs")
    started = session.api.send("POST", runs, body)
    path = item(runs, text_of(session, started, "runId"))
    if not patience.wait:
        session.out.document(session.api.get(path), _FIELDS)
        return
    run = _ended(session, path, patience.timeout_s)
    session.out.document(run, _FIELDS)
    if run.get("status") != "SUCCESS":
        reason = run.get("reason") or f"is still {run.get('status')}"
        raise Failed(f"The run {started['runId']}: {printable(str(reason))}.")


def show_runs(session: Session, audience_id: str) -> None:
    """Show the runs of an audience."""
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
