"""The ASGI application: routes, error answers, and the layers every request passes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app.adapters.http.audiences import audiences_router
from app.adapters.http.auth import Authenticator
from app.adapters.http.definitions import definitions_router
from app.adapters.http.entities import entities_router
from app.adapters.http.errors import (
    Fault,
    code_at,
    error_response,
    internal_response,
    problem_response,
    request_id_of,
)
from app.adapters.http.external_schemas import TAG_MARK
from app.adapters.http.gateway import Admission, Tracing
from app.adapters.http.health import Check, health_router
from app.adapters.http.ingestion import ingestion_router
from app.adapters.http.jobs import jobs_router
from app.adapters.http.metrics import HttpMetrics
from app.adapters.http.profiles import profiles_router
from app.adapters.http.search import search_router
from app.domain.errors import SegmentationError
from app.service.definitions import Definitions
from app.service.entity_access import EntityAccess
from app.service.external_audiences import ExternalAudiences
from app.service.jobs import Jobs
from app.service.profile_updates import ProfileUpdates
from app.service.profiles import Profiles
from app.service.search import Search

_log = structlog.get_logger(__name__)

_HEADERS = {
    "x-api-key": "Key of the calling application.",
    "x-gw-ims-org-id": "Organisation, such as `0A1B2C3D4E5F60718293A4B5@AdobeOrg`.",
    "x-sandbox-name": "Sandbox, such as `prod`; every object lives inside exactly one.",
}


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
    updates: ProfileUpdates
    external: ExternalAudiences
    jobs: Jobs
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

    api = FastAPI(
        title="Segmentation Service",
        version=version,
        description="Control plane of a self-hosted streaming segmentation service.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # its page loads from a CDN
        redoc_url=None,
    )
    api.include_router(definitions_router(parts.definitions))
    api.include_router(jobs_router(parts.jobs))
    api.include_router(search_router(parts.search))
    api.include_router(audiences_router(parts.definitions, parts.external))
    api.include_router(ingestion_router(parts.external))
    api.include_router(entities_router(EntityAccess(parts.profiles)))
    api.include_router(profiles_router(parts.profiles, parts.updates))
    api.include_router(health_router(parts.checks, parts.metrics))
    document = _document(api)
    routes = _Routes(document["paths"])
    _handle_errors(api, routes)
    return Tracing(Admission(api, parts.authenticator), parts.metrics, routes.template_of)


class _Routes:
    """Templates and methods, read from the OpenAPI document."""

    def __init__(self, paths: Mapping[str, Mapping[str, Any]]) -> None:
        self._routes = [
            (_pattern(template), template, sorted(method.upper() for method in operations))
            for template, operations in sorted(paths.items(), key=lambda item: "{" in item[0])
        ]

    def template_of(self, path: str) -> str:
        """Return the template that a path belongs to."""
        for pattern, template, _ in self._routes:
            if pattern.fullmatch(path):
                return template
        return "unknown"

    def allowed(self, path: str) -> str:
        """Return the value of the `Allow` header for a path."""
        methods = {"OPTIONS"}
        for pattern, _, found in self._routes:
            if pattern.fullmatch(path):
                methods.update(found)
        if "GET" in methods:
            methods.add("HEAD")
        return ", ".join(sorted(methods))


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", template)
    text = "".join(_part(part) for part in parts)
    return re.compile(text)


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return ".+" if part == "{profileId}" else "[^/]+"


_documents: dict[str, dict[str, Any]] = {}


def _document(api: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document; the routes are always the same, and describing them is slow."""
    found = _documents.get(api.version)
    if found is None:
        found = _documents[api.version] = _described(api.openapi())
    document = found
    # As FastAPI's guide has it.
    api.openapi = lambda: document  # type: ignore[method-assign]
    return document


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """Add the security of every route that is not open, in place."""
    schemes: dict[str, Any] = {"bearer": {"type": "http", "scheme": "bearer"}}
    for name, text in _HEADERS.items():
        schemes[name] = {"type": "apiKey", "in": "header", "name": name, "description": text}
    document["components"]["securitySchemes"] = schemes
    document["security"] = [{name: [] for name in schemes}]
    for operations in document["paths"].values():
        for operation in operations.values():
            # The framework's own; ours is 400 with the problem document.
            if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                del operation["responses"]["422"]
            if operation.get("tags") == ["Health"]:
                operation["security"] = []
    return document


def _handle_errors(api: FastAPI, routes: _Routes) -> None:
    @api.exception_handler(SegmentationError)
    async def ours(request: Request, error: SegmentationError) -> Response:
        answer = error_response(request_id_of(request), error, request.url.path)
        if answer.status_code == 500:
            _log.error("request-failed", request_id=request_id_of(request), reason=error.message)
        return answer

    @api.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> Response:
        return internal_response(
            request_id_of(request), request.url.path
        )  # raised again, and logged by Tracing

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
        text = f"{path} does not take {request.method}; it takes {allowed}"
        code = "method-not-allowed"
        return problem_response(request_id, code, [Fault(code, text)], {"Allow": allowed})
    if error.status_code == 404:
        text = f"there is nothing at {path}; /openapi.json lists what there is"
        code = code_at(path, "not-found")
        return problem_response(request_id, code, [Fault(code, text)])
    text = str(error.detail)
    code = code_at(path, "invalid")
    return problem_response(request_id, code, [Fault(code, text)])
