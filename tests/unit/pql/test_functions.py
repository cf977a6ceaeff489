"""Truth tables of every function: null, missing, wrong type, empty, boundary."""

from __future__ import annotations

from typing import Any

import pytest

from app.pql.functions import FUNCTIONS
from app.pql.regex import RegexError, compile_java, finds, like
from app.pql.words import PER_ITEM_METHODS

BIG = 2**62


def call(name: str, *arguments: Any) -> Any:
    implementation = FUNCTIONS[name].implementation
    assert implementation is not None
    return implementation(*arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("startsWith", ("Joe", "J"), True),
        ("startsWith", ("Joe", "j"), False),
        ("startsWith", ("Joe", "j", False), True),
        ("startsWith", ("Joe", "j", True), False),
        ("startsWith", (None, "j"), False),
        ("startsWith", ("Joe", None), False),
        ("startsWith", (5, "5"), False),
        ("startsWith", (["x", "Joe"], "J"), True),
        ("doesNotStartWith", ("Joe", "x"), True),
        ("doesNotStartWith", ("Joe", "J"), False),
        ("doesNotStartWith", (None, "J"), False),
        ("endsWith", ("a.com", ".COM", False), True),
        ("doesNotEndWith", ("a.com", ".edu"), True),
        ("contains", ("2010@gmail", "2010@gm"), True),
        ("contains", ("", ""), True),
        ("contains", ("x", ["a", "x"]), True),
        ("doesNotContain", ("x", "x"), False),
        ("doesNotContain", ("x", 5), False),
        ("contains", ("STRASSE", "straße", False), False),
        ("contains", ("ÅRHUS", "århus", False), True),
        ("like", ("x.edu", "%.edu"), True),
        ("like", ("x.EDU", "%.edu"), False),
        ("like", (None, "%"), False),
        ("like", ("x", None), False),
        ("matches", ("UpJohn", "John"), True),
        ("matches", ("UpJohn", "^John"), False),
        ("matches", ("john", "(?i)JOHN"), True),
        ("matches", (None, "x"), False),
        ("matches", ("x", "("), False),
        ("equals", ("a", "A"), False),
        ("equals", ("a", "A", False), True),
        ("equals", ("VA", "VT", "VA"), True),
        ("equals", ("va", "VT", "VA", False), True),
        ("equals", (True, True), True),
        ("equals", (5, 5), True),
        ("equals", (None, "a"), False),
        ("equals", (["a", "b"], "b"), True),
        ("equals", (["a", "B"], "b", False), True),
        ("notEqualTo", ("a", "A"), True),
        ("notEqualTo", ("a", "A", False), False),
        ("notEqualTo", ("a", "b", "c"), True),
        ("notEqualTo", ("a", "b", "a"), False),
        ("notEqualTo", (None, "a"), False),
        ("notEqualTo", ("a", None), False),
        ("isNull", (None,), True),
        ("isNull", ("",), False),
        ("isNotNull", ([],), True),
        ("count", (None,), 0),
        ("count", ([None, 1],), 2),
        ("count", ({"a": 1},), 1),
        ("count", ("text",), 0),
        ("sum", ([],), 0),
        ("sum", (None,), 0),
        ("sum", ([1, None, "2", True, 3],), 4),
        ("sum", ([1, 2.5],), 3.5),
        ("sum", ([[1, 2], [3]],), 6),
        ("sum", ([0.1] * 10,), 1.0),
        ("sum", ([BIG, BIG],), float(2 * BIG)),
        ("sum", ([1e308, 1e308],), None),
        ("average", ([],), None),
        ("average", ([1, 2],), 1.5),
        ("min", ([3, 1, None],), 1),
        ("min", (["x"],), None),
        ("max", ([3, 1.5],), 3),
        ("max", (None,), None),
        ("intersects", (["a"], ["b", "a"]), True),
        ("intersects", ([], []), False),
        ("intersects", (None, ["a"]), False),
        ("intersects", ("a", ["a"]), False),
        ("intersection", (["a", "b", "a"], ["a", "c"]), ["a"]),
        ("intersection", (["a"], ["b"]), []),
        ("intersection", (None, ["b"]), None),
        ("subsetOf", (["a"], ["a", "b"]), True),
        ("subsetOf", ([], []), True),
        ("subsetOf", (None, ["a"]), False),
        ("subsetOf", ([1], [True]), False),
        ("supersetOf", (["a", "b"], ["a"]), True),
        ("supersetOf", (["a"], None), False),
        ("includes", (["a"], "a"), True),
        ("includes", (["a"], None), False),
        ("includes", (None, "a"), False),
        ("distinct", ([1, None, 1.0, True, {"a": 1}, {"a": 1}, "1"],), [1, True, {"a": 1}, "1"]),
        ("distinct", (None,), None),
        ("head", ([],), None),
        ("head", ([7, 8],), 7),
        ("head", (None,), None),
        ("get", ({"k": 1}, "k"), 1),
        ("get", ({"k": 1}, "x"), None),
        ("get", (None, "k"), None),
        ("get", ({"k": 1}, 5), None),
        ("keys", ({"b": 1, "a": 2},), ["b", "a"]),
        ("keys", ([{"b": 1}, 5],), ["b"]),
        ("keys", ("x",), None),
        ("values", ({"b": 1, "a": None},), [1, None]),
        ("values", ([{"b": 1}],), [1]),
        ("values", (None,), None),
        ("getMonth", ("1985-06-07",), 6),
        ("getYear", (0,), 1970),
        ("getDayOfMonth", ("2026-01-05T23:30:00-02:00",), 6),
        ("getMonth", ("June",), None),
        ("getMonth", (None,), None),
        ("getMonth", (["1985-06-07", "x"],), [6]),
        ("date", (2020, 3, 14), 1_584_144_000_000),
        ("date", (2020, 13, 1), None),
        ("date", (2020, "3", 1), None),
        ("currentMonth", (0,), 1),
        ("currentYear", (0,), 1970),
        ("currentDayOfMonth", (86_400_000,), 2),
        ("in", ("a", ["a"]), True),
        ("notIn", ("a", ["b"]), True),
        ("+", (1, 2), 3),
        (">=", (2, 2), True),
        ("!=", (None, 1), False),
    ],
)
def test_function(name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    found = call(name, *arguments)

    assert found == expected
    assert isinstance(found, bool) is isinstance(expected, bool)


_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1.5,
    "",
    "x",
    [],
    [None, [1]],
    {},
    {"a": None},
    10**30,
    float("inf"),
)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_function_raises_on_odd_values(name: str) -> None:
    spec = FUNCTIONS[name]
    if spec.implementation is None or spec.needs_now:
        return
    size = spec.minimum + (0 if spec.kind == "function" else 1)

    for first in _ODD:
        for second in _ODD:
            if spec.sees_items:
                found = [second] * len(first) if isinstance(first, list) else []
                spec.implementation(first, found, *[second][: size - 2])
                continue
            spec.implementation(*((first, second, second, second)[:size]))


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("abc", "abc", True),
        ("abc", "a_c", True),
        ("abc", "ab", False),
        ("abc", "%", True),
        ("", "%", True),
        ("", "_", False),
        ("a\nb", "a%b", True),
        ("abab", "%ab", True),
        ("aXbXc", "a%X%c", True),
        ("ab", "ab%b", False),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("a" * 3_000, "%a" * 40 + "b", False),
    ],
)
def test_like(text: str, pattern: str, expected: bool) -> None:
    assert like(text, pattern) is expected


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("a1", r"\p{Alpha}\p{Digit}", True),
        ("é", r"\w", False),
        ("é", r"(?U)\w", True),
        ("a.b", r"\Qa.b\E$", True),
        ("axb", r"\Qa.b\E", False),
        ("xx", r"(?<n>x)\k<n>", True),
        ("a\n", r"a\Z", True),
        ("a\n", r"a\z", False),
        ("[x]", r"^[\[\]x]+$", True),
        ("]", r"[]]", True),
        ("a|b", r"a[|]b", True),
        ("ab.cd.", r"^(?:\w++\.)+$", True),
        ("catdog", r"^(cat|dog)+$", True),
        ("{", r"{", True),
        ("aaa", r"^a{2,3}$", True),
        ("x" * 5_000, "x", False),
    ],
)
def test_java_patterns(text: str, pattern: str, expected: bool) -> None:
    assert finds(text, pattern) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a*)*b",
        "(a|a)*",
        "(a|ab)+",
        "((a+)b?)+",
        "(a?){20,}",
        "([a-z]|x)*",
        "(a+){5}b",
        "((a|a){8}){8}",
        "a{300}",
        "a*a*a*a*a*b",
        "a?" * 30 + "a" * 30,
        "(a|a)" * 30 + "b",
        "(",
        "a)",
        "[a",
        "[a-z&&[^b]]",
        "[a[b]]",
        r"\p{IsGreek}",
        "a(?i)b",
        "*a",
        "\\",
        r"\k",
        r"\y",
        "x" * 2_000,
    ],
)
def test_patterns_that_explode_or_are_not_understood_are_refused(pattern: str) -> None:
    with pytest.raises(RegexError):
        compile_java(pattern)


@pytest.mark.parametrize(
    "pattern", ["^.*a.*b.*c$", "a*a*b", ".*.*x", "(?:a?){1}(a|a){8}b", r"\s*x\s*y\s*$", "a*a*a*a*b"]
)
def test_what_is_accepted_is_fast_in_the_longest_text_it_bears(pattern: str) -> None:
    compiled = compile_java(pattern)
    assert compiled.max_subject >= 64

    assert not finds("a" * (compiled.max_subject - 1) + "!", pattern)


def test_possessive_repetitions_bear_long_texts() -> None:
    assert compile_java(r"^[^@]++@[^@]++@x").max_subject == 4_000
    assert compile_java(r"^[\w.+-]+@[\w-]+\.[\w.-]+$").max_subject >= 254


def test_the_table_is_complete() -> None:
    per_item = {spec.name for spec in FUNCTIONS.values() if spec.per_item}
    without = {spec.name for spec in FUNCTIONS.values() if not spec.implementation}

    assert per_item == PER_ITEM_METHODS
    assert without == {"and", "or", "not", "if", "inSegment", "filter", "exists", "map"}


ARITIES = {
    (0, 0): "isNull isNotNull count distinct head keys values getMonth getYear getDayOfMonth",
    (0, 1): "sum average min max",
    (1, 1): "matches intersects intersection subsetOf supersetOf includes filter exists get map"
    " groupBy",
    (1, 2): "startsWith doesNotStartWith endsWith doesNotEndWith contains doesNotContain",
    (1, None): "equals notEqualTo",
    (2, 2): "topN bottomN regexGroup",
}
"""Of the methods, from the PQL reference, sections 6 to 8."""


def test_methods_take_as_many_arguments_as_the_reference_says() -> None:
    methods = {spec.name: spec for spec in FUNCTIONS.values() if spec.kind == "method"}

    found = {spec.name: (spec.minimum, spec.maximum) for spec in methods.values()}

    assert found == {name: arity for arity, names in ARITIES.items() for name in names.split()}


def test_a_pattern_may_have_a_thousand_characters() -> None:
    compile_java("x" * 1_000)
    with pytest.raises(RegexError, match="1000 characters"):
        compile_java("x" * 1_001)
