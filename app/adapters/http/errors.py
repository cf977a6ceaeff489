"""Every error answer: one table from code to status, and the bodies of the API reference.

Three shapes, by the layer that refuses: the gateway (header and token problems), the platform
(content type), and the problem document of the service itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.domain.errors import SegmentationError, UserError
from app.domain.model import JsonObject
from app.domain.quartz_parser import InvalidCron
from app.service.expressions import ExpressionProblem, RefusedDefinition
from app.service.profile_updates import RefusedUpdates
from app.service.search import RefusedQuery

TYPE_BASE = "https://ns.adobe.com/aep/errors/"
"""What problem types of the published API begin with; clients compare the whole text."""

STATUS = {
    "invalid": 400,
    "invalid-body": 400,
    "invalid-definition": 400,
    "invalid-parameter": 400,
    "invalid-query": 400,
    "invalid-update": 400,
    "sandbox-missing": 400,
    "sandbox-unknown": 403,
    "not-found": 404,
    "definition-not-found": 404,
    "definitions-not-found": 404,
    "profile-not-found": 404,
    "method-not-allowed": 405,
    "job-invalid": 400,
    "job-not-found": 404,
    "jobs-not-found": 404,
    "job-ended": 409,
    "jobs-busy": 429,
    "preview-not-found": 404,
    "previews-busy": 429,
    "conflict": 409,
    "catalogue-busy": 409,
    "definition-exists": 409,
    "has-dependents": 409,
    "schedule-invalid": 400,
    "schedule-not-found": 404,
    "schedule-busy": 429,
    "audience-ids": 400,
    "audience-invalid": 400,
    "audience-unreadable": 400,
    "audience-used": 400,
    "audience-not-found": 404,
    "audiences-not-found": 404,
    "body-too-large": 413,
    "name-taken": 422,
    "cannot-explain": 422,
    "external-bad-request": 400,
    "external-bad-token": 400,
    "external-no-header": 401,
    "external-bad-organisation": 401,
    "external-not-allowed": 401,
    "external-not-found": 404,
    "external-duplicate": 409,
    "external-unprocessable": 422,
    "external-internal": 500,
    "external-bad-gateway": 502,
    "dataset-unknown": 400,
    "internal": 500,
    "unavailable": 503,
}
"""Status of each code of a problem document; anything else is `internal`."""

PUBLISHED = {
    "audience-ids": "UPAPI-113015-400",
    "audience-invalid": "UPAPI-113434-400",
    "audience-unreadable": "UPLIB-101206-500",
    "audience-used": "UPAPI-113631-403",
    "audience-not-found": "UPAPI-113430-404",
    "audiences-not-found": "UPAPI-113000-404",
    "dataset-unknown": "UPLIB-101554-503",
    "external-bad-request": "100910-400",
    "external-bad-token": "100911-400",
    "external-no-header": "100920-401",
    "external-bad-organisation": "100921-401",
    "external-not-allowed": "100922-401",
    "external-not-found": "100940-404",
    "external-duplicate": "100950-409",
    "external-unprocessable": "100960-422",
    "external-internal": "100970-500",
    "external-bad-gateway": "100970-502",
}
"""Codes that the API reference gives; their last number need not be the status."""

_AUDIENCES = re.compile(r"/data/core/ups/audiences(/.*)?")
_OF_AUDIENCES = {
    "definition-not-found": "audience-not-found",
    "definitions-not-found": "audiences-not-found",
    "has-dependents": "audience-used",
    "invalid-body": "audience-unreadable",
    "invalid-definition": "audience-invalid",
    "name-taken": "audience-invalid",
}
"""What the routes of audiences say for a code, as the API reference has it."""

_INGESTION = re.compile(r"/data/core/ais(/.*)?")
_OF_INGESTION = {
    "audience-invalid": "external-bad-request",
    "audience-unreadable": "external-bad-request",
    "invalid": "external-bad-request",
    "invalid-body": "external-bad-request",
    "invalid-parameter": "external-bad-request",
    "definition-not-found": "external-not-found",
    "not-found": "external-not-found",
    "name-taken": "external-duplicate",
    "has-dependents": "external-unprocessable",
    "catalogue-busy": "external-unprocessable",
    "sandbox-missing": "external-no-header",
    "sandbox-unknown": "external-not-allowed",
    "internal": "external-internal",
    "unavailable": "external-bad-gateway",
}
"""What the routes of external audience ingestion say for a code, as the API reference has it."""

_MESSAGES = {
    "external-bad-request": "BAD_REQUEST",
    "external-bad-token": "BAD_REQUEST",
    "external-no-header": "UNAUTHORIZED",
    "external-bad-organisation": "UNAUTHORIZED",
    "external-not-allowed": "UNAUTHORIZED",
    "external-not-found": "NOT_FOUND",
    "external-duplicate": "DUPLICATE_RESOURCE",
    "external-unprocessable": "UNPROCESSABLE_ENTITY",
    "external-internal": "INTERNAL_SERVER_ERROR",
    "external-bad-gateway": "BAD_GATEWAY",
}
"""Message constants of these codes: the first entry of the problem, before what is wrong."""

_REFUSED_AT_INGESTION = {
    "403010": "external-no-header",
    "401013": "external-bad-token",
    "403000": "external-no-header",
    "403003": "external-not-allowed",
    "400003": "external-no-header",
    "403025": "external-not-allowed",
    "403027": "external-bad-organisation",
}
"""What ingestion says for a gateway error, by its code."""

GATEWAY = {
    "403010": "The Authorization header is missing; send Bearer and an access token.",
    "401013": "The access token is not valid; get a new one.",
    "403000": "The x-api-key header is missing.",
    "403003": "The API key is not known, or does not belong to the access token.",
    "400003": "The x-gw-ims-org-id header is missing.",
    "403025": "The access token is not entitled to this organisation.",
    "403027": "The organisation id is malformed.",
}
"""Message of each gateway error; the status is its first three digits."""

_SAID = frozenset({"code", "message"})
_INTERNAL = "Something went wrong here; the log of the service has the details."


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a problem document.

    Attributes:
        code: Of this entry; may be finer than that of the whole answer.
        extra: Further fields, such as the position in an expression.
    """

    code: str
    message: str
    extra: dict[str, Any] | None = None


class GatewayRefusal(Exception):
    """A request that the gateway layer refuses; `code` is a key of `GATEWAY`."""

    def __init__(self, code: str) -> None:
        super().__init__(GATEWAY[code])
        self.code = code


def json_response(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a JSON answer."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def request_id_of(request: Request) -> str:
    """Return the id that this request is traced by."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def gateway_response(code: str, request_id: str = "", path: str = "") -> Response:
    """Return the two-field answer of the gateway layer; ingestion has its own."""
    if _INGESTION.fullmatch(path):
        here = _REFUSED_AT_INGESTION[code]
        return problem_response(request_id, here, [Fault(here, GATEWAY[code])])
    return json_response({"error_code": code, "message": GATEWAY[code]}, int(code[:3]))


def content_type_response(given: str) -> Response:
    """Return the answer to a body that is not declared as JSON."""
    said = f"is {given!r}" if given else "is missing"
    body = {
        "type": "/placeholder/type/uri",
        "status": 400,
        "title": "BadRequestError",
        "detail": f"The Content-Type header {said}; send application/json.",
    }
    return json_response(body, 400)


def code_at(path: str, code: str) -> str:
    """Return the code of a whole answer as the routes at a path say it."""
    if _INGESTION.fullmatch(path):
        return _OF_INGESTION.get(code, code)
    return _OF_AUDIENCES.get(code, code) if _AUDIENCES.fullmatch(path) else code


def long_code(code: str) -> str:
    """Return a code as it is published, with a number at its end."""
    return PUBLISHED.get(code) or f"SEG-{code.upper()}-{STATUS.get(code, 500)}"


def problem_document(request_id: str, code: str, faults: Iterable[Fault]) -> dict[str, Any]:
    """Return the problem document of the service: outermost fault first."""
    status = STATUS.get(code, 500)
    if code in _MESSAGES:
        faults = [Fault(code, _MESSAGES[code]), *faults]
    listed = [
        {"code": _entry_code(fault.code, status), "message": fault.message, **(fault.extra or {})}
        for fault in faults
    ]
    return {
        "requestId": request_id,
        "errors": {str(status): listed},
        "type": f"{TYPE_BASE}{long_code(code)}",
        "title": listed[0]["message"],
        "status": status,
    }


def _entry_code(code: str, status: int) -> str:
    return PUBLISHED.get(code) or f"SEG-{code.upper()}-{status}"


def problem_response(
    request_id: str,
    code: str,
    faults: Iterable[Fault],
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a problem document as an answer."""
    document = problem_document(request_id, code, faults)
    return json_response(document, document["status"], headers)


def method_response(request_id: str, path: str, method: str, allowed: str) -> Response:
    """Return the answer to a method that a path does not take."""
    text = f"{path} does not take {method}; it takes {allowed}"
    code = "method-not-allowed"
    return problem_response(request_id, code, [Fault(code, text)], {"Allow": allowed})


def error_response(request_id: str, error: SegmentationError, path: str = "") -> Response:
    """Return the answer to an error of ours; what is not for clients stays inside."""
    code = code_at(path, error.code)
    if code not in STATUS or code in ("internal", "external-internal"):
        return internal_response(request_id, path)
    headers = {"Retry-After": "1"} if STATUS[code] in (429, 502, 503) else None
    return problem_response(request_id, code, _faults(error, code), headers)


def internal_response(request_id: str, path: str = "") -> Response:
    """Return the answer to a defect of ours."""
    code = code_at(path, "internal")
    return problem_response(request_id, code, [Fault(code, _INTERNAL)])


def _faults(error: SegmentationError, code: str) -> list[Fault]:
    faults = [Fault(code, error.message)]
    if isinstance(error, RefusedDefinition | RefusedQuery):
        faults += [Fault(one.code, one.message, position_fields(one)) for one in error.details]
    if isinstance(error, RefusedUpdates):
        faults += [_refused(item, refusal) for item, refusal in error.refused]
    if isinstance(error, InvalidCron):
        faults += [
            Fault(code, f"{one.field}: {one.message}", {"hint": one.hint}) for one in error.problems
        ]
    return faults


def position_fields(problem: ExpressionProblem) -> JsonObject:
    """Return where a problem or warning is, and the remedy; what there is not is left out."""
    fields = asdict(problem)
    return {name: value for name, value in fields.items() if value and name not in _SAID}


def _refused(item: int | None, refusal: UserError) -> Fault:
    if item is None:
        return Fault(refusal.code, refusal.message)
    return Fault(refusal.code, f"update {item}: {refusal.message}", {"item": item})
