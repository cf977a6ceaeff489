"""Properties of pql/json: reading is the inverse of writing, and nothing makes the reader fall."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.json_places import PqlJsonError
from app.pql.json_reader import read
from app.pql.json_writer import write
from app.pql.parser import parse
from app.pql.printer import to_text
from tests.property.examples import WHOLE_GRAMMAR
from tests.property.pql_places import SEGMENTS
from tests.property.pql_strategies import conditions, json_values, trees

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
_settings = settings(max_examples=WHOLE_GRAMMAR, suppress_health_check=_SLOW)
_KINDS = (
    *("fnApply", "fieldLookup", "literal", "parameterReference", "varRef", "varDecl"),
    *("select", "quantification", "fnCreate", "set", "x", 1),
)
_NAMES = (
    *("and", "or", "not", "=", "in", "matches", "occurs", "chain", "let", "step", "WHAT", "COUNT"),
    *("[]", "{}", "^", "@", "this", "last", "now", "sum", "if", "get", "count", "x-y", "xdm:a", ""),
)
_WORDS = st.one_of(st.sampled_from((*_NAMES, "on", "before", "day", "<=", "profile", "a", "List")))


@_settings
@given(trees())
def test_text_and_json_lead_to_each_other(tree: Expr) -> None:
    first = read(orjson.dumps(write(tree)).decode())

    again = read(write(first.tree))

    assert write(first.tree) == write(tree)
    assert repr(again.tree) == repr(first.tree)
    assert again.text == first.text == to_text(parse(first.text))


@_settings
@given(conditions())
def test_a_condition_means_the_same_in_json(tree: Expr) -> None:
    meant = check(tree, segments=SEGMENTS).expr

    assert repr(check(read(write(tree)).tree, segments=SEGMENTS).expr) == repr(meant)


@cache
def _nodes() -> st.SearchStrategy[Any]:
    """JSON that looks like nodes."""
    leaves = st.one_of(_WORDS, json_values(), st.sampled_from((1, -3, 2**70, 1e300, None)))
    return st.recursive(
        leaves,
        lambda inner: st.fixed_dictionaries(
            {"nodeType": st.one_of(st.sampled_from(_KINDS), inner)},
            optional={
                "fnName": st.one_of(_WORDS, inner),
                "params": st.one_of(st.lists(inner, max_size=4), inner),
                "form": st.one_of(
                    st.sampled_from(("infix", "method", "function", "clause")), inner
                ),
                **{name: st.one_of(_WORDS, inner) for name in ("fieldName", "varName", "value")},
                **dict.fromkeys(("object", "body", "from", "range", "where"), inner),
                "literalType": st.one_of(_WORDS, inner),
                "quantifier": st.one_of(st.sampled_from(("some", "all", "none", "one")), inner),
                "variables": st.lists(inner, max_size=2),
                "position": st.one_of(st.integers(), _WORDS),
            },
        ),
        max_leaves=10,
    )


@_settings
@given(st.one_of(json_values(), _nodes()))
def test_any_json_is_read_or_refused_with_places(value: Any) -> None:
    _assert_read_or_refused(value)


@_settings
@given(trees(), st.data())
def test_a_damaged_tree_is_read_or_refused_with_places(tree: Expr, data: st.DataObject) -> None:
    value = copy.deepcopy(write(tree))
    spots = [spot for spot in _spots(value) if spot[1] != "nodeType"]
    owner, key = data.draw(st.sampled_from(spots)) if spots else (value, "nodeType")
    owner[key] = data.draw(st.one_of(_nodes(), _WORDS))

    _assert_read_or_refused(value)


def _spots(value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [one for key in keys for one in _spots(value[key])]


def _assert_read_or_refused(value: Any) -> None:
    try:
        found = read(value)
    except PqlJsonError as error:
        refused = error
    else:
        assert repr(parse(found.text)) == repr(found.tree)
        check(found.tree)
        return
    assert refused.problems
    for problem in refused.problems:
        assert _has(value, refused.places[problem.span.start]), problem


def _has(value: Any, pointer: str) -> bool:
    for part in pointer.split("/")[1:]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return True
