"""Every published expression parses, prints and checks; every malformed one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.domain.limits import EngineLimits
from app.domain.model import (
    DefinitionSet,
    Origin,
    ProfileKey,
    ProfileUpdate,
    SegmentDefinition,
    Tenant,
)
from app.engine.catalogue import compile_catalogue
from app.engine.oracle import Event, Subject, matches
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.errors import PqlError
from app.pql.parser import parse
from app.pql.printer import to_text
from app.service.partition import PartitionEngine

_NOW_MS = 1_767_607_200_000
_TENANT = Tenant("org@AdobeOrg", "prod")
_KEY = ProfileKey(_TENANT, "p")
_LIMITS = EngineLimits()
_RECORD: dict[str, Any] = {
    "homeAddress": {"countryISO": "CA", "stateProvince": "VT", "countryCode": "US"},
    "workAddress": {"stateProvince": "VT", "country": "US"},
    "person": {
        "name": {"firstName": "John"},
        "birthYear": 1985,
        "birthMonth": 6,
        "age": 25,
        "favoriteColors": ["red", "blue", "green"],
        "gender": "female",
    },
    "orders": [{"storeId": 1, "price": 20.5}, {"storeId": 2, "price": 5}],
    "numbers": [1, 2, 3],
}
_EVENTS: list[dict[str, Any]] = [
    {
        "eventType": "commerce.purchases",
        "commerce": {"order": {"priceTotal": 150, "currencyCode": "USD"}},
        "productListItems": [{"SKU": "PS", "priceTotal": 20}],
    },
    {"eventType": "commerce.checkouts", "placeContext": {"geo": {"stateProvince": "CA"}}},
    {"eventType": "download", "product": "PS"},
]


def _lines(path: Path) -> list[list[str]]:
    found = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    assert found, f"{path} is empty"
    return found


def test_every_line_of_the_corpus_prints_to_the_tree_it_came_from(shared_data: Path) -> None:
    lines = _lines(shared_data / "pql-corpus.tsv")

    changed = [text for text, *_ in lines if repr(parse(to_text(parse(text)))) != repr(parse(text))]

    assert changed == []


def _resolved(path: Path) -> dict[str, Expr | None]:
    """Return the lines meant for segments; those for ranking formulas need another host's data."""
    return {
        text: check(parse(text)).expr
        for text, source, *_ in _lines(path)
        if "journey-optimizer" not in source
    }


def test_every_line_of_the_corpus_checks_and_prints_to_what_it_resolves_to(
    shared_data: Path,
) -> None:
    found = _resolved(shared_data / "pql-corpus.tsv")

    assert [text for text, expr in found.items() if expr is None] == []
    assert [
        text
        for text, expr in found.items()
        if expr is not None and repr(check(parse(to_text(expr))).expr) != repr(expr)
    ] == []


def test_every_line_of_the_corpus_evaluates_alike_in_oracle_and_engine(shared_data: Path) -> None:
    found = _resolved(shared_data / "pql-corpus.tsv")
    definitions = [
        SegmentDefinition(f"s{number}", number, 1, text) for number, text in enumerate(found)
    ]
    catalogue = compile_catalogue(DefinitionSet(_TENANT, "1-a", tuple(definitions)), _LIMITS)
    assert catalogue.failures == {}
    engine = PartitionEngine(_LIMITS, 10)
    engine.set_catalogue(_TENANT, catalogue)
    engine.provide_states({_KEY: None})
    engine.provide_events({_KEY: None})
    updates = [
        ProfileUpdate(_KEY, Origin("t", 0, number), _NOW_MS, None, event=body, event_ms=_NOW_MS)
        for number, body in enumerate(_EVENTS)
    ]
    updates.append(ProfileUpdate(_KEY, Origin("t", 0, 9), _NOW_MS, attributes=_RECORD))

    changes = engine.apply(updates, [], _NOW_MS, _NOW_MS).changes

    events = [Event(_NOW_MS, order, body) for order, body in enumerate(_EVENTS)]
    subject = Subject(_RECORD, events, (), _NOW_MS)
    told = {name for name, expr in zip(_ids(found), found.values(), strict=True) if expr}
    wanted = {
        name
        for name, expr in zip(_ids(found), found.values(), strict=True)
        if expr is not None and matches(expr, subject)
    }
    final = {one.segment_id: one.status for one in changes}
    assert {name for name, status in final.items() if status == "realized"} == wanted
    assert len(told) > 150
    assert len(wanted) > 25


def _ids(found: dict[str, Expr | None]) -> list[str]:
    return [f"s{number}" for number in range(len(found))]


def test_malformed_lines_are_refused(shared_data: Path) -> None:
    lines = _lines(shared_data / "pql-invalid.tsv")

    accepted = [reason for text, _, reason in lines if not _is_refused(text)]

    # A single-quoted string is read leniently (open point 17 of the PQL reference).
    assert accepted == ["single-quoted string literal"]


def _is_refused(text: str) -> bool:
    try:
        return bool(check(parse(text)).problems)
    except PqlError as error:
        return bool(error.problems)
