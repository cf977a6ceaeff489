"""The generators draw from every production of the grammar."""

from __future__ import annotations

from typing import get_args

from hypothesis import HealthCheck, Phase, given, settings

from app.pql import ast
from app.pql.ast import Expr
from app.pql.functions import FUNCTIONS
from tests.cases.test_functions_covered import used
from tests.property.pql_forms import item_forms, made_forms
from tests.property.pql_places import ALL_UNITS, EVENTS, ROOT, TEXT_METHODS
from tests.property.pql_strategies import conditions, event_conditions, leaves, lists, maps

_RESOLVED_ONLY = {
    ast.ProfileRef,
    ast.EventsRef,
    ast.MembershipRef,
    ast.ItemRef,
    ast.Variable,
}
_KINDS = {*get_args(ast.Expr), *get_args(ast.OccursTail), ast.Declaration, ast.Step}


_PLACES = (ROOT, ROOT.inside("event"))
_TREES = (
    conditions(0),
    event_conditions(),
    *map(leaves, _PLACES),
    *map(made_forms, _PLACES),
    item_forms(ROOT, EVENTS, "event"),
    maps(ROOT),
    lists(ROOT),
)


_settings = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=tuple(HealthCheck),
)


def test_valid_conditions_have_every_form() -> None:
    kinds: set[type] = set()
    names: set[str] = set()

    for trees in _TREES:

        @_settings
        @given(trees)
        def draw(tree: Expr) -> None:
            for node in ast.walk(tree):
                kinds.add(type(node))
                names.update(used(node))

        draw()

    assert _KINDS - _RESOLVED_ONLY - kinds == set()
    # Those that are drawn evenly from a list may miss in so few examples.
    assert FUNCTIONS.keys() - names - {*TEXT_METHODS, "exists"} == set()
    assert set(ALL_UNITS) == set(get_args(ast.Unit))
