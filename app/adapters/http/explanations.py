"""`/profiles/{profileId}/segments/{segmentId}/explain`: why a profile is in a segment, or not.

An extension, as all of `/profiles`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.adapters.http.context import MAX_MS, PROBLEMS, only_parameters, tenant_of
from app.adapters.http.definitions import MAX_LIMIT, SegmentId
from app.adapters.http.errors import json_response
from app.adapters.http.explanation_schemas import ExplanationAnswer
from app.adapters.http.profiles import ProfileId
from app.domain.errors import UserError
from app.domain.model import ProfileKey
from app.pql.calendar import parse_timestamp
from app.service.explanations import Explanations, Question

_AT_ONCE = 2
"""Explanations that are made side by side; there is one interpreter for all requests."""

Made = TypeVar("Made")

_PATH = "/profiles/{profileId:path}/segments/{segmentId}/explain"
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **{status: PROBLEMS[status] for status in (400, 403, 404, 422, 503)},
    200: {"model": ExplanationAnswer},
}
_ANSWERS[422] = PROBLEMS[422] | {
    "description": "It takes too many evaluations, or the expression is of a later version."
}
Limit = Annotated[
    int, Query(ge=0, le=MAX_LIMIT, description="Events listed of each condition, the newest.")
]
At = Annotated[
    str | None,
    Query(
        description="The instant, ISO 8601 or epoch milliseconds; the clock of the profile's"
        " partition if it is not given. Attributes and memberships are those stored now."
    ),
]


class Threads:
    """Runs what takes long in a thread, little of it at once."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def run(self, work: Callable[..., Made], *arguments: object) -> Made:
        """Return what a function returns."""
        async with self._free:
            return await asyncio.to_thread(work, *arguments)


def explanations_router(explanations: Explanations) -> APIRouter:
    """Return the route of explanations."""
    router = APIRouter(tags=["Profiles"])

    @router.get(_PATH, responses=_ANSWERS)
    async def explain_membership(
        request: Request,
        profile_id: ProfileId,
        segment_id: SegmentId,
        limit: Limit = 20,
        at: At = None,
    ) -> Response:
        """Explain why a profile is in a segment, or not: the definition on what is stored of it."""
        only_parameters(request, ("limit", "at"))
        key = ProfileKey(tenant_of(request), profile_id)
        question = Question(key, segment_id, None if at is None else _instant(at), limit)
        return json_response(await explanations.explain(question))

    return router


def _instant(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else text
    at_ms = parse_timestamp(value)
    if at_ms is None or not 0 <= at_ms <= MAX_MS:
        message = f"at is {text!r}; send an instant as 2026-01-05T10:00:00Z or epoch milliseconds"
        raise UserError(message, code="invalid-parameter")
    return at_ms
