"""Text to tree: lexical rules, precedence, ambiguities, refusals."""

from __future__ import annotations

import pytest

from app.pql import ast
from app.pql.ast import And, Binary, Field, Filter, Literal, MethodCall, Name, Negative, Not, Or
from app.pql.errors import PqlError
from app.pql.limits import MAX_CHARACTERS
from app.pql.parser import parse
from app.pql.printer import to_text

A, B, C = Name("a"), Name("b"), Name("c")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"x"', "x"),
        ("'US'", "US"),
        ('"say \\"hi\\" \\\\w \\n\\t\\r\\u0041"', 'say "hi" \\w \n\t\rA'),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ("0", 0),
        ("412", 412),
        ("4.5", 4.5),
        (".45", 0.45),
        ("2.02E-12", 2.02e-12),
        ("2e3", 2000.0),
        ("9223372036854775807", 2**63 - 1),
        ("TRUE", True),
        ("false", False),
    ],
)
def test_literals(text: str, value: object) -> None:
    found = parse(text)

    assert isinstance(found, Literal)
    assert found.value == value
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a or b and c", Or((A, And((B, C))))),
        ("a and b and c", And((A, B, C))),
        ("(a and b) and c", And((And((A, B)), C))),
        ("not a and b", And((Not(A), B))),
        ("!a = b", Not(Binary("=", A, B))),
        ("a + b * c", Binary("+", A, Binary("*", B, C))),
        ("a - b - c", Binary("-", Binary("-", A, B), C)),
        ("-a * b", Binary("*", Negative(A), B)),
        ("a = b = c", Binary("=", Binary("=", A, B), C)),
        ("a + 1 > b", Binary(">", Binary("+", A, Literal(1)), B)),
        ("a.b.c", Field(Field(A, "b"), "c")),
        ("a[b].c", Field(Filter(A, B), "c")),
        ("a.filter(b)", MethodCall(A, "filter", (B,))),
        ("a NOTIN [1]", Binary("notIn", A, ast.ListLiteral((Literal(1),)))),
        ('a in ("x","y")', Binary("in", A, ast.ListLiteral((Literal("x"), Literal("y"))))),
        ('a in (["x"])', Binary("in", A, ast.ListLiteral((Literal("x"),)))),
        ("^^.a", ast.UpReference(2, "a")),
        ("^a", ast.UpReference(1, "a")),
        ("$1.a", Field(ast.Parameter(1), "a")),
        ("@{x;version=1}.a", Field(ast.ContextReference("x;version=1"), "a")),
        ('{k: a, "l": b}', ast.ObjectLiteral((("k", A), ("l", B)))),
        ("(a, b) => c", ast.Lambda(("a", "b"), C)),
        ("a => b", ast.Lambda(("a",), B)),
        ("let a = b in c", ast.Let("a", B, C)),
        ("sum > 1", Binary(">", Name("sum"), Literal(1))),
        ("a.exists(b)", MethodCall(A, "exists", (B,))),
        ("IF(a, b, c)", ast.Call("if", (A, B, C))),
        ("this.last", Field(ast.This(), "last")),
    ],
)
def test_structure(text: str, tree: ast.Expr) -> None:
    assert parse(text) == tree


def test_where_takes_everything_to_its_right() -> None:
    found = parse('select X from xEvent where X.type="F" and X.to in ["SJC"]')

    assert isinstance(found, ast.Comprehension)
    assert isinstance(found.declarations[0].condition, And)


def test_a_comma_continues_a_comprehension_only_before_a_declaration() -> None:
    found = parse("if(select X from a where b, 1, 2)")

    assert isinstance(found, ast.Call)
    assert len(found.arguments) == 3


def test_an_aggregate_may_begin_with_a_parenthesis() -> None:
    found = parse("sum (X.a + X.b) * 2 over X from c")

    assert isinstance(found, ast.Aggregate)
    assert found.value is not None


def test_the_and_of_between_belongs_to_it() -> None:
    found = parse("a occurs between date(2015, 1, 8) and today and b")

    assert isinstance(found, And)
    assert isinstance(found.operands[0], ast.Occurs)


def test_a_period_needs_a_unit_word() -> None:
    found = parse("a occurs this month")
    item = parse("a occurs on this.month")

    assert isinstance(found, ast.Occurs)
    assert found.tail == ast.OccursOn(ast.Period("this", "month"))
    assert isinstance(item, ast.Occurs)
    assert item.tail == ast.OccursOn(Field(ast.This(), "month"))


def test_clauses_of_a_step_stand_in_any_order() -> None:
    found = parse("CHAIN(xEvent, timestamp, [A: what(a) count(2) WHERE(b) When(today)])")

    assert isinstance(found, ast.Chain)
    (step,) = found.steps
    assert step == ast.Step("A", A, ast.OccursOn(ast.Moment("today")), B, 2)


def test_spans_name_the_text_of_a_node() -> None:
    text = 'x = 1 and  city.name like "O%"'

    found = parse(text)

    assert isinstance(found, And)
    second = found.operands[1]
    assert text[second.span.start : second.span.end] == 'city.name like "O%"'


@pytest.mark.parametrize(
    ("text", "code", "column", "part"),
    [
        ("", "syntax", 1, "the end"),
        ("a ==  b", "syntax", 4, "one `=`"),
        ("a not in b", "syntax", 3, "notIn"),
        ("a = “CA”", "syntax", 5, "straight double quotes"),
        ('a = "x', "syntax", 5, "not closed"),
        ('a matches "\\w"', "syntax", 12, "\\\\w"),
        ('"\\ud800"', "syntax", 1, "half a character"),
        ("a && b", "syntax", 3, "write `and`"),
        ("a ? b", "syntax", 3, "if(test"),
        ("(a", "syntax", 3, "`)`"),
        ("a = 99999999999999999999", "number-range", 5, "64 bits"),
        ("1e999", "number-range", 1, "too large"),
        ("5x", "syntax", 1, "no number"),
        ("a occurs <= 3 fortnights before now", "syntax", 15, "time unit"),
        ("a occurs <= 3.5 days before now", "syntax", 13, "whole number"),
        ("a occurs <= 3 days now", "syntax", 20, "`before`"),
        ("chain(xEvent, timestamp, [])", "syntax", 27, "label"),
        ("chain(xEvent, timestamp, [A: WHAT(a) COUNT(1) COUNT(2)])", "syntax", 47, "one COUNT"),
        ("a = not b", "syntax", 5, "parentheses"),
        ("in = 1", "syntax", 1, "$1.in"),
        ("a = null null", "syntax", 10, "isNull"),
    ],
)
def test_refusals_name_place_and_remedy(text: str, code: str, column: int, part: str) -> None:
    with pytest.raises(PqlError) as caught:
        parse(text)

    (problem,) = caught.value.problems
    assert problem.code == code
    assert problem.span.start == column - 1
    assert part in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5_000 + "a" + ")" * 5_000,
        "not " * 4_900 + "a",
        "-" * 5_000 + "a",
        "a" + ".b" * 5_000,
        "a" + " + a" * 4_900,
        "[" * 5_000,
        "let a = " * 2_000,
        "a => " * 3_900,
        "exists a from " * 1_400,
    ],
)
def test_hostile_nesting_is_refused(text: str) -> None:
    with pytest.raises(PqlError) as caught:
        parse(text)

    assert caught.value.problems[0].code in {"too-deep", "syntax"}


def test_a_chain_of_operators_that_is_too_deep_is_refused_as_a_whole() -> None:
    text = "1" + " + 1" * 200

    with pytest.raises(PqlError) as caught:
        parse(text)

    (problem,) = caught.value.problems
    assert (problem.code, problem.span.start, problem.span.end) == ("too-deep", 0, len(text))


def test_sixty_parentheses_are_fine() -> None:
    assert parse("(" * 59 + "a" + ")" * 59) == A


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(PqlError, match="characters"):
        parse("a" + " " * MAX_CHARACTERS)
    assert parse("a" + " " * (MAX_CHARACTERS - 1)) == A


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("((a))", "a"),
        ("(a or b) and c", "(a or b) and c"),
        ("a or (b and c)", "a or b and c"),
        ("not (a = b)", "not a = b"),
        ("not (a and b)", "not (a and b)"),
        ("(a + b) * -c", "(a + b) * -c"),
        ("(select X from a).count() > 1", "(select X from a).count() > 1"),
        ("a OCCURS <= 1 days BEFORE Now", "a occurs <= 1 day before now"),
        ("a occurs on today", "a occurs today"),
        ("a in ('x')", 'a in ["x"]'),
    ],
)
def test_printing_uses_few_parentheses(text: str, printed: str) -> None:
    assert to_text(parse(text)) == printed


@pytest.mark.parametrize(
    "text",
    [
        "max (sum - 1) over X from c",
        "f((select X from c), let from = a in b)",
        "chain((select X from c), let from = a in b, [A: WHAT(a)])",
        "sum (sum) over over from from",
        "sum (sum) over over from this",
        "sum (sum.x + 1) over X from over",
        "sum (sum) over from from this",
        "sum (select) over from from this",
        "sum occurs from this",
        "let occurs = 0 seconds before this",
    ],
)
def test_fields_with_the_names_of_keywords_are_printed_as_they_are_read(text: str) -> None:
    tree = parse(text)
    assert to_text(tree) == text
    assert parse(to_text(tree)) == tree
