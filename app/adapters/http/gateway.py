"""What every request passes before its route: trace id, caller, body limits, HEAD, metrics.

Plain ASGI, so that a request is refused before any of its body is looked at, and an unexpected
error is logged once and answered without its details.
"""

from __future__ import annotations

import re
import secrets
import string
import time
from collections.abc import Callable

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.adapters.http.auth import Authenticator
from app.adapters.http.errors import (
    Fault,
    GatewayRefusal,
    code_at,
    content_type_response,
    error_response,
    gateway_response,
    internal_response,
    method_response,
    problem_response,
)
from app.adapters.http.metrics import HttpMetrics
from app.adapters.http.routes import Routes
from app.domain.errors import UserError

DOCS_PATH = "/docs"
DOCS_ASSETS = "/docs-assets"
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", DOCS_PATH})
"""Answered without a token, as is what lies under the two of the docs."""

MAX_BODY_BYTES = 1024 * 1024

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_ID_LETTERS = string.ascii_letters + string.digits
_ID_LENGTH = 32
_CLIENT_LEFT = 499
"""Counted, never sent: the connection went away before there was an answer."""
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_CONVERSION = "/data/core/ups/segment/conversion"
_SCHEDULE = re.compile(r"/data/core/ups/config/schedules/[^/]+")

_log = structlog.get_logger(__name__)


class Tracing:
    """The outermost layer: request id, HEAD as GET without a body, metrics, the last catch.

    Args:
        template_of: Returns the route template of a path, for the metric labels.
    """

    def __init__(
        self, app: ASGIApp, metrics: HttpMetrics, template_of: Callable[[str], str]
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._template_of = template_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        without_body = scope["method"] == "HEAD"
        inner = {**scope, "state": {**scope.get("state", {}), "request_id": request_id}}
        if without_body:
            inner["method"] = "GET"
        answer = _Answer(send, request_id, without_body=without_body)
        started = time.perf_counter()
        try:
            await self._app(inner, receive, answer.send)
        except Exception:
            _log.exception("request-failed", request_id=request_id, path=scope["path"])
            if not answer.status:
                await internal_response(request_id, scope["path"])(inner, receive, answer.send)
            elif not answer.complete:  # half an answer is out: only breaking off is honest
                raise
        finally:
            seconds = time.perf_counter() - started
            route = self._template_of(scope["path"])
            status = answer.status or _CLIENT_LEFT
            self._metrics.observe(scope["method"], route, status, seconds)


class _Answer:
    """Counts and completes what goes out."""

    def __init__(self, send: Send, request_id: str, *, without_body: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._without_body = without_body
        self.status = 0
        self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._request_id
            headers["x-content-type-options"] = "nosniff"
            headers.setdefault("cache-control", "no-store")
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
            if self._without_body:
                message = {**message, "body": b""}
        await self._send(message)


def _request_id(given: str | None) -> str:
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))


class Admission:
    """The gateway layer: nobody passes without a token, nothing that is not bounded JSON."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, routes: Routes) -> None:
        self._app = app
        self._authenticator = authenticator
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http" or _is_open(scope["path"]) or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None and scope["method"] in _WITH_BODY:
            refusal, receive = await _checked_body(scope, receive)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        request = Request(scope)
        try:
            caller = self._authenticator.caller(request.headers)
        except GatewayRefusal as refusal:
            return gateway_response(refusal.code, scope["state"]["request_id"], scope["path"])
        except UserError as error:
            return error_response(scope["state"]["request_id"], error, scope["path"])
        scope["state"]["tenant"], scope["state"]["caller"] = caller.tenant, caller.name
        path, method = scope["path"], scope["method"]
        if not self._routes.takes(path, method):
            # Before anything is said of a body, and before a fixed word is taken for an id.
            allowed = self._routes.allowed(path)
            return method_response(scope["state"]["request_id"], path, method, allowed)
        return None


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith((f"{DOCS_PATH}/", f"{DOCS_ASSETS}/"))


async def _checked_body(scope: Scope, receive: Receive) -> tuple[Response | None, Receive]:
    """Read the whole body, unless it is too large, and see that it is JSON."""
    request = Request(scope, receive)
    request_id = scope["state"]["request_id"]
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        if not _is_taken_as_json(scope):
            return content_type_response(kind), receive
        MutableHeaders(scope=scope)["content-type"] = "application/json"
    body = await _bounded_body(request)
    if body is None:
        text = f"The body is larger than {MAX_BODY_BYTES} bytes; send less at a time."
        code = "body-too-large"
        return problem_response(request_id, code, [Fault(code, text)]), receive
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = f"The body is not JSON: {error}."
        code = code_at(scope["path"], "invalid-body")
        return problem_response(request_id, code, [Fault(code, text)]), receive
    return None, _replay(body, receive)


def _is_taken_as_json(scope: Scope) -> bool:
    """Tell whether a body need not be declared.

    The guides send a change of a schedule without a type; the document takes any for a conversion.
    """
    if scope["method"] == "POST":
        return bool(scope["path"] == _CONVERSION)
    return scope["method"] == "PATCH" and _SCHEDULE.fullmatch(scope["path"]) is not None


async def _bounded_body(request: Request) -> bytes | None:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
