"""`/livez`, `/readyz`, `/metrics`: for operators; open to all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from app.adapters.http.errors import json_response
from app.adapters.http.metrics import CONTENT_TYPE, HttpMetrics

Check: TypeAlias = Callable[[], Awaitable[str | None]]
"""Returns None when all is well, else what is wrong; never raises."""


def health_router(checks: Mapping[str, Check], metrics: HttpMetrics) -> APIRouter:
    """Return the routes that operators poll.

    Args:
        checks: What the service needs, by name.
        metrics: What `/metrics` shows.
    """
    router = APIRouter(tags=["Health"])

    @router.get("/livez")
    async def live() -> Response:
        """Answer 200 while the process serves requests."""
        return json_response({"status": "live"})

    @router.get("/readyz", responses={503: {"description": "Something needed does not answer."}})
    async def ready() -> Response:
        """Answer 200 when everything needed answers, else 503 naming what does not."""
        found = {name: await check() for name, check in checks.items()}
        wrong = any(reason is not None for reason in found.values())
        body = {
            "status": "not ready" if wrong else "ready",
            "checks": {name: reason or "ok" for name, reason in found.items()},
        }
        return json_response(body, 503 if wrong else 200)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def show_metrics() -> Response:
        """Return Prometheus metrics."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return router
