"""Lists of the API: options, pages, and the objects on them. A page is held at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app.adapters.cli.control.commands import Session
from app.domain.model import JsonObject

Limit = Annotated[int | None, typer.Option(min=1, help="Show so many. [default: all]")]
PageSize = Annotated[int, typer.Option(min=1, max=1_000, help="So many are fetched at once.")]
Sort = Annotated[str | None, typer.Option(help="field:asc or field:desc, joined by commas.")]

Page = Sequence[JsonObject]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list is asked for.

    Attributes:
        path: From the root of the API.
        parameters: Of the query; None is left out, a list is repeated.
        limit: Most objects to show; None is all.
        page_size: Most objects on a page.
    """

    path: str
    parameters: Mapping[str, Any]
    limit: int | None
    page_size: int

    @property
    def query(self) -> dict[str, Any]:
        """The parameters of the first page."""
        given = {name: value for name, value in self.parameters.items() if value is not None}
        return given | {"limit": min(self.page_size, self.limit or self.page_size)}


def linked_pages(session: Session, asked: Asked, key: str, links: str) -> Iterator[Page]:
    """Yield the objects of a list that is linked from page to page.

    Args:
        key: Field of a page that has the objects.
        links: Field that leads to the next page.
    """
    pages = session.api.linked_pages(asked.path, asked.query, links)
    return limited((objects(session, page, key) for page in pages), asked.limit)


def limited(pages: Iterable[Page], limit: int | None) -> Iterator[Page]:
    """Yield pages until so many objects were on them; no page is read for nothing."""
    left = limit
    for page in pages:
        if left is None:
            yield page
            continue
        yield page[:left]
        left -= len(page)
        if left <= 0:
            return


def objects(session: Session, document: JsonObject, key: str) -> Page:
    """Return the objects that a field of an answer has.

    Raises:
        Unavailable: It has none: something else than this service answered.
    """
    found = document.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise session.api.strange(f"an answer without {key}")
    return found


def text_of(session: Session, document: JsonObject, key: str) -> str:
    """Return a text that an answer has.

    Raises:
        Unavailable: It has none: something else than this service answered.
    """
    found = document.get(key)
    if not isinstance(found, str):
        raise session.api.strange(f"an answer without {key}")
    return found
