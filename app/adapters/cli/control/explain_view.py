"""An explanation for people: its answer, its tree, its events, and what would flip it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from app.adapters.cli.control.output import Column, fields_table, named
from app.domain.model import JsonObject
from app.domain.text import printable

_WIDEST = 60


def parts_of(answer: JsonObject) -> Iterator[RenderableType]:
    """Yield the parts of an explanation, from the top."""
    yield fields_table(answer, _FIELDS)
    if isinstance(answer.get("tree"), dict):
        yield Text()
        yield _tree(answer["tree"])
    yield from _section("Events that counted", _events(answer))
    yield from _section("Sequences", _sequences(answer))
    becomes = "out" if answer["qualifies"] else "in"
    yield from _section(f"What would bring it {becomes}", _flip(answer))
    yield from _section("To know", (f"  {note}" for note in answer.get("notes") or ()))


def _section(title: str, lines: Iterable[str]) -> Iterator[RenderableType]:
    shown = [*lines]
    if shown:
        yield Text()
        yield Text(title, style="bold")
        for line in shown:
            yield Text(printable(line))


def _answer(answer: JsonObject) -> str:
    return "in the segment" if answer["qualifies"] else "not in the segment"


def _segment(answer: JsonObject) -> str:
    return f"{answer.get('segmentName')} ({answer.get('segmentId')})"


def _stored(answer: JsonObject) -> str:
    found = answer.get("membership")
    if not isinstance(found, dict):
        return "never a member"
    return f"{found.get('status')} since {found.get('lastQualificationTime')}"


def _agreement(answer: JsonObject) -> str:
    found = answer.get("agreement") or {}
    agrees = found.get("agrees")
    word = "cannot be compared" if agrees is None else ("yes" if agrees else "no")
    return "\n".join([word, *map(str, found.get("reasons") or ())])


def _change(answer: JsonObject) -> str:
    found = answer.get("nextChange") or {}
    if found.get("at"):
        return f"{found['at']}: {'comes in' if found.get('qualifies') else 'goes out'}"
    until = found.get("searchedUntil")
    return f"not before {until}" if until else "never by itself"


def _external(answer: JsonObject) -> str | None:
    found = answer.get("external")
    if not isinstance(found, dict):
        return None
    run = found.get("run")
    return f"{found.get('words')}" + (f"; run {run.get('runId')}" if run else "")


_FIELDS = (
    named("profile", "profileId"),
    Column("segment", _segment),
    Column("answer", _answer),
    named("at", "evaluatedAt"),
    Column("stored", _stored),
    Column("agrees", _agreement),
    named("lifecycle", "lifecycleState"),
    named("state", "evaluationState"),
    Column("external", _external),
    Column("changes", _change),
)


def _tree(node: JsonObject) -> Tree:
    tree = Tree(_label(node), guide_style="dim")
    _grow(tree, node)
    return tree


def _grow(tree: Tree, node: JsonObject) -> None:
    for child in node.get("children") or ():
        _grow(tree.add(_label(child)), child)


def _label(node: JsonObject) -> Text:
    is_deciding = node.get("deciding") is True
    label = Text(no_wrap=True, overflow="ellipsis")
    value = _value(node)
    style = {"true": "green", "false": "red"}.get(value, "cyan")
    label.append(f"{value}  ", style)
    label.append(_cut(str(node.get("text"))), "bold" if is_deciding else "")
    if node.get("from") or node.get("until"):
        label.append(f"  [{node.get('from') or '…'} to {node.get('until') or '…'})", "dim")
    if is_deciding:
        label.append("  ← decides", "yellow")
    return label


def _value(node: JsonObject) -> str:
    if "items" in node:
        return f"{node.get('itemsThatHold')} of {node['items']}"
    if "valueCount" in node:
        return f"{node['valueCount']} item{'' if node['valueCount'] == 1 else 's'}"
    if "value" not in node:
        return "-"
    value = node["value"]
    return "null" if value is None else _cut(orjson.dumps(value).decode())


def _cut(text: str) -> str:
    return printable(text if len(text) <= _WIDEST else f"{text[:_WIDEST]}…")


def _events(answer: JsonObject) -> Iterator[str]:
    for one in answer.get("events") or ():
        listed = one.get("events") or []
        yield f"  {_cut(str(one.get('text')))}: {one.get('count')}"
        yield from (f"    {_event(event)}" for event in listed)
        left = one.get("count", 0) - len(listed)
        if left > 0:
            yield f"    and {left} more"


def _event(event: JsonObject) -> str:
    return f"{event.get('timestamp')}  {event.get('eventType')}  {event.get('id') or ''}".rstrip()


def _sequences(answer: JsonObject) -> Iterator[str]:
    for one in answer.get("sequences") or ():
        at = one.get("standsAt")
        if one.get("note"):
            yield f"  {one['note']}"
            continue
        yield f"  {'it has happened' if at is None else f'it stands at step {at}'}"
        for step in one.get("steps") or ():
            done = "done" if step.get("done") else f"needs {step.get('needed')}"
            yield f"    {step.get('label')}  {done}  {_cut(str(step.get('text')))}"
            yield from (f"       {_event(event)}" for event in step.get("events") or ())


def _flip(answer: JsonObject) -> Iterator[str]:
    found: dict[str, Any] = answer.get("toFlip") or {}
    for number, one in enumerate(found.get("alternatives") or ()):
        word = "or " if number else ""
        for place, need in enumerate(one.get("needs") or ()):
            yield f"  {'  and ' if place else word}{need.get('words')}"
    if found.get("note"):
        yield f"  {found['note']}"
