"""`segmentation search`: full text over segment definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.lists import Asked, Limit, Page, limited, objects
from app.adapters.cli.control.output import ID_WIDTH, Column, named
from app.adapters.cli.control.paths import BASE_PATH
from app.domain.model import JsonObject

_SEARCH = f"{BASE_PATH}/search"
_SCHEMA = {"schema.name": "_xdm.context.segmentdefinition"}
_SUCCESS = "Success"
_MAX_PAGE_SIZE = 50

group = family()

_NAMESPACE_COLUMNS = (named("COUNT", "count", 7), named("NAMESPACE", "namespace"))
_ENTITY_COLUMNS = (
    named("ID", "id", ID_WIDTH),
    Column("KIND", lambda one: "folder" if one.get("isFolder") else "segment", 7),
    named("NAME", "name"),
)
_PLACE_COLUMNS = (named("ID", "id", ID_WIDTH), named("NAME", "name"))

Text = Annotated[
    str | None,
    typer.Argument(metavar="[QUERY]", help="Such as 'winter AND name:sale*'; all without it."),
]
Namespace = Annotated[str, typer.Option(help="Where to look.")]
PageSize = Annotated[
    int, typer.Option(min=1, max=_MAX_PAGE_SIZE, help="So many are fetched at once.")
]


@command(group, "namespaces")
def count_by_namespace(session: Session, text: Text = None) -> None:
    """Count what a query finds in each namespace."""
    parameters = _SCHEMA | ({} if text is None else {"s": text})
    answer = session.api.get(f"{_SEARCH}/namespaces", parameters)
    _note_status(session, answer)
    found = objects(session, answer, "namespaces")
    session.out.rows([found], _NAMESPACE_COLUMNS, "Nothing was found.")


@command(group, "query")
def find_entities(
    session: Session,
    text: Text = None,
    namespace: Namespace = "AEPSegments",
    folder: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what is inside this folder.")
    ] = None,
    limit: Limit = None,
    page_size: PageSize = _MAX_PAGE_SIZE,
) -> None:
    """Find segments and folders; folders come first, then what fits best."""
    parameters = {**_SCHEMA, "namespace": namespace, "s": text, "entityId": folder}
    asked = Asked(f"{_SEARCH}/entities", parameters, limit, page_size)
    pages = limited(_entity_pages(session, asked), limit)
    session.out.rows(pages, _ENTITY_COLUMNS, "Nothing was found.")


@command(group, "taxonomy")
def show_taxonomy(
    session: Session,
    entity_id: Annotated[str, typer.Argument(metavar="ID", help="Of a segment or folder.")],
    namespace: Namespace = "AEPSegments",
) -> None:
    """Show the folders from the top down to an object, and the object."""
    parameters = {**_SCHEMA, "namespace": namespace, "entityId": entity_id}
    answer = session.api.get(f"{_SEARCH}/taxonomy", parameters)
    _note_status(session, answer)
    found = objects(session, answer, "taxonomy")
    session.out.rows([found], _PLACE_COLUMNS, "Nothing was found.")


def _entity_pages(session: Session, asked: Asked) -> Iterator[Page]:
    """Yield the objects of each page, by its number: these pages are not linked."""
    number, pages = 0, 1
    while number < pages:
        answer = session.api.get(asked.path, asked.query | {"page": number})
        if number == 0:
            _note_status(session, answer)
        yield objects(session, answer, "entities")
        page = answer.get("page")
        last = page.get("totalPages") if isinstance(page, dict) else None
        if not isinstance(last, int):
            raise session.api.strange("an answer without page.totalPages")
        number, pages = number + 1, last


def _note_status(session: Session, answer: JsonObject) -> None:
    """Tell why nothing can be found, where that is the answer."""
    status = answer.get("status")
    message = status.get("message") if isinstance(status, dict) else None
    if isinstance(message, str) and message != _SUCCESS:
        session.out.note(message)
