"""`segmentation audiences`: segment definitions with their lifecycle and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from app.adapters.cli.control.audience_runs import import_members, show_runs
from app.adapters.cli.control.bodies import (
    chosen,
    expression_object,
    read_json,
    source_of,
    whole_body,
)
from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.failures import Usage
from app.adapters.cli.control.following import DEFAULT_TIMEOUT_S, Timeout
from app.adapters.cli.control.lists import Asked, Limit, PageSize, Sort, linked_pages
from app.adapters.cli.control.options import Description, Expression, File, Name
from app.adapters.cli.control.output import ID_WIDTH, Column, at_ms, named
from app.adapters.cli.control.paths import BASE_PATH, item
from app.adapters.cli.control.waiting import (
    Kind,
    Patience,
    Wait,
    Write,
    progress_text,
    send_and_show,
)
from app.domain.model import JsonObject

_COLLECTION = f"{BASE_PATH}/audiences"

group = family()

_FIELDS = (
    named("id", "id"),
    named("name", "name"),
    named("description", "description"),
    named("lifecycle", "lifecycleState"),
    named("state", "evaluationState"),
    Column("progress", progress_text),
    named("reason", "evaluationStateReason"),
    named("version", "version"),
    named("labels", "labels"),
    Column("created", at_ms("creationTime")),
    named("by", "createdBy"),
    Column("updated", at_ms("updateTime")),
    named("by", "lastModifiedBy"),
    named("uses", "dependencies"),
    named("used by", "dependents"),
    Column("expression", source_of),
)
_KIND = Kind(_COLLECTION, _FIELDS)
_COLUMNS = (
    named("ID", "id", ID_WIDTH),
    named("LIFECYCLE", "lifecycleState", 9),
    named("STATE", "evaluationState", 11),
    named("NAME", "name"),
)

AudienceId = Annotated[str, typer.Argument(metavar="ID", help="Of the audience.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="Such as core/C1; once for each.")
]
PatchFile = Annotated[
    Path | None, typer.Option("--file", "-f", help="A JSON Patch; `-` is standard input.")
]


@command(group, "list")
def list_audiences(
    session: Session,
    name: Annotated[str | None, typer.Option(help="Part of the name, in any case.")] = None,
    description: Annotated[
        str | None, typer.Option(help="Part of the description, in any case.")
    ] = None,
    lifecycle: Annotated[str | None, typer.Option(help="draft, published or inactive.")] = None,
    property: Annotated[list[str] | None, typer.Option(help="field==value; all must hold.")] = None,
    sort: Sort = None,
    limit: Limit = None,
    page_size: PageSize = 100,
) -> None:
    """List audiences, newest first; inactive ones only with --lifecycle inactive."""
    properties = list(property or [])
    if lifecycle is not None:
        properties.append(f"lifecycleState=={lifecycle}")
    parameters = {
        "name": name,
        "description": description,
        "property": properties or None,
        "sort": sort,
    }
    asked = Asked(_COLLECTION, parameters, limit, page_size)
    pages = linked_pages(session, asked, "children", "_links")
    session.out.rows(pages, _COLUMNS, "There are no such audiences.")


@command(group, "get")
def get_audience(session: Session, audience_id: AudienceId) -> None:
    """Show an audience, inactive or not."""
    session.out.document(session.api.get(item(_COLLECTION, audience_id)), _FIELDS)


@command(group, "create")
def create_audience(
    session: Session,
    name: Name = None,
    expression: Expression = None,
    description: Description = None,
    label: Labels = None,
    draft: Annotated[bool, typer.Option("--draft", help="Not evaluated until published.")] = False,
    file: File = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Create an audience from options, or from a file with the options over it."""
    options = chosen(
        name=name,
        expression=expression,
        description=description,
        labels=label or None,
        lifecycleState="draft" if draft else None,
    )
    body = whole_body(file, options)
    write = Write("POST", _COLLECTION, body)
    send_and_show(session, _KIND, write, Patience(wait, timeout))


@command(group, "patch")
def patch_audience(
    session: Session,
    audience_id: AudienceId,
    name: Name = None,
    expression: Expression = None,
    description: Description = None,
    label: Labels = None,
    file: PatchFile = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Change what the options name, after what a JSON Patch of a file changes; all or nothing."""
    operations = [] if file is None else _read_patch(file)
    if name is not None:
        operations.append(_add("name", name))
    if description is not None:
        operations.append(_add("description", description))
    if expression is not None:
        operations.append(_add("expression", expression_object(expression)))
    if label:
        operations.append(_add("labels", label))
    if not operations:
        raise Usage(
            "Nothing to change: give --name, --expression, --description, --label or --file."
        )
    _patch(session, audience_id, operations, Patience(wait, timeout))


@command(group, "publish")
def publish_audience(
    session: Session,
    audience_id: AudienceId,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Have a draft or inactive audience evaluated."""
    operations = [_add("lifecycleState", "published")]
    _patch(session, audience_id, operations, Patience(wait, timeout))


@command(group, "deactivate")
def deactivate_audience(session: Session, audience_id: AudienceId) -> None:
    """Take a published audience out of evaluation; its members leave."""
    _patch(session, audience_id, [_add("lifecycleState", "inactive")], Patience())


@command(group, "delete")
def delete_audience(session: Session, audience_id: AudienceId) -> None:
    """Remove an audience that no other one uses."""
    answer = session.api.send("DELETE", item(_COLLECTION, audience_id))
    session.out.done(answer, f"Audience {audience_id} was removed.")


@command(group, "import")
def import_audience(
    session: Session,
    audience_id: AudienceId,
    since: Annotated[
        str | None, typer.Option(help="Only files changed since then, ISO 8601. [default: all]")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only files changed until then, ISO 8601.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until the members are in their profiles.")
    ] = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Import the members of an external audience from its source."""
    import_members(session, audience_id, (since, until), Patience(wait, timeout))


@command(group, "runs")
def list_runs(session: Session, audience_id: AudienceId) -> None:
    """List the imports of an external audience, newest first."""
    show_runs(session, audience_id)


def _add(field: str, value: Any) -> JsonObject:
    return {"op": "add", "path": f"/{field}", "value": value}


def _read_patch(file: Path) -> list[Any]:
    operations = read_json(file)
    if not isinstance(operations, list):
        raise Usage(
            f"{file} holds no JSON Patch: a list of"
            ' {"op": "add", "path": "/description", "value": "…"} is expected.'
        )
    return operations


def _patch(session: Session, audience_id: str, operations: list[Any], patience: Patience) -> None:
    path = item(_COLLECTION, audience_id)
    write = Write("PATCH", path, operations)
    send_and_show(session, _KIND, write, patience)
