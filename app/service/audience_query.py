"""Filtering, ordering and paging of audiences."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.domain.definitions import INACTIVE, StoredDefinition
from app.domain.errors import UserError
from app.domain.model import JsonObject
from app.service.audience_document import AUDIENCE_FIELDS
from app.service.definition_query import (
    NEWEST_FIRST,
    SORT_FIELDS,
    DefinitionPage,
    SortFields,
    SortKey,
    sort_rows,
)
from app.service.paths import texts_at

AUDIENCE_SORT_FIELDS: SortFields = {
    **SORT_FIELDS,
    "createEpoch": SORT_FIELDS["creationTime"],
    "updateEpoch": SORT_FIELDS["updateTime"],
    "audienceId": SORT_FIELDS["id"],
    "description": lambda definition: definition.description.casefold(),
    "lifecycleState": lambda definition: definition.lifecycle,
}
"""Fields that a list of audiences can be sorted by."""

_NAMES_INACTIVE = frozenset({"id", "audienceId", "lifecycleState"})
"""Who filters by one of these asks for inactive audiences too."""


@dataclass(frozen=True, slots=True)
class AudienceQuery:
    """What to list.

    Attributes:
        start: Page, from 0.
        limit: Rows on a page.
        name, description: Parts of these texts, in any case; empty for any.
        entity_type: Class of the entities; empty for any.
        properties: Field, perhaps with a dotted path, and the text that it must equal.
        with_metrics: Show what other systems told.
    """

    start: int = 0
    limit: int = 100
    order: tuple[SortKey, ...] = NEWEST_FIRST
    name: str = ""
    description: str = ""
    entity_type: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    with_metrics: bool = False


def parse_property(text: str) -> tuple[str, str]:
    """Parse `field==value`.

    Raises:
        UserError: `invalid-parameter`: it has another form, or audiences have no such field.
    """
    field, separator, value = text.partition("==")
    field = field.strip()
    if not separator or field.partition(".")[0] not in AUDIENCE_FIELDS:
        raise UserError(
            f"property has {text!r}; write field==value with a field of an audience, such as "
            "audienceId, or a dotted path into one",
            code="invalid-parameter",
        )
    return field, value


def select_audiences(
    definitions: Iterable[StoredDefinition],
    query: AudienceQuery,
    show: Callable[[StoredDefinition], JsonObject],
) -> DefinitionPage:
    """Filter, sort and cut a page out of all definitions.

    Inactive audiences are left out unless a property filter asks for an id or a lifecycle state.

    Args:
        show: Returns the audience that property filters look at.
    """
    rows = [one for one in definitions if _is_wanted(one, query)]
    if query.properties:
        rows = [one for one in rows if _has_properties(show(one), query)]
    sort_rows(rows, query.order, AUDIENCE_SORT_FIELDS)
    offset = query.start * query.limit
    return DefinitionPage(len(rows), tuple(rows[offset : offset + query.limit]))


def _is_wanted(definition: StoredDefinition, query: AudienceQuery) -> bool:
    if definition.lifecycle == INACTIVE and not any(
        field in _NAMES_INACTIVE for field, _ in query.properties
    ):
        return False
    return (
        query.name.casefold() in definition.name.casefold()
        and query.description.casefold() in definition.description.casefold()
        and query.entity_type in ("", definition.schema_name)
    )


def _has_properties(document: JsonObject, query: AudienceQuery) -> bool:
    return all(value in texts_at(document, field.split(".")) for field, value in query.properties)
