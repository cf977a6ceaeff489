"""Every example of docs/pql.md and docs/pql-functions.md is what the oracle and the engine say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from rich.console import Console

from app.adapters.cli.control.definitions import CHECKED_FIELDS
from app.adapters.cli.control.explain_view import parts_of
from app.adapters.cli.control.output import fields_table
from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import ProfileKey, SegmentDefinition
from app.domain.timestamps import iso_text
from app.engine.explain import explain
from app.engine.explain_clock import Members
from app.engine.oracle import Event, Subject, evaluate
from app.engine.profile import order_of
from app.pql.ast import Expr
from app.pql.calendar import parse_timestamp
from app.pql.checker import check
from app.pql.examples import FORMS, INSTANT, TOPICS, Topic
from app.pql.functions import FUNCTIONS
from app.pql.limits import ExpressionLimits
from app.pql.parser import parse
from app.pql.reference import rendered
from app.pql.values import truth
from app.service.evaluation_report import report_fields, report_of
from app.service.explanation_document import explanation_document
from tests.cases.test_functions_covered import NAMES
from tests.property.engine_model import TENANT, Store, make_update

NOW_MS = parse_timestamp(INSTANT) or 0
KEY = ProfileKey(TENANT, "ada")
PAGE = Path(__file__).parents[3] / "docs" / "pql-functions.md"
LANGUAGE = PAGE.with_name("pql.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^(?:<!-- ([\w: -]+) -->\n)?```(\w*)\n(.*?)\n```$", re.M | re.S)


@dataclass
class Sample:
    """A profile at `INSTANT`, and the segments that can be asked for; all of them by the page."""

    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    segments: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Sample:
        record = json.loads(text)
        return cls(record, record.pop("xEvent", []))

    def subject(self) -> Subject:
        events = [
            Event(at_ms, order_of(at_ms, number), one)
            for number, one in enumerate(self.events)
            if (at_ms := parse_timestamp(one["timestamp"])) is not None
        ]
        since = iso_text(NOW_MS)
        memberships: dict[str, Any] = {}
        subject = Subject(self.attributes, events, memberships, NOW_MS, {"ups": memberships})
        for segment_id, text in self.segments.items():
            if truth(evaluate(resolved(text), subject)):
                memberships[segment_id] = {"status": "realized", "lastQualificationTime": since}
        return subject

    def members(self, texts: list[str]) -> list[bool]:
        """Return which expressions the engine finds the profile to satisfy."""
        store = Store([], EngineLimits(), 10)
        named = [*self.segments.items(), *((f"x{n}", text) for n, text in enumerate(texts))]
        store.define(
            [SegmentDefinition(name, n, 1, text) for n, (name, text) in enumerate(named)], (), "2-b"
        )
        updates = [make_update(KEY, 0, NOW_MS, attributes=self.attributes)]
        for number, one in enumerate(self.events, start=1):
            at_ms = parse_timestamp(one["timestamp"]) or 0
            updates.append(make_update(KEY, number, NOW_MS, event=dict(one), event_ms=at_ms))
        store.apply(updates, NOW_MS)
        found = store.members(KEY)
        return [f"x{n}" in found for n in range(len(texts))]


def resolved(text: str) -> Expr:
    found = check(parse(text))
    assert found.expr is not None, (text, found.problems)
    assert found.warnings == (), text
    return found.expr


def claim(text: str, result: str) -> str:
    """Return the condition that an expression has a value."""
    if result in ("true", "false"):
        return text if result == "true" else f"not ({text})"
    return f"({text}).isNull()" if result == "null" else f"({text}) = {result}"


def holds(sample: Sample, examples: list[tuple[str, str]]) -> None:
    subject = sample.subject()
    told = [(text, json.dumps(json.loads(result))) for text, result in examples]
    assert [(text, json.dumps(evaluate(resolved(text), subject))) for text, _ in told] == told
    claims = [claim(*one) for one in told]
    assert dict(zip(claims, sample.members(claims), strict=True)) == dict.fromkeys(claims, True)


def test_the_page_of_functions_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered(), "run `make docs`"


def test_every_function_and_form_has_one_example() -> None:
    names = [name for topic in TOPICS for name in topic.examples]

    assert sorted(names) == sorted(NAMES)
    assert {name.removeprefix(".") for name in names} == FUNCTIONS.keys() | FORMS.keys()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: str(topic.title))
def test_the_examples_of_functions_are_right(topic: Topic) -> None:
    sample = Sample.of(topic.profile)
    sample.segments = dict.fromkeys(topic.segments, "1 = 1")

    holds(sample, [*topic.examples.values()])


def test_an_example_shows_what_it_is_of() -> None:
    shown = [(name, example.expression) for t in TOPICS for name, example in t.examples.items()]

    assert [one for one in shown if one[0].removeprefix(".").strip("[]") not in one[1]] == []


class Block(NamedTuple):
    """A code block of the page; `mark` is the comment before it."""

    mark: str
    kind: str
    text: str


BLOCKS = [Block(*found) for found in BLOCK.findall(LANGUAGE)]


def marked(mark: str) -> Block:
    (block,) = (block for block in BLOCKS if block.mark == mark)
    return block


def examples() -> Iterator[tuple[str, str, str]]:
    """Yield mark, expression and result of all examples of the page."""
    for block in BLOCKS:
        if block.kind == "pql":
            for one in block.text.split("\n\n"):
                text, _, result = one.partition("\n→ ")
                yield block.mark, text, result


def sample_of_the_page() -> Sample:
    sample = Sample.of(marked("example: profile").text)
    for mark, text, _ in examples():
        if mark.startswith("segment: "):
            sample.segments[mark.removeprefix("segment: ")] = text
    return sample


def test_every_block_of_the_page_is_of_a_kind_that_tests_look_at() -> None:
    assert len(BLOCKS) * 2 == len(re.findall("^```", LANGUAGE, re.M))
    others = {(block.kind, block.mark) for block in BLOCKS if block.kind not in ("pql", "sh")}
    told = {("json", "example: profile"), ("json", "example: tree"), ("", "")}
    assert others == {*told, ("text", "output: check"), ("text", "output: explain")}
    assert {block.text[:7] for block in BLOCKS if not block.kind} == {"line 1,"}


def test_the_examples_of_the_page_are_right() -> None:
    told = [(text, result) for _, text, result in examples()]

    assert [text for text, result in told if not result] == []
    holds(sample_of_the_page(), told)


def commands() -> dict[str, str]:
    """Return the expression of each command of the page that has one, by its family."""
    shown = "\n".join(block.text for block in BLOCKS if block.kind == "sh")
    return dict(re.findall(r"segmentation (\w+ \w+)[^\n]* --expression '([^']+)'", shown))


def shows(mark: str, parts: Iterator[Any]) -> None:
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    wanted = marked(mark).text.splitlines()
    assert [line for line in wanted if line not in lines] == [], captured.get()


def test_the_check_of_the_page_says_what_is_shown() -> None:
    text = commands()["definitions check"]
    resolved(text)

    found = orjson.loads(orjson.dumps({**report_fields(report_of(text)), "segments": []}))

    shows("output: check", iter([fields_table(found, CHECKED_FIELDS)]))


def test_the_explanation_of_the_page_says_what_is_shown() -> None:
    text = commands()["definitions create"]
    subject = sample_of_the_page().subject()
    members = Members(frozenset(), {}, NOW_MS)

    said = explain(resolved(text), text, subject, members, 30 * DAY_MS)

    answer = explanation_document(said, text, NOW_MS, 5) | {"qualifies": said.qualifies}
    shows("output: explain", parts_of(orjson.loads(orjson.dumps(answer))))


def test_every_code_of_a_problem_is_on_the_page() -> None:
    folder = PAGE.parents[1] / "app" / "pql"
    sources = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    codes = set(re.findall(r'(?:[Pp]roblem|warning|refuse)\(\s*"([a-z-]+)"', sources))

    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in LANGUAGE} == set()


def test_the_limits_of_the_page_are_those_of_the_settings() -> None:
    limits = asdict(ExpressionLimits()).items()
    rows = [f"| {value:,} | `SEG_EXPRESSION_MAX_{name.upper()}` |" for name, value in limits]

    assert [row for row in rows if row not in LANGUAGE.replace("1 MiB", "1,048,576")] == []
