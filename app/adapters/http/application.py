"""The ASGI application: routes, error answers, and the layers every request passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app.adapters.http.audiences import audiences_router
from app.adapters.http.auth import Authenticator
from app.adapters.http.conversion import conversion_router
from app.adapters.http.definitions import definitions_router
from app.adapters.http.entities import entities_router
from app.adapters.http.errors import (
    Fault,
    code_at,
    error_response,
    internal_response,
    method_response,
    problem_response,
    request_id_of,
)
from app.adapters.http.explanations import explanations_router
from app.adapters.http.exports import exports_router
from app.adapters.http.external_schemas import TAG_MARK
from app.adapters.http.gateway import DOCS_ASSETS, DOCS_PATH, Admission, Tracing
from app.adapters.http.health import Check, health_router
from app.adapters.http.ingestion import ingestion_router
from app.adapters.http.jobs import jobs_router
from app.adapters.http.metrics import HttpMetrics
from app.adapters.http.openapi import describe
from app.adapters.http.previews import previews_router
from app.adapters.http.profiles import profiles_router
from app.adapters.http.routes import Routes
from app.adapters.http.schedules import schedules_router
from app.adapters.http.search import search_router
from app.domain.errors import SegmentationError
from app.service.audience_metrics import AudienceMetrics
from app.service.definitions import Definitions
from app.service.entity_access import EntityAccess
from app.service.explanations import Explanations
from app.service.exports import Exports
from app.service.expressions import RefusedDefinition, rendered
from app.service.external_audiences import ExternalAudiences
from app.service.jobs import Jobs
from app.service.previews import Previews
from app.service.profile_updates import ProfileUpdates
from app.service.profiles import Profiles
from app.service.schedules import Schedules
from app.service.search import Search

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is wired from.

    Attributes:
        checks: What readiness depends on, by name.
        background: Entered when the application starts and left when it stops.
    """

    authenticator: Authenticator
    definitions: Definitions
    profiles: Profiles
    explanations: Explanations
    updates: ProfileUpdates
    external: ExternalAudiences
    audience_metrics: AudienceMetrics
    jobs: Jobs
    schedules: Schedules
    exports: Exports
    previews: Previews
    search: Search
    metrics: HttpMetrics
    checks: Mapping[str, Check]
    background: AbstractAsyncContextManager[None]


def create_application(parts: Parts, version: str) -> ASGIApp:
    """Return the whole control plane as one ASGI application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        async with parts.background:
            yield

    # The page of FastAPI itself loads its scripts from a CDN.
    api = FastAPIOffline(
        docs_url=DOCS_PATH,
        redoc_url=None,
        static_url=DOCS_ASSETS,
        title="Segmentation Service",
        version=version,
        description="Control plane of a self-hosted streaming segmentation service.",
        lifespan=lifespan,
        redirect_slashes=False,
        swagger_ui_oauth2_redirect_url=f"{DOCS_PATH}/oauth2-redirect",
    )
    api.include_router(definitions_router(parts.definitions))
    api.include_router(conversion_router(parts.definitions))
    api.include_router(jobs_router(parts.jobs))
    api.include_router(schedules_router(parts.schedules))
    api.include_router(exports_router(parts.exports))
    api.include_router(previews_router(parts.previews))
    api.include_router(search_router(parts.search))
    api.include_router(audiences_router(parts.definitions, parts.external, parts.audience_metrics))
    api.include_router(ingestion_router(parts.external))
    api.include_router(entities_router(EntityAccess(parts.profiles)))
    # Before the routes of profiles: the path of a whole profile matches its paths too.
    api.include_router(explanations_router(parts.explanations))
    api.include_router(profiles_router(parts.profiles, parts.updates))
    api.include_router(health_router(parts.checks, parts.metrics))
    routes = Routes(_document(api)["paths"])
    _handle_errors(api, routes)
    admission = Admission(api, parts.authenticator, routes)
    return Tracing(admission, parts.metrics, routes.template_of)


_documents: dict[str, dict[str, Any]] = {}


def _document(api: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document; the routes are always the same, and describing them is slow."""
    found = _documents.get(api.version)
    if found is None:
        found = _documents[api.version] = describe(api.openapi())
    document = found
    # As FastAPI's guide has it.
    api.openapi = lambda: document  # type: ignore[method-assign]
    return document


def _handle_errors(api: FastAPI, routes: Routes) -> None:
    @api.exception_handler(SegmentationError)
    async def ours(request: Request, error: SegmentationError) -> Response:
        answer = error_response(request_id_of(request), error, request.url.path)
        if isinstance(error, RefusedDefinition):
            problems = [rendered(problem) for problem in error.details]
            _log.info("expression-refused", request_id=request_id_of(request), problems=problems)
        if answer.status_code == 500:
            _log.error("request-failed", request_id=request_id_of(request), reason=error.message)
        return answer

    @api.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> Response:
        # Raised again, and logged by Tracing.
        return internal_response(request_id_of(request), request.url.path)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _invalid_response(request, error.errors())

    @api.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        return _framework_response(request, error, routes.allowed(request.url.path))


def _invalid_response(request: Request, problems: Sequence[Any]) -> Response:
    in_body = any(problem["loc"][0] == "body" for problem in problems)
    code = code_at(request.url.path, "invalid-body" if in_body else "invalid-parameter")
    faults = [Fault(code, _located(problem)) for problem in problems]
    if code == "audience-unreadable":
        # The reference chains what failed, then which field.
        faults.insert(0, Fault(code, "The body cannot be read: fields are missing or malformed."))
    return problem_response(request_id_of(request), code, faults)


def _located(problem: Mapping[str, Any]) -> str:
    parts = [str(part) for part in problem["loc"][1:]]
    place = ".".join(part for part in parts if not part.startswith(TAG_MARK)) or "the body"
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {text}"


def _framework_response(request: Request, error: HTTPException, allowed: str) -> Response:
    request_id, path = request_id_of(request), request.url.path
    if error.status_code == 405 and request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allowed})
    if error.status_code == 405:
        return method_response(request_id, path, request.method, allowed)
    if error.status_code == 404:
        text = f"there is nothing at {path}; /openapi.json lists what there is"
        code = code_at(path, "not-found")
        return problem_response(request_id, code, [Fault(code, text)])
    text = str(error.detail)
    code = code_at(path, "invalid")
    return problem_response(request_id, code, [Fault(code, text)])
