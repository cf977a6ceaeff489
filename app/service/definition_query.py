"""Filtering, ordering and paging of segment definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.definitions import StoredDefinition
from app.domain.errors import UserError

SORT_FIELDS: dict[str, Callable[[StoredDefinition], Any]] = {
    "creationTime": lambda definition: (definition.created_ms, definition.segment_id),
    "updateTime": lambda definition: definition.updated_ms,
    "name": lambda definition: definition.name.casefold(),
    "id": lambda definition: definition.segment_id,
    "internalId": lambda definition: definition.ordinal,
}
"""Fields that a list can be sorted by; `internalId` is in a sample of the API reference."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """One field of an order."""

    field: str
    descending: bool


NEWEST_FIRST = (SortKey("creationTime", descending=True),)


@dataclass(frozen=True, slots=True)
class DefinitionQuery:
    """What to list.

    Attributes:
        offset: Rows skipped.
        methods: `batch`, `continuous`, `synchronous`, and whether it must be enabled or must not.
    """

    offset: int = 0
    limit: int = 100
    order: tuple[SortKey, ...] = NEWEST_FIRST
    methods: tuple[tuple[str, bool], ...] = ()

    @property
    def newest_first(self) -> bool:
        """Whether the first sort key is descending."""
        return self.order[0].descending

    @property
    def by_creation_only(self) -> bool:
        """Whether the store's own order answers the query without reading everything."""
        return not self.methods and len(self.order) == 1 and self.order[0].field == "creationTime"


@dataclass(frozen=True, slots=True)
class DefinitionPage:
    """Rows of one page and how many rows there are on all pages."""

    total: int
    items: tuple[StoredDefinition, ...]


def parse_sort(text: str | None) -> tuple[SortKey, ...]:
    """Parse `field:asc,field:desc`; the direction defaults to `asc`.

    Raises:
        UserError: An unknown field or direction.
    """
    if not text:
        return NEWEST_FIRST
    return tuple(_sort_key(part.strip()) for part in text.split(","))


def _sort_key(part: str) -> SortKey:
    field, _, direction = part.partition(":")
    if field not in SORT_FIELDS or direction not in ("", "asc", "desc"):
        raise UserError(
            f"sort has {part!r}; write field:asc or field:desc, joined by commas, where field is "
            f"one of {', '.join(SORT_FIELDS)}",
            code="invalid-parameter",
        )
    return SortKey(field, descending=direction == "desc")


def select(definitions: Iterable[StoredDefinition], query: DefinitionQuery) -> DefinitionPage:
    """Filter, sort and cut a page out of all definitions."""
    rows = [one for one in definitions if _has_methods(one, query)]
    _sort(rows, query.order)
    return DefinitionPage(len(rows), tuple(rows[query.offset : query.offset + query.limit]))


def _has_methods(definition: StoredDefinition, query: DefinitionQuery) -> bool:
    return all(getattr(definition.methods, name) == wanted for name, wanted in query.methods)


def _sort(rows: list[StoredDefinition], order: Sequence[SortKey]) -> None:
    for key in reversed(order):  # stable, so the last key goes first
        rows.sort(key=SORT_FIELDS[key.field], reverse=key.descending)
