from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.errors import UserError
from app.service.definition_query import NEWEST_FIRST, DefinitionQuery, parse_sort, select
from tests.builders import stored_definition

BASE = stored_definition()
ROWS = [
    replace(BASE, segment_id="s1", name="b", created_ms=1, updated_ms=9),
    replace(BASE, segment_id="s2", name="A", created_ms=2, updated_ms=9, ordinal=1),
    replace(BASE, segment_id="s3", name="c", created_ms=3, updated_ms=5, ordinal=2),
]


def ids(query: DefinitionQuery) -> list[str]:
    return [one.segment_id for one in select(ROWS, query).items]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, ["s3", "s2", "s1"]),
        ("name", ["s2", "s1", "s3"]),
        ("name:desc", ["s3", "s1", "s2"]),
        ("updateTime:desc, creationTime:asc", ["s1", "s2", "s3"]),
        ("updateTime:asc,internalId:desc", ["s3", "s2", "s1"]),
    ],
)
def test_rows_are_in_the_order_asked_for(sort: str | None, expected: list[str]) -> None:
    assert ids(DefinitionQuery(order=parse_sort(sort))) == expected


@pytest.mark.parametrize("sort", ["size", "name:up", ":asc", "name,", "name:asc:desc"])
def test_an_unknown_order_is_refused(sort: str) -> None:
    with pytest.raises(UserError, match="creationTime"):
        parse_sort(sort)


def test_a_page_is_cut_after_counting_all() -> None:
    page = select(ROWS, DefinitionQuery(offset=1, limit=1))
    assert (page.total, [one.segment_id for one in page.items]) == (3, ["s2"])
    assert ids(DefinitionQuery(offset=9)) == []


def test_only_plain_creation_order_is_left_to_the_store() -> None:
    assert DefinitionQuery(order=NEWEST_FIRST).by_creation_only
    assert not DefinitionQuery(methods=(("batch", True),)).by_creation_only
    assert not DefinitionQuery(order=parse_sort("creationTime,name")).by_creation_only
    assert not DefinitionQuery(order=parse_sort("name")).by_creation_only
