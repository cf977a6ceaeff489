"""Resolution of names, types, and every problem with its place and remedy."""

from __future__ import annotations

import pytest

from app.pql import ast
from app.pql.ast import Expr, Field, ItemRef, Literal, ProfileRef, Variable
from app.pql.checker import Checked, check
from app.pql.parser import parse


def checked(text: str) -> Checked:
    return check(parse(text))


def resolved(text: str) -> Expr:
    found = checked(text)
    assert found.problems == ()
    assert found.expr is not None
    return found.expr


def condition(expr: Expr) -> Expr:
    assert isinstance(expr, ast.Filter)
    return expr.condition


def left(expr: Expr) -> Expr:
    assert isinstance(expr, ast.Binary)
    return expr.left


def test_a_bare_path_belongs_to_the_profile() -> None:
    assert left(resolved("a.b = 1")) == Field(Field(ProfileRef(), "a"), "b")
    assert resolved("$1.a.b = 1") == resolved("a.b = 1")


def test_inside_a_filter_a_bare_path_belongs_to_the_item() -> None:
    assert left(condition(resolved("xEvent[a = 1]"))) == Field(ItemRef(0), "a")
    assert condition(resolved("xEvent[this]")) == ItemRef(0)


def test_each_caret_leaves_one_item_scope() -> None:
    outer = condition(resolved("xEvent[items[sku = ^.sku or ^^.city = sku]]"))

    inner = condition(outer)

    assert isinstance(inner, ast.Or)
    first, second = inner.operands
    assert isinstance(first, ast.Binary)
    assert first.right == Field(ItemRef(1), "sku")
    assert left(second) == Field(ProfileRef(), "city")


def test_a_comprehension_binds_a_variable_and_opens_no_item_scope() -> None:
    found = resolved("exists E from xEvent where E.place != home")

    assert isinstance(found, ast.Comprehension)
    where = found.declarations[0].condition
    assert isinstance(where, ast.Binary)
    assert where.left == Field(Variable("E"), "place")
    assert where.right == Field(ProfileRef(), "home")


def test_a_bound_variable_wins_over_a_field() -> None:
    found = resolved("exists E from xEvent where E.items[E = sku]")

    assert isinstance(found, ast.Comprehension)
    inner = found.declarations[0].condition
    assert inner is not None
    assert left(condition(inner)) == Variable("E")


def test_per_item_methods_open_an_item_scope_and_others_do_not() -> None:
    total = resolved("xEvent.sum(price) > 1")
    flag = resolved("xEvent[sku.contains(part)]")

    assert isinstance(left(total), ast.MethodCall)
    assert ast.Field(ItemRef(0), "price") in list(ast.walk(total))
    assert ast.Field(ItemRef(0), "part") in list(ast.walk(flag))


def test_a_chain_is_resolved_in_the_scope_of_its_events() -> None:
    found = resolved("chain(xEvent, timestamp, [A: WHAT(a) WHEN(after start) WHERE(^.b)])")

    assert isinstance(found, ast.Chain)
    assert found.array == ast.EventsRef()
    assert found.key == Field(ItemRef(0), "timestamp")
    (step,) = found.steps
    assert step.what == Field(ItemRef(0), "a")
    assert step.when == ast.OccursRelative("after", Field(ProfileRef(), "start"))
    assert step.where == Field(ProfileRef(), "b")


def test_the_short_form_of_an_aggregate_adds_the_variable() -> None:
    found = resolved("(sum X from numbers) > 1")

    total = left(found)
    assert isinstance(total, ast.Aggregate)
    assert total.value == Variable("X")


def test_what_an_expression_depends_on() -> None:
    found = checked('inSegment("b") and (xEvent[a] or inSegment("a") or inSegment("b"))')

    assert found.segment_ids == ("b", "a")
    assert found.uses_events
    assert not checked("city").uses_events


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("currentMnth() = 1", "unknown-function", "did you mean currentMonth?"),
        ('city.startswith("O")', "unknown-function", "did you mean startsWith?"),
        ("count(tags) > 1", "unknown-function", "it is a method"),
        ('a.inSegment("x")', "unknown-function", "it is a function"),
        ("a.frobnicate()", "unknown-function", "table"),
        ("a.count(1) > 1", "arity", "takes 0 arguments, 1 are given"),
        ("a.equals()", "arity", "at least 1"),
        ("a.contains()", "arity", "1 or 2"),
        ("a.exists()", "arity", "takes 1"),
        ("date(2020, 13, 1)", "never-matches", "no such day"),
        ("t occurs on date(2023, 2, 29)", "never-matches", "no such day"),
        ("t occurs on date(2020.5, 1, 1)", "type", "whole numbers"),
        ('age > "18"', "never-matches", "without quotes: 18"),
        ('age > "old"', "never-matches", "strings have no order"),
        ("a.isNull() > 1", "type", "a Boolean"),
        ('(a > 1) = "maybe"', "never-matches", "never equals"),
        ("a.isNull() = 1", "never-matches", "never equals"),
        ('a + "x" > 1', "type", "needs numbers"),
        ("[1] + 1", "type", "needs numbers"),
        ("-true", "type", "needs a number"),
        ('a in "x"', "type", "write a list"),
        ("a in []", "never-matches", "empty list"),
        ("a like 5", "type", "needs strings"),
        ('a matches "(a+)+"', "regex", "possessive"),
        ('a.matches("[")', "regex", "not closed"),
        ("a.contains(5)", "type", "needs a string"),
        ('a.contains("x", 5)', "type", "needs a Boolean"),
        ("a.isNull().count()", "type", "works on a list"),
        ("a.isNull()[b]", "type", "a list is needed"),
        ("a.isNull().b", "type", "no field b"),
        ("(select A from x, B from y).c", "type", "tuples"),
        ("select A from 5 where A", "type", "a list is needed"),
        ("exists A from x, A from y", "duplicate-name", "declared twice"),
        ("sum A from x, B from y", "syntax", "over"),
        (f"exists {', '.join(f'V{n} from x' for n in range(17))}", "too-many-variables", "are 17"),
        ("sum A.b.isNull() over A from x", "type", "needs numbers"),
        ("a = now", "use-occurs", "occurs"),
        ("now occurs today", "use-occurs", "occurs"),
        ("a = this month", "use-occurs", "`this month`"),
        ("a = date(2020, 1, 1)", "type", "occurs"),
        ("a.equals(date(2020, 1, 1))", "type", "occurs"),
        ("xEvent occurs today", "type", "timestamp"),
        ("true occurs today", "type", "needs times"),
        ('t occurs after "soon"', "never-matches", "no timestamp"),
        ("t occurs after a.isNull()", "type", "needs times"),
        ("^.a", "unbound-reference", "at most 0"),
        ("xEvent[^^^.a]", "unbound-reference", "at most 1"),
        ("this = 1", "unbound-reference", "no item"),
        ("var1.a = 1", "unbound-variable", "var1 is not declared"),
        ("inSegment(a)", "segment-literal", 'inSegment("id")'),
        ("inSegment(5)", "type", "needs a string"),
        ("chain(events, timestamp, [A: WHAT(a)])", "chain-array", "xEvent"),
        ("chain(xEvent, received, [A: WHAT(a)])", "chain-key", "timestamp"),
        ("chain(xEvent, timestamp, [A: WHAT(a), A: WHAT(b)])", "duplicate-name", "label A"),
        ("chain(xEvent, timestamp, [A: WHAT(a) COUNT(0)])", "chain-count", "at least 1"),
        ("a.b = (x => x)", "type", "only at the beginning"),
        ("a => b => c", "type", "only at the beginning"),
        ("(a, a) => a", "duplicate-name", "one name"),
        ("a.filter((x, y) => x)", "arity", "one parameter"),
        ("a.map((x, y, z) => x)", "arity", "or two"),
        ("xEvent.map((k, v) => k)", "type", "no keys"),
        ("a.map(x => mapEntry(x, 1).b)", "type", "only in map"),
        ("mapEntry(a, b)", "type", "only in map"),
        ('{"a": 1, a: 2}', "duplicate-name", "comes twice"),
        ("a.topN(b)", "arity", "takes 2"),
        ("a.topN(b, c)", "type", "whole number"),
        ("a.bottomN(b, 1.5)", "type", "whole number"),
        ("a.groupBy(b)[c]", "type", "a list is needed"),
        ('a.regexGroup("[b", 1)', "regex", "not closed"),
        ('a.regexGroup("(b)", 2)', "never-matches", "no group 2"),
        ('a.regexGroup("b", "1")', "type", "needs a number"),
        ("let a = b.count() in a.c", "type", "no field c"),
        ("segmentMembership.isNull()", "segment-literal", "one membership at a time"),
        ('segmentMembership.get("ups").count() > 1', "segment-literal", "one membership"),
        ("segmentMembership.get(a).get(b).status = c", "segment-literal", "one membership"),
    ],
)
def test_problems(text: str, code: str, part: str) -> None:
    found = checked(text)

    assert found.expr is None
    assert code in [problem.code for problem in found.problems]
    assert any(part in str(problem) for problem in found.problems)


def test_seven_steps_are_too_many() -> None:
    steps = ", ".join(f"S{index}: WHAT(a)" for index in range(7))

    found = checked(f"chain(xEvent, timestamp, [{steps}])")

    assert [problem.code for problem in found.problems] == ["too-many-steps"]


def test_all_problems_are_found_at_once_in_order_of_place() -> None:
    text = 'foo() and age > "x" and a in [] and inSegment("gone")'

    found = check(parse(text), segments={"other"})

    codes = ["unknown-function", "never-matches", "never-matches", "unknown-segment"]
    assert [problem.code for problem in found.problems] == codes
    places = [text[one.span.start : one.span.end] for one in found.problems]
    assert places == ["foo()", '"x"', "[]", '"gone"']


@pytest.mark.parametrize(
    "text",
    [
        '(a = 1) = "true"',
        'a + 1 = "6"',
        "(a.isNull()) = false",
        'a.equals("x", "y", false)',
        'xEvent.sku.contains("x")',
        "-5 > a",
        "if(a, 1, 2) > b",
        'inSegment("known")',
        't occurs after "2026-01-01"',
        "xEvent.max(timestamp) occurs <= 3 days before now",
        "birthday occurs = 0 days from today",
    ],
)
def test_what_is_fine(text: str) -> None:
    assert check(parse(text), segments={"known"}).problems == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [("xEvent.a.b > 0", "any-element"), ("a = b = c", "chained-comparison"), ("a > 0", None)],
)
def test_warnings(text: str, code: str | None) -> None:
    found = checked(text)

    assert found.expr is not None
    assert [warning.code for warning in found.warnings] == ([code] if code else [])


def test_a_tree_built_too_deep_by_hand_is_a_problem() -> None:
    tree: Expr = Literal(1)
    for _ in range(5_000):
        tree = ast.Negative(tree)

    assert [problem.code for problem in check(tree).problems] == ["too-deep"]
