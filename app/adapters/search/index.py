"""The index of one tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tantivy import Document, Index, Query, Searcher

from app.adapters.search.queries import ANALYZERS, FOLDER, NUMBER, Compiler, build_schema
from app.domain.search import SearchDocument
from app.service.search import folder_locations, listing_order
from app.service.search_query import Node

_HEAP_BYTES = 15_000_000
"""The least that tantivy takes; held only while something is written."""

Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TenantView:
    """Implements `app.service.search.SearchView`: what one searcher sees, with its documents.

    Attributes:
        places: Where in `documents` the one with a number is.
    """

    documents: Sequence[SearchDocument] = ()
    searcher: Searcher | None = None
    compiler: Compiler | None = None
    places: Mapping[int, int] = field(default_factory=dict)

    def matches(self, query: Node) -> dict[int, float]:
        """Return how well each document meets a query that does, by its place in `documents`.

        Raises:
            QueryProblem: A regular expression that cannot be used.
        """
        compiled = (self.compiler or Compiler(build_schema())).query(query)
        if self.searcher is None or not self.documents:
            return {}
        hits = self.searcher.search(compiled, limit=len(self.documents), count=False).hits
        numbers = self.searcher.fast_field_values(NUMBER, [address for _, address in hits])
        return {
            self.places[int(number or 0)]: score
            for number, (score, _) in zip(numbers, hits, strict=True)
        }


@dataclass(frozen=True, slots=True)
class _Row:
    """All that is indexed of a document: equal rows need no writing."""

    document: SearchDocument
    location: str


class TenantIndex:
    """Documents of one tenant in memory. One thread at a time replaces them, any number look.

    Attributes:
        view: What there is now; replaced as a whole.
    """

    def __init__(self) -> None:
        self._index = Index(build_schema())
        for name, analyzer in ANALYZERS.items():
            self._index.register_tokenizer(name, analyzer)
        self._compiler = Compiler(self._index.schema)
        self._rows: dict[Key, tuple[int, _Row]] = {}
        self._last_number = 0
        self.view = TenantView()

    def replace(self, documents: Iterable[SearchDocument]) -> None:
        """Make these the documents; only what differs is written."""
        wanted = _rows(documents)
        outdated = [key for key, (_, row) in self._rows.items() if wanted.get(key) != row]
        numbers = [self._rows.pop(key)[0] for key in outdated]
        self._write(numbers, {key: row for key, row in wanted.items() if key not in self._rows})
        ordered = sorted(self._rows.values(), key=lambda held: listing_order(held[1].document))
        self.view = TenantView(
            [row.document for _, row in ordered],
            self._index.searcher(),
            self._compiler,
            {number: place for place, (number, _) in enumerate(ordered)},
        )

    def _write(self, outdated: Sequence[int], fresh: Mapping[Key, _Row]) -> None:
        if not outdated and not fresh:
            return
        writer = self._index.writer(_HEAP_BYTES, 1)
        for number in outdated:
            # By term it takes the number for a signed one, and deletes nothing.
            writer.delete_documents_by_query(
                Query.term_query(self._index.schema, NUMBER, number, "basic")
            )
        for key, row in fresh.items():
            self._last_number += 1
            writer.add_document(_document(self._last_number, row))
            self._rows[key] = (self._last_number, row)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()


def _rows(documents: Iterable[SearchDocument]) -> dict[Key, _Row]:
    found = list(documents)
    locations = folder_locations(found)
    keyed = [((document.namespace, document.entity_id), document) for document in found]
    return {
        key: _Row(document, locations.get(key, "") if document.is_folder else "")
        for key, document in keyed
    }


def _document(number: int, row: _Row) -> Document:
    source, document = row.document, Document()
    document.add_unsigned(NUMBER, number)
    document.add_text(FOLDER, str(int(source.is_folder)))
    document.add_text("name", source.name)
    document.add_text("description", source.description)
    document.add_text("id", source.entity_id)
    document.add_text("parent", source.parent_folder_id)
    document.add_text("location", row.location)
    return document
