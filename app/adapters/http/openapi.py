"""What the OpenAPI document says of every operation: its credentials, and who refuses it how.

The framework writes the rest from the routes.
"""

from __future__ import annotations

from typing import Any

from app.adapters.http.context import INGESTION_PATH
from app.adapters.http.problem_schemas import GatewayError, PlatformError

_HEADERS = {
    "x-api-key": "Key of the calling application.",
    "x-gw-ims-org-id": "Organisation, such as `0A1B2C3D4E5F60718293A4B5@AdobeOrg`.",
    "x-sandbox-name": "Sandbox, such as `prod`; every object lives inside exactly one.",
}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_GATEWAY = {"$ref": "#/components/schemas/GatewayError"}
_PLATFORM = {"$ref": "#/components/schemas/PlatformError"}
_WITH_BODY = ("post", "put", "patch")

Json = dict[str, Any]


def describe(document: Json) -> Json:
    """Add to the framework's document what it cannot know, in place."""
    components = document["components"]
    schemes: Json = {"bearer": {"type": "http", "scheme": "bearer"}}
    for name, text in _HEADERS.items():
        schemes[name] = {"type": "apiKey", "in": "header", "name": name, "description": text}
    components["securitySchemes"] = schemes
    for model in (GatewayError, PlatformError):
        components["schemas"][model.__name__] = model.model_json_schema()
    document["security"] = [{name: [] for name in schemes}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _describe(path, method, operation)
    return document


def _describe(path: str, method: str, operation: Json) -> None:
    responses: Json = operation["responses"]
    # The framework's own; ours is 400 with the problem document.
    if "HTTPValidationError" in str(responses.get("422", "")):
        del responses["422"]
    if operation.get("tags") == ["Health"]:
        operation["security"] = []
        return
    # Ingestion puts everything into problem documents.
    gateway = [] if path.startswith(INGESTION_PATH) else [_GATEWAY]
    of_body = [_PLATFORM] if method in _WITH_BODY else []
    _answer(responses, "400", "The request is malformed.", [_PROBLEM, *gateway, *of_body])
    _answer(responses, "401", "The access token is not valid.", gateway or [_PROBLEM])
    if gateway:
        _answer(responses, "403", "The caller may not do this.", [_PROBLEM, *gateway])
    operation["responses"] = dict(sorted(responses.items()))


def _answer(responses: Json, status: str, text: str, schemas: list[Json]) -> None:
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    responses.setdefault(status, {"description": text})
    responses[status]["content"] = {"application/json": {"schema": schema}}
