"""`/audiences/bulk-patch-metric`: sizes of audiences that other systems tell."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.adapters.http.context import tenant_of
from app.adapters.http.definitions import now_ms
from app.adapters.http.errors import json_response
from app.adapters.http.metric_schemas import MetricAnswer, MetricBody, MetricResource
from app.domain.model import JsonObject
from app.service.audience_metrics import AudienceMetrics


def add_metric_call(router: APIRouter, metrics: AudienceMetrics) -> None:
    """Add the call to the routes of audiences; before those with an id in its place."""

    @router.post(
        "/audiences/bulk-patch-metric", status_code=207, responses={207: {"model": MetricAnswer}}
    )
    async def tell_audience_metrics(request: Request, body: MetricBody) -> Response:
        """Note what a job elsewhere has counted; lists show it with `withMetrics`."""
        rows = [one.told() for one in body.resources]
        job = body.job_id, body.job_type
        known = await metrics.tell(tenant_of(request), job, rows, now_ms())
        answers = [_answer(*one) for one in zip(body.resources, known, strict=True)]
        return json_response({"resources": answers}, 207)


def _answer(resource: MetricResource, is_known: bool) -> JsonObject:
    named = {"audienceId": resource.audience_id, "namespace": resource.namespace}
    if is_known:
        return {**named, "status": 200}
    text = f"there is no audience {resource.audience_id!r} in namespace {resource.namespace!r}"
    entry = {"code": "UPAPI-113430-404", "message": text}
    return {**named, "status": 404, "errors": {"404": [entry]}}
