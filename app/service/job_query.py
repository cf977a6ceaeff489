"""Filtering, ordering and paging of segment jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import UserError
from app.domain.jobs import STATUSES, StoredJob
from app.domain.model import Tenant
from app.service.definition_query import NEWEST_FIRST, SortKey
from app.service.job_document import job_document
from app.service.paths import texts_at

JOB_SORT_FIELDS: Mapping[str, Callable[[StoredJob], Any]] = {
    "creationTime": lambda job: (job.asked.created_ms, job.job_id),
    "updateTime": lambda job: job.updated_ms,
    "updateEpoch": lambda job: job.updated_ms // 1000,
    "id": lambda job: job.job_id,
    "computeJobId": lambda job: job.number,
    "status": lambda job: job.status,
    "source": lambda job: job.asked.source,
}
"""Fields that a list of jobs can be sorted by."""

_FIELDS = frozenset(
    {
        "id",
        "imsOrgId",
        "sandbox",
        "profileInstanceId",
        "source",
        "status",
        "batchId",
        "computeJobId",
        "computeGatewayJobId",
        "segments",
        "metrics",
        "errors",
        "requestId",
        "schema",
        "properties",
        "creationTime",
        "updateTime",
        "updateEpoch",
    }
)


@dataclass(frozen=True, slots=True)
class JobQuery:
    """What to list.

    Attributes:
        start: Page, from 0.
        limit: Rows on a page.
        status: Empty for any.
        properties: Path into a job, and the text that something there must equal.
    """

    start: int = 0
    limit: int = 100
    order: tuple[SortKey, ...] = NEWEST_FIRST
    status: str = ""
    properties: tuple[tuple[str, str], ...] = ()

    @property
    def offset(self) -> int:
        """Rows skipped."""
        return self.start * self.limit

    @property
    def by_creation_only(self) -> bool:
        """Whether the store's own order answers the query without reading everything."""
        is_plain = not self.status and not self.properties
        return is_plain and [key.field for key in self.order] == ["creationTime"]


@dataclass(frozen=True, slots=True)
class JobPage:
    """Rows of one page and how many rows there are on all pages."""

    total: int
    items: tuple[StoredJob, ...]


def parse_status(text: str) -> str:
    """Return a status; raises `UserError` for what is none."""
    if text and text not in STATUSES:
        raise UserError(
            f"status has {text!r}; write one of {', '.join(STATUSES)}", code="invalid-parameter"
        )
    return text


def parse_job_property(text: str) -> tuple[str, str]:
    """Parse `path==value`, or `array~key==value` for something in an array.

    Raises:
        UserError: `invalid-parameter`: it has another form, or jobs have no such field.
    """
    path, separator, value = text.partition("==")
    path = path.strip().removeprefix("$.").replace("~", ".")
    if not separator or path.partition(".")[0] not in _FIELDS:
        raise UserError(
            f"property has {text!r}; write path==value with a path into a job, such as"
            " source==api, or array~key==value, such as segments~segmentId==<id>",
            code="invalid-parameter",
        )
    return path, value


def select_jobs(tenant: Tenant, jobs: Iterable[StoredJob], query: JobQuery) -> JobPage:
    """Filter, sort and cut a page out of all jobs."""
    rows = [one for one in jobs if query.status in ("", one.status)]
    if query.properties:
        rows = [one for one in rows if _has_properties(tenant, one, query)]
    for key in reversed(query.order):  # stable, so the last key goes first
        rows.sort(key=JOB_SORT_FIELDS[key.field], reverse=key.descending)
    return JobPage(len(rows), tuple(rows[query.offset : query.offset + query.limit]))


def _has_properties(tenant: Tenant, job: StoredJob, query: JobQuery) -> bool:
    document = job_document(tenant, job)
    return all(value in texts_at(document, path.split(".")) for path, value in query.properties)
