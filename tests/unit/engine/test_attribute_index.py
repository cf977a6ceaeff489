"""Which definitions a change of attributes concerns: all that flip, and few others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.limits import EngineLimits
from app.engine.catalogue import Catalogue, compile_catalogue
from app.engine.intervals import Intervals
from app.engine.merge import AttributeChange, merge_patch
from app.engine.oracle import Subject, matches
from app.pql.checker import check
from app.pql.parser import parse
from app.pql.printer import to_text
from tests.property.engine_model import BASE_MS, definition_set
from tests.property.pql_places import ROOT
from tests.property.pql_strategies import attributes, junctions
from tests.property.test_engine import ATTRIBUTES, patches
from tests.property.test_engine_grammar import as_decoded

GUARDS = ('city = "Oslo"', 'city in ["Oslo", "Rome"]', 'city.equals("Oslo")', '"Oslo" = city')
MORE = (
    'not(city = "Oslo")',
    'home.zip = "1"',
    "home.zip > 5",
    'home = "here"',
    "tags",
    "age = 0.1",
)
conditions = st.one_of(st.sampled_from((*ATTRIBUTES, *MORE)), junctions(ROOT).map(to_text))
guarded = st.builds(
    lambda guard, first, second: f"{guard} and ({first}) and ({second})",
    st.sampled_from(GUARDS),
    conditions,
    conditions,
)
records = st.one_of(patches, attributes().map(as_decoded))
LIMITS = EngineLimits()


def catalogue_of(texts: list[str]) -> Catalogue:
    catalogue = compile_catalogue(definition_set(texts), LIMITS)
    assert not catalogue.failures
    return catalogue


def affected(catalogue: Catalogue, before: dict[str, Any], patch: dict[str, Any]) -> set[str]:
    ranks: set[int] = set()
    changes: list[AttributeChange] = []
    after = merge_patch(before, patch, changes)
    if changes:
        catalogue.attributes.affected(changes, before, after, ranks)
    return {catalogue.definitions[rank].segment_id for rank in ranks}


def members(texts: list[str], record: dict[str, Any]) -> set[str]:
    found = set()
    for index, text in enumerate(texts):
        expression = check(parse(text)).expr
        assert expression is not None
        if matches(expression, Subject(record, (), (), BASE_MS)):
            found.add(f"s{index}")
    return found


@given(
    texts=st.lists(st.one_of(conditions, guarded), min_size=1, max_size=6),
    first=records,
    steps=st.lists(records, min_size=1, max_size=3),
)
def test_whatever_flips_is_found(
    texts: list[str], first: dict[str, Any], steps: list[dict[str, Any]]
) -> None:
    catalogue = catalogue_of(texts)
    record = merge_patch({}, first)
    for patch in steps:
        before, found = record, affected(catalogue, record, patch)
        record = merge_patch(record, patch)

        assert found >= members(texts, before) ^ members(texts, record)


def test_a_changed_constant_concerns_who_names_the_old_or_the_new() -> None:
    catalogue = catalogue_of([f'city = "c{number}"' for number in range(200)])

    assert affected(catalogue, {"city": "c1"}, {"city": "c2"}) == {"s1", "s2"}
    assert affected(catalogue, {"city": "c1"}, {"city": None}) == {"s1"}
    assert affected(catalogue, {"city": "c1"}, {"city": "c1"}) == set()
    assert affected(catalogue, {"city": "c1"}, {"town": "c2"}) == set()


def test_a_crossed_bound_concerns_who_asks_for_it() -> None:
    catalogue = catalogue_of([f"age >= {number}" for number in range(100)])

    assert affected(catalogue, {"age": 20}, {"age": 22}) == {"s21", "s22"}
    assert affected(catalogue, {"age": 22}, {"age": 20}) == {"s21", "s22"}
    assert affected(catalogue, {"age": 20}, {"age": 20}) == set()


def test_a_number_that_comes_or_goes_concerns_who_can_hold_with_it() -> None:
    bands = [f"age >= {number} and age < {number + 2}" for number in range(0, 100, 2)]
    others = ["age > 90", "age < 5", "age < 5 or age > 90", "not(age > 50)", "age > 9 and age < 3"]
    catalogue = catalogue_of([*bands, *others])
    asked_always = {"s52", "s53"}

    assert affected(catalogue, {}, {"age": 31}) == {"s14", "s15"} | asked_always
    assert affected(catalogue, {"age": 31}, {"age": None}) == {"s14", "s15"} | asked_always
    assert affected(catalogue, {}, {"age": 95}) == {"s46", "s47", "s50"} | asked_always
    assert affected(catalogue, {}, {"age": 4.5}) == {"s1", "s2", "s51"} | asked_always
    assert len(affected(catalogue, {}, {"age": "31"})) == 55


def test_intervals_that_all_overlap_are_all_asked() -> None:
    intervals = Intervals()
    for rank in range(200):
        intervals.narrow(rank, ">", rank)
        intervals.narrow(rank, "<", 1_000 - rank)
    found: set[int] = set()
    intervals.containing(500, found)

    assert found == set(range(200))


def test_what_stands_beside_an_equality_concerns_only_who_satisfies_it() -> None:
    catalogue = catalogue_of([f'city = "c{number}" and age > 20' for number in range(100)])

    assert affected(catalogue, {"city": "c7", "age": 10}, {"age": 30}) == {"s7"}
    assert affected(catalogue, {"age": 10}, {"age": 30}) == set()
    assert affected(catalogue, {"city": "c7", "age": 30}, {"city": "c8"}) == {"s7", "s8"}


def test_every_way_to_satisfy_the_equality_counts() -> None:
    catalogue = catalogue_of(
        ['city in ["Oslo", "Rome"] and age > 20', 'city = "Oslo" and age > 20']
    )

    assert affected(catalogue, {"city": "Rome", "age": 10}, {"age": 30}) == {"s0"}
    assert affected(catalogue, {"city": ["Rome", "Oslo"]}, {"age": 30}) == {"s0", "s1"}
    assert affected(catalogue, {"city": [["Oslo"]]}, {"age": 30}) == {"s0", "s1"}


def test_a_branch_that_is_replaced_concerns_what_is_read_below() -> None:
    catalogue = catalogue_of(['home.address.zip = "1"', 'home.address.zip = "2"', "home.name"])
    before = {"home": {"address": {"zip": "1"}, "name": "x"}}

    assert affected(catalogue, before, {"home": None}) == {"s0", "s2"}
    assert affected(catalogue, before, {"home": "gone"}) >= {"s0", "s2"}
    assert affected(catalogue, before, {"home": {"address": {"zip": "2"}}}) == {"s0", "s1"}
    assert affected(catalogue, before, {"home": {"address": None}}) == {"s0"}


@pytest.mark.parametrize(
    "text", ['city = "Oslo"', 'city.equals("Oslo", "Rome")', 'city.equals("oslo", false)']
)
def test_equalities_concern_only_those_who_have_or_had_the_value(text: str) -> None:
    catalogue = catalogue_of([text])
    assert affected(catalogue, {"city": "Paris"}, {"city": "Bonn"}) == set()
    assert affected(catalogue, {"city": "Paris"}, {"city": "Oslo"}) == {"s0"}
    assert affected(catalogue, {"city": "Oslo"}, {"city": "Bonn"}) == {"s0"}


RFC_7396: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    (
        {"title": "Goodbye!", "author": {"givenName": "John", "familyName": "Doe"}, "tags": ["x"]},
        {"title": "Hello!", "phoneNumber": "+01", "author": {"familyName": None}, "tags": ["y"]},
        {"title": "Hello!", "author": {"givenName": "John"}, "tags": ["y"], "phoneNumber": "+01"},
    ),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396)
def test_the_published_merge_patches(target: Any, patch: Any, result: Any) -> None:
    kept = repr(target)

    assert merge_patch(target, patch) == result
    assert repr(target) == kept


def test_a_patch_tells_what_it_changes_and_nothing_else() -> None:
    changes: list[AttributeChange] = []
    record = {"a": {"b": 1, "c": 2}, "d": [1], "e": "x", "f": 1}
    patch = {"a": {"b": 1, "c": 3}, "d": [True], "e": None, "f": 1.0, "g": {"h": None}, "i": None}
    merge_patch(record, patch, changes)

    assert changes == [
        (("a", "c"), 2, 3),
        (("d",), [1], [True]),
        (("e",), "x", None),
        (("f",), 1, 1.0),
        (("g",), None, {}),
    ]
