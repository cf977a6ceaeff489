"""Use cases of search: namespaces, entities of one, and the folders that one is in.

All in memory and without waiting; what holds the documents is a port.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.errors import UserError
from app.domain.model import Tenant
from app.domain.search import ROOT_FOLDER, SEGMENT_NAMESPACE, SearchDocument
from app.pql.render import place_of
from app.service.expressions import placed
from app.service.search_parser import parse
from app.service.search_query import Node, QueryProblem

SUCCESS = "Success"
"""`status.message` of an answer without anything to add (API reference)."""

MAX_LIMIT = 50
"""Most entities on a page, and what a page has without `limit` (API reference)."""


class SearchView(Protocol):
    """The documents of one tenant as of one instant."""

    @property
    def documents(self) -> Sequence[SearchDocument]:
        """All of them, in the order of `listing_order`."""
        ...

    def matches(self, query: Node) -> Mapping[int, float]:
        """Return how well each document meets a query that does, by its place in `documents`.

        Raises:
            QueryProblem: A regular expression that cannot be used.
        """
        ...


class SearchIndex(Protocol):
    """The documents of all tenants."""

    def view(self, tenant: Tenant) -> SearchView:
        """Return what there is of a tenant now; raises `Unavailable` while that is not known."""
        ...


class RefusedQuery(UserError):
    """A query that cannot be read; `details` is what is wrong, at its position."""

    code = "invalid-query"

    def __init__(self, text: str, problem: QueryProblem) -> None:
        super().__init__(f"the query cannot be read: {problem.message}")
        place = place_of(text, problem.offset, problem.offset)
        self.details = (placed("syntax", problem.message, place, problem.hint),)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityQuery:
    """Which entities to find.

    Attributes:
        text: A search query; None or blank for everything.
        folder_id: Only what is inside this folder, at any depth; None for all.
        page: From 0.
    """

    namespace: str
    text: str | None = None
    folder_id: str | None = None
    limit: int = MAX_LIMIT
    page: int = 0


@dataclass(frozen=True, slots=True)
class EntityPage:
    """Entities of one page, how many there are on all pages, and what there is to say of it."""

    total: int
    items: tuple[SearchDocument, ...]
    message: str = SUCCESS


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The way to an object: folders from the top, then the object itself; empty if unknown."""

    path: tuple[SearchDocument, ...]
    message: str = SUCCESS


class Search:
    """Finds what a tenant has."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index

    def namespaces(self, tenant: Tenant, text: str | None) -> list[tuple[str, int]]:
        """Return how many documents of each namespace meet a query, by name; none is left out.

        Raises:
            RefusedQuery, Unavailable: The query cannot be read; the documents are not known.
        """
        view = self._index.view(tenant)
        found = _found(view, text)
        return sorted(Counter(view.documents[place].namespace for place in found).items())

    def entities(self, tenant: Tenant, query: EntityQuery) -> EntityPage:
        """Return one page: folders first, better matches first, newer ones first.

        Raises:
            RefusedQuery, Unavailable: As in `namespaces`.
        """
        view = self._index.view(tenant)
        documents = view.documents
        found = [
            place
            for place in _found(view, query.text)
            if documents[place].namespace == query.namespace
        ]
        message = SUCCESS
        if not _has_namespace(view, query.namespace):
            message = f"There is no namespace {query.namespace!r}."
        elif query.folder_id is not None:
            folders = _folders(view, query.namespace)
            if query.folder_id not in (ROOT_FOLDER, *folders):
                message = f"There is no folder {query.folder_id!r} in {query.namespace}."
            found = [
                place for place in found if _is_inside(documents[place], query.folder_id, folders)
            ]
        start = query.page * query.limit
        page = tuple(documents[place] for place in found[start : start + query.limit])
        return EntityPage(len(found), page, message)

    def taxonomy(self, tenant: Tenant, namespace: str, entity_id: str) -> Taxonomy:
        """Return the way to a segment or folder.

        Raises:
            Unavailable: The documents are not known.
        """
        view = self._index.view(tenant)
        if not _has_namespace(view, namespace):
            return Taxonomy((), f"There is no namespace {namespace!r}.")
        for document in view.documents:
            if document.namespace == namespace and document.entity_id == entity_id:
                above = _above(document, _folders(view, namespace))
                return Taxonomy((*reversed(above), document))
        return Taxonomy((), f"There is nothing with the id {entity_id!r} in {namespace}.")


def listing_order(document: SearchDocument) -> tuple[bool, int, str]:
    """Return the sort key of documents that nothing was asked of: folders first, newest first."""
    return (not document.is_folder, -document.created_ms, document.entity_id)


def encoded_source_id(document: SearchDocument) -> str:
    """Return `base64EncodedSourceId`."""
    return base64.b64encode(document.source_id.encode()).decode()


def folder_locations(documents: Iterable[SearchDocument]) -> dict[tuple[str, str], str]:
    """Return the path of each folder by namespace and id: names from the top, joined by `/`."""
    folders: dict[str, dict[str, SearchDocument]] = {}
    for document in documents:
        if document.is_folder:
            folders.setdefault(document.namespace, {})[document.entity_id] = document
    return {
        (namespace, folder.entity_id): "/".join(
            one.name for one in (*reversed(_above(folder, by_id)), folder)
        )
        for namespace, by_id in folders.items()
        for folder in by_id.values()
    }


def _found(view: SearchView, text: str | None) -> Sequence[int]:
    """Return the places of what meets a query: folders first, better matches first.

    Among equals the order is that of the places. Numbers, not pairs with documents: ten thousand
    of those for each search would keep the garbage collector busy.
    """
    documents = view.documents
    if text is None or not text.strip():
        return range(len(documents))
    try:
        scores = view.matches(parse(text))
    except QueryProblem as problem:
        raise RefusedQuery(text, problem) from None
    places = sorted(scores)
    places.sort(key=scores.__getitem__, reverse=True)
    places.sort(key=lambda place: not documents[place].is_folder)
    return places


def _has_namespace(view: SearchView, namespace: str) -> bool:
    return namespace == SEGMENT_NAMESPACE or any(
        document.namespace == namespace for document in view.documents
    )


def _folders(view: SearchView, namespace: str) -> dict[str, SearchDocument]:
    folders: dict[str, SearchDocument] = {}
    for document in view.documents:
        if not document.is_folder:
            break  # folders come first
        if document.namespace == namespace:
            folders[document.entity_id] = document
    return folders


def _above(
    document: SearchDocument, folders: Mapping[str, SearchDocument]
) -> tuple[SearchDocument, ...]:
    """Return the folders that a document is in, the nearest first; each once, in a circle too."""
    above: dict[str, SearchDocument] = {}
    folder = folders.get(document.parent_folder_id)
    while folder is not None and folder.entity_id not in above:
        above[folder.entity_id] = folder
        folder = folders.get(folder.parent_folder_id)
    return tuple(above.values())


def _is_inside(
    document: SearchDocument, folder_id: str, folders: Mapping[str, SearchDocument]
) -> bool:
    if folder_id == ROOT_FOLDER:
        return True
    if document.parent_folder_id not in folders:
        return False
    return any(folder.entity_id == folder_id for folder in _above(document, folders))
