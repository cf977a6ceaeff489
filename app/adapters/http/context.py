"""What every route shares: its base path, who calls, and the error answers it documents."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.requests import Request

from app.adapters.http.errors import request_id_of
from app.adapters.http.problem_schemas import Problem
from app.domain.errors import UserError
from app.domain.model import Tenant

BASE_PATH = "/data/core/ups"
INGESTION_PATH = "/data/core/ais"

MAX_START = 1_000_000_000
"""Where a page can begin, in rows or pages: with the limit, what Redis takes as an index."""

MAX_MS = 253_402_300_799_999
"""The end of the year 9999."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The request is malformed, or the definition is refused.",
        403: "The caller may not do this.",
        404: "There is no such object.",
        409: "Other objects stand against it.",
        413: "The body is too large.",
        422: "The name is taken.",
        503: "Redis does not answer; try again.",
    }.items()
}

__all__ = [
    "BASE_PATH",
    "INGESTION_PATH",
    "MAX_MS",
    "MAX_START",
    "PROBLEMS",
    "TOO_MANY_JOBS",
    "caller_of",
    "job_problems",
    "only_parameters",
    "request_id_of",
    "tenant_of",
]


def job_problems(malformed: str) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of routes of jobs; `malformed` says what 400 means there."""
    shared = {status: shown for status, shown in PROBLEMS.items() if status != 422}
    return {**shared, 400: {"model": Problem, "description": malformed}}


TOO_MANY_JOBS: dict[int | str, dict[str, Any]] = {
    429: {"model": Problem, "description": "Too many jobs are unfinished; try again later."}
}
"""What starting a job can also be answered with."""


def only_parameters(
    request: Request, names: Collection[str], repeated: Collection[str] = ()
) -> None:
    """Refuse query parameters that are not known, or that come twice.

    Args:
        request: To look at.
        names: Those that there are.
        repeated: Those of them that may come several times.

    Raises:
        UserError: Naming the parameter.
    """
    for name in dict.fromkeys(request.query_params):
        if name not in names:
            text = f"{name} is no parameter here; there are {', '.join(sorted(names)) or 'none'}"
            raise UserError(text, code="invalid-parameter")
        if name not in repeated and len(request.query_params.getlist(name)) > 1:
            raise UserError(f"{name} is given twice; send it once", code="invalid-parameter")


def caller_of(request: Request) -> str:
    """Return the name of the caller that the gateway layer found."""
    return str(request.scope["state"]["caller"])


def tenant_of(request: Request) -> Tenant:
    """Return the tenant that the gateway layer found; no route that needs it is open."""
    tenant = request.scope["state"]["tenant"]
    assert isinstance(tenant, Tenant)
    return tenant
