from __future__ import annotations

import pytest

from app.service.search_parser import MAX_CHARACTERS, MAX_DEPTH, MAX_TERMS, parse
from app.service.search_query import (
    ANYWHERE,
    FIELDS,
    Boost,
    Clauses,
    Everything,
    Node,
    Phrase,
    QueryProblem,
    Regex,
    Wildcard,
    Word,
)

NAME = (FIELDS["name"],)
SEGMENT_NAME = (FIELDS["segmentName"],)
ID = (FIELDS["segmentId"],)


def word(text: str, distance: int = 0) -> Word:
    return Word(text, ANYWHERE, distance)


def any_of(*nodes: Node) -> Clauses:
    return Clauses(tuple(("should", node) for node in nodes))


def all_of(*nodes: Node) -> Clauses:
    return Clauses(tuple(("must", node) for node in nodes))


def but(node: Node, *excluded: Node) -> Clauses:
    return Clauses((("should", node), *(("must_not", one) for one in excluded)))


def none_of(*nodes: Node) -> Clauses:
    return Clauses(tuple(("must_not", node) for node in nodes))


A, B, C = word("a"), word("b"), word("c")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        ("  a\t", A),
        ("a b", any_of(A, B)),
        ("a OR b", any_of(A, B)),
        ("a || b", any_of(A, B)),
        ("a AND b", all_of(A, B)),
        ("a && b", all_of(A, B)),
        ("a AND b OR c", any_of(all_of(A, B), C)),
        ("a OR b AND c", any_of(A, all_of(B, C))),
        ("(a OR b) AND c", all_of(any_of(A, B), C)),
        ("(a)(b)", any_of(A, B)),
        ("a NOT b", but(A, B)),
        ("a -b", but(A, B)),
        ("a !b", but(A, B)),
        ("a AND NOT b", Clauses((("must", A), ("must_not", B)))),
        ("NOT a", none_of(A)),
        ("NOT a NOT b", none_of(A, B)),
        ("NOT NOT a", A),
        ("a OR NOT b", any_of(A, none_of(B))),
        ("NOT a OR b", any_of(none_of(A), B)),
        ("+a b", Clauses((("must", A), ("should", B)))),
        ("NOT (a b)", none_of(any_of(A, B))),
        ("and or not", any_of(word("and"), word("or"), word("not"))),
        ("ANDREW", word("ANDREW")),
        ('"AND"', Phrase("AND", ANYWHERE)),
        (r"\AND", word("AND")),
        ("a - b", any_of(A, word("-"), B)),
        ("e-mail", word("e-mail")),
        ("and/or", word("and/or")),
        ("*:*", Everything()),
    ],
)
def test_words_and_operators(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("run*", Wildcard("run*", ANYWHERE)),
        ("c?m?", Wildcard("c?m?", ANYWHERE)),
        ("*", Wildcard("*", ANYWHERE)),
        (r"a\*b*", Wildcard(r"a\*b*", ANYWHERE)),
        (r"a\*b", word("a*b")),
        (r"a\:b", word("a:b")),
        (r"\(a\)", word("(a)")),
        ('"blue umbrella"', Phrase("blue umbrella", ANYWHERE)),
        (r'"a \"b\" c"', Phrase('a "b" c', ANYWHERE)),
        ('"hotel airport"~5', Phrase("hotel airport", ANYWHERE, 5)),
        ("blue~", word("blue", 2)),
        ("blue~0", word("blue")),
        ("blue~1", word("blue", 1)),
        ("a~ b~1", any_of(word("a", 2), word("b", 1))),
        ("/[mh]otel/", Regex("[mh]otel", ANYWHERE, 1)),
        (r"a /b\/c/", any_of(A, Regex(r"b\/c", ANYWHERE, 3))),
        ("a^2 b", any_of(Boost(A, 2.0), B)),
        ('"a b"~1^0.5', Boost(Phrase("a b", ANYWHERE, 1), 0.5)),
        ("(a b)^3", Boost(any_of(A, B), 3.0)),
        ("blue~1^2", Boost(word("blue", 1), 2.0)),
    ],
)
def test_kinds_of_terms(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("segmentName:a", Word("a", SEGMENT_NAME)),
        # A field in front is that of the whole expression: `s=Field:expression`.
        ("segmentName:a OR b", any_of(Word("a", SEGMENT_NAME), Word("b", SEGMENT_NAME))),
        ("name: a AND b", all_of(Word("a", NAME), Word("b", NAME))),
        ("name:a segmentId:b c", any_of(Word("a", NAME), Word("b", ID), Word("c", NAME))),
        # In front of a group, or later, it is that of what follows it, as in Lucene.
        ("name:(a b) c", any_of(any_of(Word("a", NAME), Word("b", NAME)), C)),
        ("a OR name:b OR c", any_of(A, Word("b", NAME), C)),
        ("-name:a b", Clauses((("must_not", Word("a", NAME)), ("should", B)))),
        ('name:"a b"~2', Phrase("a b", NAME, 2)),
        ("segmentId:a*", Wildcard("a*", ID)),
        ("name:/a/", Regex("a", NAME, 6)),
        ("segmentId:5b1d-3f70", Word("5b1d-3f70", ID)),
        ("(segmentId:a)", Word("a", ID)),
        ("name:(a OR segmentId:b)", any_of(Word("a", NAME), Word("b", ID))),
    ],
)
def test_fields(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize("field", FIELDS)
def test_every_documented_field_is_known(field: str) -> None:
    assert parse(f"{field}:a") == Word("a", (FIELDS[field],))


@pytest.mark.parametrize(
    ("text", "offset", "said"),
    [
        ("AND a", 0, "nothing before"),
        ("a AND", 2, "nothing after"),
        ("a OR ", 2, "nothing after"),
        ("a AND OR b", 6, "nothing before"),
        ("a NOT", 2, "nothing after"),
        ("(a NOT)", 3, "nothing after"),
        ("(a OR b", 0, "never closed"),
        ("a (b (c)", 2, "never closed"),
        ("a) b", 1, "no `(`"),
        ("a ()", 3, "empty"),
        ('a "b c', 2, "never closed"),
        ("a /b c", 2, "never closed"),
        ("a\\", 1, "backslash"),
        ("a \\", 2, "backslash"),
        ("nom:a", 0, "no field `nom`"),
        ("a AND nom:b", 6, "no field `nom`"),
        ("e-mail:a", 0, "no field `e-mail`"),
        ("name:", 5, "nothing to look for after `name:`"),
        ("name: AND a", 6, "nothing to look for"),
        ("name:name:a", 5, "a field follows a field"),
        ("name::a", 5, "no field before"),
        (":a", 0, "no field before"),
        ("blue~3", 5, "0 to 2"),
        ("blue~0.5", 5, "0 to 2"),
        ("blue~x", 5, "0 to 2"),
        ('"a b"~', 6, "0 to 1,000"),
        ('"a b"~1001', 6, "0 to 1,000"),
        ("run*~1", 4, "wildcards"),
        ("~2", 0, "nothing before"),
        ("(a)~2", 3, "nothing before"),
        ("a^0", 2, "above 0"),
        ("a^x", 2, "above 0"),
        ("a ^2", 2, "nothing before"),
        ("[a TO b]", 0, "cannot begin"),
        ("name:{a", 5, "cannot begin"),
        ("(" * (MAX_DEPTH + 1) + "a", MAX_DEPTH, "nested"),
        ("a " * (MAX_TERMS + 1), 2 * MAX_TERMS, "more than 100 words"),
        ("a" * (MAX_CHARACTERS + 1), MAX_CHARACTERS, "longer than 2,000"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, offset: int, said: str) -> None:
    with pytest.raises(QueryProblem) as caught:
        parse(text)
    assert caught.value.offset == offset
    assert said in caught.value.message


def test_the_deepest_and_longest_queries_are_read() -> None:
    parse("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH)
    parse("a " * MAX_TERMS)
    parse("a" * MAX_CHARACTERS)
