"""Bodies of requests, from options and JSON files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from app.adapters.cli.control.failures import Usage
from app.domain.model import JsonObject

PROFILE_SCHEMA = "_xdm.context.profile"
STANDARD_INPUT = Path("-")


def read_json(source: Path) -> Any:
    """Return the JSON of a file; `-` is standard input.

    Raises:
        Usage: It cannot be read, or is no JSON.
    """
    name, content = _name_and_content(source)
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise Usage(f"{name} is nested too deeply.") from None
    except ValueError as error:
        raise Usage(f"{name} is no JSON: {error}.") from None


def read_text(source: Path) -> str:
    """Return the text of a file; `-` is standard input.

    Raises:
        Usage: It cannot be read, or is no UTF-8.
    """
    name, content = _name_and_content(source)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Usage(f"{name} is not UTF-8 text.") from None


def _name_and_content(source: Path) -> tuple[str, bytes]:
    name = "standard input" if source == STANDARD_INPUT else str(source)
    try:
        content = sys.stdin.buffer.read() if source == STANDARD_INPUT else source.read_bytes()
    except OSError as error:
        raise Usage(f"{name} cannot be read: {error.strerror}.") from None
    return name, content


def read_object(source: Path) -> JsonObject:
    """Return the JSON object of a file, as `read_json`.

    Raises:
        Usage: Also when it is another kind of JSON.
    """
    document = read_json(source)
    if not isinstance(document, dict):
        raise Usage(f"{source} holds no JSON object: give one as the API takes it (docs/api.md).")
    return document


def chosen(**fields: Any) -> JsonObject:
    """Return what was typed, in the shape of the API; None was not."""
    document = {name: value for name, value in fields.items() if value is not None}
    if "expression" in document:
        document["expression"] = expression_object(document["expression"])
    return document


def expression_object(text: str) -> JsonObject:
    """Return PQL text, or a tree as JSON, as the API takes it."""
    return {"type": "PQL", "format": _format_of(text), "value": text}


def _format_of(text: str) -> str:
    """Tell a tree from a text, which may be an object too."""
    is_tree = text.lstrip().startswith("{") and '"nodeType"' in text
    return "pql/json" if is_tree else "pql/text"


def source_of(body: JsonObject) -> str:
    """Return the expression that a document has."""
    expression = body.get("expression")
    value = expression.get("value") if isinstance(expression, dict) else None
    return value if isinstance(value, str) else ""


def whole_body(file: Path | None, options: JsonObject) -> JsonObject:
    """Return the body of a call that writes all fields: a file's, with what was typed over it.

    Raises:
        Usage: There is no file, and what was typed is not enough.
    """
    if file is not None:
        body = read_object(file)
    elif "name" in options and "expression" in options:
        body = {}
    else:
        raise Usage("Give --name and --expression, or --file with the whole of it as JSON.")
    return {"schema": {"name": PROFILE_SCHEMA}, **body, **options}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not part of JSON")
