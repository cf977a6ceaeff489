"""Every function and operator of the PQL reference has a case of its own."""

from __future__ import annotations

from collections.abc import Iterator

from app.pql import ast
from app.pql.functions import FUNCTIONS
from app.pql.parser import parse
from tests.cases.script import all_cases

# PQL reference, appendix B.
INDEX = {
    "Boolean": "and or not if",
    "comparison": "= != > >= < <=",
    "array": "in notIn intersects intersection subsetOf supersetOf includes distinct groupBy"
    " filter map topN bottomN head .exists",
    "filter": "[] ^",
    "map": "get keys values mapEntry",
    "string": "like startsWith doesNotStartWith endsWith doesNotEndWith contains doesNotContain"
    " equals notEqualTo matches regexGroup",
    "object": "isNull isNotNull",
    "arithmetic": "+ - * / %",
    "aggregation": "count sum average min max",
    "time": "currentMonth getMonth currentYear getYear currentDayOfMonth getDayOfMonth occurs date"
    " now today",
    "quantifiers": "exists forall",
    "others": "select let chain inSegment",
}
NAMES = {name for names in INDEX.values() for name in names.split()}


def used(node: ast.Node) -> Iterator[str]:
    """Yield the names of the index that a node stands for."""
    match node:
        case ast.Call(name) | ast.Moment(name):
            yield name
        case ast.MethodCall(_, name):
            yield ".exists" if name == "exists" else name
        case ast.Binary(name) | ast.Comprehension(name) | ast.Aggregate(name):
            yield name
        case _:
            yield _WORDS.get(type(node), "")


_WORDS: dict[type, str] = {
    ast.And: "and",
    ast.Or: "or",
    ast.Not: "not",
    ast.Filter: "[]",
    ast.UpReference: "^",
    ast.Occurs: "occurs",
    ast.Let: "let",
    ast.Chain: "chain",
}


def test_the_index_has_seventy_names() -> None:
    assert len(NAMES) == 70


def test_every_name_has_a_case() -> None:
    cases = [case for case in all_cases() if case.file in _FILES]

    trees = [parse(case.expression) for case in cases]
    found = {name for tree in trees for node in ast.walk(tree) for name in used(node)}

    assert NAMES - found == set()


_FILES = {
    "operators.pqltest",
    "text.pqltest",
    "lists.pqltest",
    "maps.pqltest",
    "time.pqltest",
    "events.pqltest",
}


def test_every_name_is_a_form_of_the_grammar_or_in_the_table() -> None:
    forms = {"[]", "^", "occurs", "now", "today", "forall", "select", "let", "chain", ".exists"}

    assert NAMES - forms - FUNCTIONS.keys() == set()
    assert FUNCTIONS.keys() - NAMES == set()
