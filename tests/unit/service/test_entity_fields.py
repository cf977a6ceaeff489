from __future__ import annotations

import pytest

from app.domain.errors import UserError
from app.service.entity_fields import ALL_FIELDS, parse_fields

NAME = {"first": "Ada", "last": "L"}
ENTITY = {
    "person": {"name": NAME, "age": 36, "none": None},
    "items": [{"sku": "a", "n": 1}, {"n": 2}, "x"],
    "empty": {},
}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["person.age"], {"person": {"age": 36}}),
        (["person.name", "person.name.first"], {"person": {"name": NAME}}),
        (["person.name.first", "person.name"], {"person": {"name": NAME}}),
        (["person.name.first", "person.age"], {"person": {"name": {"first": "Ada"}, "age": 36}}),
        (["person.none"], {"person": {"none": None}}),
        (["items.sku"], {"items": [{"sku": "a"}]}),
        (["empty"], {"empty": {}}),
        (["absent", "person.absent.more", "items.absent", "person.age.more"], {}),
    ],
)
def test_only_the_asked_fields_are_shown(names: list[str], shown: dict[str, object]) -> None:
    assert parse_fields(names).of(ENTITY) == shown


def test_without_names_all_fields_are_shown() -> None:
    assert ALL_FIELDS.of(ENTITY) == ENTITY


@pytest.mark.parametrize("names", [[], [""], ["a", "b..c"], [".a"], ["a."], [".".join("a" * 101)]])
def test_what_is_no_path_is_refused(names: list[str]) -> None:
    with pytest.raises(UserError, match="dotted paths"):
        parse_fields(names)
