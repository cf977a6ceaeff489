"""Filtering and paging of export jobs, newest first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.errors import UserError
from app.domain.jobs import JobStatus, StoredJob

SHOWN_STATUS: dict[JobStatus, str] = {
    "NEW": "NEW",
    "QUEUED": "NEW",
    "PROCESSING": "PROCESSING",
    "CANCELLING": "PROCESSING",
    "CANCELLED": "FAILED",
    "FAILED": "FAILED",
    "SUCCEEDED": "SUCCEEDED",
}
"""What the API calls a status: its four know neither waiting nor cancelling (decision 0307)."""

_CURSOR = re.compile(r"(\d{1,15})_(\d{1,15})")


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """What to list.

    Attributes:
        after: Creation time and number of the last export of the page before; None for the first.
        status: As shown; empty for any.
    """

    limit: int = 100
    after: tuple[int, int] | None = None
    status: str = ""


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Exports of one page, and whether there are more."""

    items: tuple[StoredJob, ...]
    has_more: bool


def parse_cursor(text: str) -> tuple[int, int] | None:
    """Return what `cursor_text` wrote; None for an empty text.

    Raises:
        UserError: `invalid-parameter`: it is something else.
    """
    if not text:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise UserError(
            f"offset has {text[:64]!r}; send the pageOffset of the page before",
            code="invalid-parameter",
        )
    return int(match[1]), int(match[2])


def parse_export_status(text: str) -> str:
    """Return a status as shown; raises `UserError` for what is none."""
    known = list(dict.fromkeys(SHOWN_STATUS.values()))
    if text and text not in known:
        raise UserError(
            f"status has {text[:64]!r}; write one of {', '.join(known)}", code="invalid-parameter"
        )
    return text


def cursor_text(job: StoredJob) -> str:
    """Return what leads to the exports behind this one."""
    return f"{job.asked.created_ms}_{job.number}"


def select_exports(jobs: Iterable[StoredJob], query: ExportQuery) -> ExportPage:
    """Filter, sort and cut a page out of all exports."""
    rows = [
        one
        for one in jobs
        if query.status in ("", SHOWN_STATUS[one.status])
        and (query.after is None or _place(one) < query.after)
    ]
    rows.sort(key=_place, reverse=True)
    return ExportPage(tuple(rows[: query.limit]), len(rows) > query.limit)


def _place(job: StoredJob) -> tuple[int, int]:
    return job.asked.created_ms, job.number
