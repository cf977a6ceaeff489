"""pql/json: what the reader takes, how it refuses, and the one spelling of the writer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.pql.json_places import MAX_PROBLEMS, PqlJsonError
from app.pql.json_reader import read
from app.pql.json_writer import write
from app.pql.limits import MAX_DEPTH, MAX_JSON_CHARACTERS, MAX_JSON_NODES
from app.pql.parser import parse

Json = dict[str, Any]
PROFILE: Json = {"nodeType": "parameterReference", "position": 1}


def field(name: str, owner: Json | None = PROFILE) -> Json:
    node: Json = {"nodeType": "fieldLookup", "fieldName": name}
    return node if owner is None else node | {"object": owner}


def literal(value: Any, kind: str | None = None) -> Json:
    node: Json = {"nodeType": "literal", "value": value}
    return node if kind is None else node | {"literalType": kind}


def apply(name: str, *params: Any, **more: Any) -> Json:
    return {"nodeType": "fnApply", "fnName": name, "params": list(params), **more}


def declared(name: str, source: Json, where: Json | None = None) -> Json:
    node: Json = {"nodeType": "varDecl", "varName": name, "from": source}
    return node if where is None else node | {"where": where}


def ref(name: str) -> Json:
    return {"nodeType": "varRef", "varName": name}


MONTH = apply("this", literal("month", "String"))


def problems_of(value: Any) -> list[tuple[str, str]]:
    with pytest.raises(PqlJsonError) as caught:
        read(value)
    error = caught.value
    return [(one.code, error.places[one.span.start]) for one in error.problems]


def test_every_published_tree_is_read_and_written_as_text_that_is_it(shared_data: Path) -> None:
    lines = (shared_data / "pql-json-corpus.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines

    for line in lines:
        found = read(json.loads(line)["ast"])

        assert repr(parse(found.text)) == repr(found.tree)
        assert repr(read(write(found.tree)).tree) == repr(found.tree)
    assert read(json.loads(lines[0])["ast"]).text == "a = b"


def test_every_line_of_the_corpus_becomes_json_and_the_same_text_again(shared_data: Path) -> None:
    lines = (shared_data / "pql-corpus.tsv").read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[0] for line in lines if line]
    assert texts

    changed = [
        text
        for text in texts
        if repr(read(json.dumps(write(parse(text)))).tree) != repr(parse(text))
    ]

    assert changed == []


def test_the_published_tree_is_written() -> None:
    place = field("country", field("workAddress"))

    assert write(parse('workAddress.country = "US"')) == apply("=", place, literal("US", "String"))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ('g in ["f", -1]', apply("in", field("g"), literal(["f", -1], "List"))),
        ("not a", apply("not", field("a"))),
        ("-1 < -2.5", apply("<", literal(-1, "Integer"), literal(-2.5, "Number"))),
        ("true", literal(True, "Boolean")),
        ("$2.a", field("a", {"nodeType": "parameterReference", "position": 2})),
        (
            'a.equals("x", false)',
            apply("equals", field("a"), literal("x", "String"), literal(False, "Boolean")),
        ),
        (
            "select X from xEvent where X.a",
            {
                "nodeType": "select",
                "variables": [declared("X", field("xEvent"), field("a", ref("X")))],
            },
        ),
        (
            "not (exists X from a)",
            {
                "nodeType": "quantification",
                "quantifier": "none",
                "variables": [declared("X", field("a"))],
            },
        ),
        (
            "a.map((x) => x)",
            apply(
                "map",
                field("a"),
                {"nodeType": "fnCreate", "params": [{"varName": "x"}], "body": ref("x")},
            ),
        ),
    ],
)
def test_attested_nodes_carry_no_tag(text: str, node: Json) -> None:
    assert write(parse(text)) == node
    assert read(node).text == text


@pytest.mark.parametrize(
    ("text", "node"),
    [
        (
            "t occurs <= 3 days before now",
            apply(
                "occurs",
                field("t"),
                *(literal("<=", "String"), literal(3, "Integer"), literal("day", "String")),
                *(literal("before", "String"), apply("now")),
            ),
        ),
        ("t occurs this month", apply("occurs", field("t"), literal("on", "String"), MONTH)),
        (
            "t occurs between today and this month",
            apply("occurs", field("t"), literal("between", "String"), apply("today"), MONTH),
        ),
        (
            "xEvent[a and $1.b and ^.c and this]",
            apply(
                "[]",
                field("xEvent"),
                apply(
                    "and",
                    *(field("a", None), field("b")),
                    *(field("c", apply("^", literal(1, "Integer"))), apply("this")),
                ),
            ),
        ),
        ("let v = a in v", apply("let", declared("v", field("a")), ref("v"))),
        (
            "sum X.p over X from xEvent",
            apply("sum", field("p", ref("X")), declared("X", field("xEvent"))),
        ),
        (
            "chain(xEvent, timestamp, [A: WHAT(a) WHEN(today) WHERE(b) COUNT(2)])",
            apply(
                "chain",
                field("xEvent"),
                field("timestamp", None),
                apply(
                    "step",
                    literal("A", "String"),
                    apply("WHAT", field("a", None)),
                    apply("WHEN", literal("on", "String"), apply("today")),
                    apply("WHERE", field("b", None)),
                    apply("COUNT", literal(2, "Integer")),
                ),
            ),
        ),
        ('{"k": a}', apply("{}", literal("k", "String"), field("a"))),
        ("@{x;v=1}", apply("@", literal("x;v=1", "String"))),
        ('a matches "x"', apply("matches", field("a"), literal("x", "String"), form="infix")),
        ("a.foo()", apply("foo", field("a"), form="method")),
        ("count(a)", apply("count", field("a"), form="function")),
        ("if(a, 1, 2)", apply("if", field("a"), literal(1, "Integer"), literal(2, "Integer"))),
        ("[a]", literal([field("a")], "List")),
    ],
)
def test_nodes_of_our_own_are_tagged(text: str, node: Json) -> None:
    assert write(parse(text)) == node | {"extensions": "1"}
    assert read(node).text == text


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (apply("NOT", apply("AND", field("a"))), "not a"),
        (apply("notin", field("a"), literal(["x"])), 'a notIn ["x"]'),
        (field("xdm:city", field("xdm:home", literal("profile", "XDMObject"))), "home.city"),
        (apply("xdm:isNull", field("a", None)), "a.isNull()"),
        (literal("6", "integer"), "6"),
        (literal("-2.5", "NUMBER"), "-2.5"),
        (literal(7.0, "Long"), "7"),
        (literal("TRUE", "boolean"), "true"),
        (literal("?a", "QueryString"), '"?a"'),
        (literal([[1], "x"]), '[[1], "x"]'),
        (field("@id"), '$1.get("@id")'),
        (field("now"), "$1.now"),
        (apply("[]", field("a"), field("a-b", None)), 'a[this.get("a-b")]'),
        (apply("[]", field("a"), field("now", None)), "a[this.now]"),
        (apply("[]", field("a"), field("xEvent")), "a[xEvent]"),
        (apply("let", declared("a", field("b")), field("a")), "let a = b in $1.a"),
        (
            {
                "nodeType": "quantification",
                "quantifier": "ONE",
                "variables": [declared("x", field("a"))],
            },
            "(select x from a).count() = 1",
        ),
        (
            apply("modelInstances", literal("https://ns.adobe.com/xdm/context/experienceevent")),
            "xEvent",
        ),
        (apply("If", field("a"), literal(1), literal(2)), "if(a, 1, 2)"),
    ],
)
def test_other_spellings_are_read(node: Json, text: str) -> None:
    assert read(node).text == text
    assert read(json.dumps(node)).text == text


def test_all_problems_are_told_at_once_each_at_its_place() -> None:
    value = apply(
        "and",
        apply("=", field("a")),
        {"nodeType": "fieldLookup"},
        apply("occurs", field("t"), literal("on"), literal(None)),
        ref("x"),
        "text",
        {"nodeType": "set", "variables": []},
        {"nodeType": "fnApply", "function": {}, "params": []},
        apply("chain", field("xEvent"), field("timestamp"), apply("step", literal("A"))),
        literal("x", "Integer"),
        literal(2**63),
        {"nodeType": "quantification", "quantifier": "few", "variables": [field("a")]},
        apply("a/b~c", form="method"),
        {},
        apply("occurs", literal(None), literal("on"), field("t")),
    )

    assert problems_of(value) == [
        ("arity", "/params/0"),
        ("json-missing", "/params/1"),
        ("json-type", "/params/2/params/2/value"),
        ("unbound-variable", "/params/3"),
        ("json-node", "/params/4"),
        ("json-node", "/params/5/nodeType"),
        ("ambiguous-application", "/params/6"),
        ("json-missing", "/params/7/params/2"),
        ("json-type", "/params/8/value"),
        ("number-range", "/params/9/value"),
        ("json-node", "/params/10/variables/0"),
        ("json-value", "/params/10/quantifier"),
        ("arity", "/params/11"),
        ("json-missing", "/params/12"),
        ("json-type", "/params/13/params/0/value"),
    ]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("{", "json-syntax"),
        ("[" * 5_000, "json-syntax"),
        (" " * (MAX_JSON_CHARACTERS + 1), "too-long"),
        (literal("x") | {"extensions": "2"}, "json-version"),
        (apply("and", *[literal(1)] * MAX_JSON_NODES), "too-many-nodes"),
        (apply("and", *[literal("x" * 20_000)] * 2), "too-long"),
        (literal(float("inf")), "number-range"),
        (literal("\ud800"), "json-value"),
        ({"nodeType": "select", "variables": [declared("in", field("a"))]}, "json-value"),
        (apply("in", field("a"), form="function"), "json-value"),
        (apply("^", literal(1)), "json-node"),
        (field("a", apply("^", literal(10**9))), "json-value"),
        ({"nodeType": "parameterReference", "position": 1_000}, "json-value"),
    ],
)
def test_what_cannot_be_is_refused(value: Any, code: str) -> None:
    assert problems_of(value)[0][0] == code


def test_depth_is_bounded_at_the_node_that_is_too_deep() -> None:
    value = field("a")
    for _ in range(MAX_DEPTH):
        value = apply("not", value)

    ((code, place),) = problems_of(value)

    assert code == "too-deep"
    assert place.count("/params/0") == MAX_DEPTH


def test_the_page_shows_what_is_written() -> None:
    page = (Path(__file__).parents[3] / "docs/pql.md").read_text(encoding="utf-8")
    page = page.partition("## PQL as JSON")[2]
    example = page.partition("<!-- example: tree -->")[2].split("```")[1].removeprefix("json")
    rows = re.findall(r"^\| `(.+)` \| `(.+\(.*\).*)` \|$", page, re.MULTILINE)

    assert read(example).text == 'homeAddress.city = "Oslo"'
    assert len(rows) == 12
    assert [(text, short(write(parse(text)))) for text, _ in rows] == rows


def short(node: Any) -> str:
    """Return a node in the notation of the page."""
    kind = node["nodeType"]
    if kind == "literal":
        return json.dumps(node["value"])
    if kind == "varRef":
        return str(node["varName"])
    if kind == "varDecl":
        text = f"{node['varName']}: {short(node['from'])}"
        return f"{text} where {short(node['where'])}" if "where" in node else text
    if kind == "fieldLookup":
        owner = node.get("object", PROFILE)
        return node["fieldName"] if owner == PROFILE else f"{short(owner)}.{node['fieldName']}"
    return f"{node['fnName']}({', '.join(map(short, node['params']))})"


def test_so_many_problems_are_told_and_no_more() -> None:
    assert len(problems_of(apply("and", *[None] * 500))) == MAX_PROBLEMS
