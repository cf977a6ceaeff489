"""What an answer that is no success means, in words for whoever typed the command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from app.adapters.cli.control.failures import Refused
from app.domain.errors import SegmentationError, Unavailable
from app.domain.model import JsonObject
from app.domain.text import printable

_AWAY = frozenset({502, 503, 504})
_REMEDIES = {
    "401013": "get a new token: SEG_CLIENT_TOKEN, SEG_CLIENT_TOKEN_FILE or --token-file",
    "403003": "check SEG_CLIENT_API_KEY or --api-key",
    "403025": "check SEG_CLIENT_ORG_ID or --org",
    "403027": "check SEG_CLIENT_ORG_ID or --org",
    "SEG-SANDBOX-UNKNOWN-403": "check SEG_CLIENT_SANDBOX_NAME or --sandbox",
}


def parsed(content: bytes) -> JsonObject | None:
    """Return the JSON object that a body is; None when it is anything else."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def failure(
    url: str, status: int, document: JsonObject | None, request_id: str
) -> SegmentationError:
    """Return the error for an answer that is no success.

    Args:
        url: Of the API, for messages.
        document: The body, if it was a JSON object.
        request_id: Which the log of the API has too; may be empty.
    """
    entries = _entries(document or {})
    if not entries:
        return strange_answer(url, f"status {status}")
    head, *others = entries
    traced = [f"  request id: {printable(request_id)}"] if request_id else []
    if status in _AWAY:
        text = f"The API at {url} cannot answer now (status {status}): {_message(head)}"
        return Unavailable("\n".join([text, *traced]))
    code = _text(head, "code")
    lines = [f"refused (status {status}): {_message(head)}" + (f" [{code}]" if code else "")]
    for entry in others:
        lines += _indented(placed(entry))
    remedy = _REMEDIES.get(code)
    lines += [f"  {remedy}"] if remedy else []
    return Refused("\n".join([*lines, *traced]))


def strange_answer(url: str, what: str) -> Unavailable:
    """Return the error for an answer that does not come from this service."""
    return Unavailable(
        f"{url} does not answer as the API of this service does ({what}): check --url,"
        " SEG_CLIENT_URL and what stands between."
    )


def placed(entry: JsonObject) -> Iterator[str]:
    """Yield a problem or warning as lines: place and message, excerpt, hint."""
    line, column = entry.get("line"), entry.get("column")
    pointer = _text(entry, "pointer")
    if pointer:
        yield f"at {pointer}: {_message(entry)}"
    elif not isinstance(line, int) or not isinstance(column, int):
        yield _message(entry)
    else:
        yield f"line {line}, column {column}: {_message(entry)}"
        excerpt = entry.get("excerpt")
        for shown in excerpt.split("\n") if isinstance(excerpt, str) and excerpt else ():
            yield f"  {printable(shown)}"
    hint = _text(entry, "hint")
    if hint:
        yield f"  hint: {hint}"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _entries(document: JsonObject) -> list[JsonObject]:
    """Return the entries of any of the three shapes of docs/api.md, outermost first."""
    if "error_code" in document:
        return [{"code": document["error_code"], "message": document.get("message")}]
    errors = document.get("errors")
    if isinstance(errors, dict):
        listed = [entry for some in errors.values() if isinstance(some, list) for entry in some]
        return [entry for entry in listed if isinstance(entry, dict)]
    if "title" in document and "status" in document:
        return [{"code": document["title"], "message": document.get("detail")}]
    return []


def _message(entry: JsonObject) -> str:
    return _text(entry, "message") or "no reason is given"


def _text(entry: JsonObject, name: str) -> str:
    value: Any = entry.get(name)
    return printable(value) if isinstance(value, str) else ""
