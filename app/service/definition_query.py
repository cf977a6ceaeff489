"""Filtering, ordering and paging of segment definitions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.domain.definitions import StoredDefinition
from app.domain.errors import UserError

SortFields: TypeAlias = Mapping[str, Callable[[StoredDefinition], Any]]

SORT_FIELDS: SortFields = {
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

    @property
    def direction(self) -> str:
        """`asc` or `desc`, as in a request."""
        return "desc" if self.descending else "asc"


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


def parse_sort(text: str | None, fields: Collection[str] = SORT_FIELDS) -> tuple[SortKey, ...]:
    """Parse `field:asc,field:desc`; the direction defaults to `asc`.

    Raises:
        UserError: An unknown field or direction.
    """
    if not text:
        return NEWEST_FIRST
    return tuple(_sort_key(part.strip(), fields) for part in text.split(","))


def _sort_key(part: str, fields: Collection[str]) -> SortKey:
    field, _, direction = part.partition(":")
    if field not in fields or direction not in ("", "asc", "desc"):
        raise UserError(
            f"sort has {part!r}; write field:asc or field:desc, joined by commas, where field is "
            f"one of {', '.join(fields)}",
            code="invalid-parameter",
        )
    return SortKey(field, descending=direction == "desc")


def select(definitions: Iterable[StoredDefinition], query: DefinitionQuery) -> DefinitionPage:
    """Filter, sort and cut a page out of all definitions."""
    rows = [one for one in definitions if _has_methods(one, query)]
    sort_rows(rows, query.order)
    return DefinitionPage(len(rows), tuple(rows[query.offset : query.offset + query.limit]))


def _has_methods(definition: StoredDefinition, query: DefinitionQuery) -> bool:
    return all(getattr(definition.methods, name) == wanted for name, wanted in query.methods)


def sort_rows(
    rows: list[StoredDefinition], order: Sequence[SortKey], fields: SortFields = SORT_FIELDS
) -> None:
    """Sort in place; rows that are equal by all keys keep their order."""
    for key in reversed(order):  # stable, so the last key goes first
        rows.sort(key=fields[key.field], reverse=key.descending)
