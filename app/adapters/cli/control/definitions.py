"""`segmentation definitions`: segment definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.adapters.cli.control.bodies import (
    PROFILE_SCHEMA,
    chosen,
    expression_object,
    read_object,
    read_text,
    source_of,
    whole_body,
)
from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.failures import Usage
from app.adapters.cli.control.following import DEFAULT_TIMEOUT_S, Timeout
from app.adapters.cli.control.lists import Asked, Limit, PageSize, Sort, linked_pages, objects
from app.adapters.cli.control.options import Description, Expression, File, Name
from app.adapters.cli.control.output import ID_WIDTH, Column, at_ms, named
from app.adapters.cli.control.paths import BASE_PATH, item
from app.adapters.cli.control.waiting import (
    Kind,
    Patience,
    Wait,
    Write,
    note_warnings,
    progress_text,
    send_and_show,
    show_when_live,
)
from app.domain.model import JsonObject

_COLLECTION = f"{BASE_PATH}/segment/definitions"
_CONVERSION = f"{BASE_PATH}/segment/conversion"

group = family()

_EDITABLE = (
    *("name", "description", "expression", "schema"),
    *("evaluationInfo", "mergePolicyId", "profileInstanceId"),
)
"""What a change overwrites (docs/api.md)."""


def _state_size(document: JsonObject) -> str | None:
    size = document.get("estimatedStateBytes")
    return f"about {size:,} bytes per profile" if isinstance(size, int) else None


_FIELDS = (
    named("id", "id"),
    named("name", "name"),
    named("description", "description"),
    named("state", "evaluationState"),
    Column("progress", progress_text),
    named("reason", "evaluationStateReason"),
    named("version", "version"),
    named("evaluation", "evaluation"),
    Column("state size", _state_size),
    Column("created", at_ms("creationTime")),
    Column("updated", at_ms("updateTime")),
    Column("expression", source_of),
)
CHECKED_FIELDS = (
    named("evaluation", "evaluation"),
    Column("state size", _state_size),
    named("segments", "segments"),
)
_KIND = Kind(_COLLECTION, _FIELDS)
_COLUMNS = (
    named("ID", "id", ID_WIDTH),
    named("STATE", "evaluationState", 11),
    named("VERSION", "version", 7),
    named("NAME", "name"),
)
_VERSION_COLUMNS = (
    named("VERSION", "version", 7),
    Column("UPDATED", at_ms("updateTime"), 20),
    Column("EXPRESSION", source_of),
)

ExpressionFile = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="Holds PQL text or pql/json; `-` is standard input."),
]
SegmentId = Annotated[str, typer.Argument(metavar="ID", help="Of the segment definition.")]


@command(group, "list")
def list_definitions(
    session: Session, sort: Sort = None, limit: Limit = None, page_size: PageSize = 100
) -> None:
    """List the definitions of the sandbox, newest first."""
    asked = Asked(_COLLECTION, {"sort": sort}, limit, page_size)
    pages = linked_pages(session, asked, "segments", "link")
    session.out.rows(pages, _COLUMNS, "There are no segment definitions.")


@command(group, "get")
def get_definition(session: Session, segment_id: SegmentId) -> None:
    """Show a definition."""
    session.out.document(session.api.get(item(_COLLECTION, segment_id)), _FIELDS)


@command(group, "create")
def create_definition(
    session: Session,
    name: Name = None,
    expression: Expression = None,
    description: Description = None,
    file: File = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Create a definition from options, or from a file with the options over it."""
    options = chosen(name=name, expression=expression, description=description)
    body = whole_body(file, options)
    write = Write("POST", _COLLECTION, body)
    send_and_show(session, _KIND, write, Patience(wait, timeout))


@command(group, "check")
def check_expression(session: Session, expression: Expression = None, file: File = None) -> None:
    """Say what would become of a definition, without creating it.

    Status 1, with every problem at its place, when it would be refused.
    """
    body = read_object(file) if file is not None else {}
    body |= chosen(expression=expression)
    if "expression" not in body:
        raise Usage("Give --expression, or --file with a definition as JSON.")
    path = item(_COLLECTION, "check")
    found = session.api.send("POST", path, {"expression": body["expression"]})
    note_warnings(session.out, found)
    session.out.document(found, CHECKED_FIELDS)


@command(group, "update")
def update_definition(
    session: Session,
    segment_id: SegmentId,
    name: Name = None,
    expression: Expression = None,
    description: Description = None,
    file: File = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Change what the options name, or overwrite all of it with a file."""
    options = chosen(name=name, expression=expression, description=description)
    path = item(_COLLECTION, segment_id)
    if file is not None:
        body = whole_body(file, options)
    elif options:
        # The API overwrites: what is to stay is sent back.
        before = session.api.get(path)
        body = {field: before[field] for field in _EDITABLE if field in before} | options
    else:
        raise Usage("Nothing to change: give --name, --expression, --description or --file.")
    write = Write("PATCH", path, body)
    send_and_show(session, _KIND, write, Patience(wait, timeout))


@command(group, "delete")
def delete_definition(session: Session, segment_id: SegmentId) -> None:
    """Remove a definition that no other one uses."""
    answer = session.api.send("DELETE", item(_COLLECTION, segment_id))
    session.out.done(answer, str(answer.get("message")))


@command(group, "versions")
def list_versions(session: Session, segment_id: SegmentId) -> None:
    """List all versions of a definition, oldest first."""
    answer = session.api.get(item(_COLLECTION, segment_id, "versions"))
    session.out.rows(
        [objects(session, answer, "versions")], _VERSION_COLUMNS, "There are no versions."
    )


@command(group, "convert")
def convert_expression(
    session: Session, expression: Expression = None, file: ExpressionFile = None
) -> None:
    """Write PQL text as pql/json, or pql/json as text; nothing is stored."""
    if (expression is None) == (file is None):
        raise Usage("Give --expression, or --file with PQL text or pql/json in it.")
    text = read_text(file) if file is not None else expression or ""
    body = {
        "name": "conversion",
        "schema": {"name": PROFILE_SCHEMA},
        "expression": expression_object(text.strip()),
    }
    answer = session.api.send("POST", _CONVERSION, body)
    session.out.done(answer, source_of(answer))


@command(group, "watch")
def watch_definition(
    session: Session, segment_id: SegmentId, timeout: Timeout = DEFAULT_TIMEOUT_S
) -> None:
    """Follow a definition until all profiles are evaluated by it (LIVE), or it FAILED."""
    show_when_live(session, _KIND, segment_id, timeout)
