"""`/preview` and `/estimate`: which profiles meet a predicate, and how many."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from app.adapters.http.context import BASE_PATH, PROBLEMS, only_parameters, tenant_of
from app.adapters.http.definitions import MAX_LIMIT
from app.adapters.http.errors import json_response
from app.adapters.http.preview_schemas import (
    EstimateShown,
    PreviewBody,
    PreviewCreated,
    PreviewShown,
)
from app.adapters.http.problem_schemas import Problem
from app.adapters.http.schemas import Governance, Message
from app.domain.errors import UserError
from app.service.preview_document import (
    PREVIEW_PATH,
    created_document,
    estimate_document,
    preview_document,
)
from app.service.previews import Previews, preview_id_of

_ITEM = f"{PREVIEW_PATH}/{{previewId}}"
_ESTIMATE = "/estimate/{previewId}"
_FURTHEST = 10_000_000
_BUSY = {"model": Problem, "description": "Too many previews are unfinished or kept."}
_STATUSES: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request is malformed, or the predicate refused."},
    **{status: PROBLEMS[status] for status in (403, 503)},
}

PreviewId = Annotated[str, Path(alias="previewId", description="`previewId` of the preview.")]


def previews_router(previews: Previews) -> APIRouter:
    """Return the routes of previews and estimates."""
    router = APIRouter(prefix=BASE_PATH, tags=["Previews"], responses=_STATUSES)

    @router.post(
        PREVIEW_PATH,
        status_code=201,
        responses={201: {"model": PreviewCreated}, 413: PROBLEMS[413], 429: _BUSY},
    )
    async def create_preview(request: Request, body: PreviewBody) -> Response:
        """Begin a preview of the profiles that meet a predicate, and with it an estimate."""
        only_parameters(request, ())
        policy = body.data_governance_policy or Governance()
        preview = await previews.create(
            tenant_of(request),
            body.predicate_expression,
            is_stitched=body.graph_type == "pdg",
            excludes_opt_out=policy.exclude_opt_out,
            stated_format=body.predicate_type,
        )
        location = f"{BASE_PATH}{PREVIEW_PATH}/{preview_id_of(preview.task.query_id)}"
        return json_response(created_document(preview), 201, {"X-Location": location})

    @router.get(_ITEM, responses={200: {"model": PreviewShown}, 404: PROBLEMS[404]})
    async def get_preview(
        request: Request,
        preview_id: PreviewId,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Results on a page.")] = 1_000,
        offset: Annotated[str, Query(description="Results to skip.")] = "0",
    ) -> Response:
        """Return a page of the profiles found; none until the preview is `RESULT_READY`."""
        only_parameters(request, ("limit", "offset"))
        start = _parsed_offset(offset)
        page = await previews.page(tenant_of(request), preview_id, start, limit)
        return json_response(preview_document(BASE_PATH, page, start, limit))

    @router.delete(_ITEM, responses={200: {"model": Message}, 404: PROBLEMS[404]})
    async def delete_preview(request: Request, preview_id: PreviewId) -> Response:
        """Cancel a preview and remove it with its results."""
        only_parameters(request, ())
        await previews.delete(tenant_of(request), preview_id)
        return json_response({"status": True, "message": "KILLED"})

    @router.get(_ESTIMATE, responses={200: {"model": EstimateShown}, 404: PROBLEMS[404]})
    async def get_estimate(request: Request, preview_id: PreviewId) -> Response:
        """Return how many profiles meet the predicate of a preview, as far as it is known."""
        only_parameters(request, ())
        preview = await previews.get(tenant_of(request), preview_id)
        return json_response(estimate_document(BASE_PATH, preview))

    return router


def _parsed_offset(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(_FURTHEST)):
        return int(text)
    raise UserError(
        f"offset: {text!r} is no number of results to skip; follow links.next",
        code="invalid-parameter",
    )
