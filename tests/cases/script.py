"""Case scripts: events over time and what becomes of the membership.

```
# A comment.
case     Two purchases in a week
segment  xEvent[eventType = "buy" and timestamp occurs <= 7 days before now].count() >= 2
0d       buy price=10               -> out
1d       buy price=20               -> enter
7d       tick                       -> in
7d+1ms   tick                       -> exit
```

`case` is optional; a `segment` may go on in indented lines. A step is a time, an action and what is
expected: `enter` and `exit` are transitions, `in` and `out` say that nothing changed. A profile
begins outside. Times are offsets from Monday 2026-01-05T10:00:00Z, sums of `2d`, `3h`, `4m`, `5s`,
`6ms`, or ISO 8601 in UTC. They never go backwards: they are the partition clock. Actions:

- `tick`: nothing but the time;
- `buy price=10 items=[{"sku":"x"}]`: an event of that type; values are JSON without blanks;
- `buy@1h price=10`: the same, but it happened at that time;
- `set {"city": "Oslo"}`: a JSON merge patch (RFC 7396) on the profile;
- `join s1`, `leave s1`: the membership of another segment.

A truth table says for which profile records an expression holds, one second after the other:

```
table    city.startsWith("Os")
in       {"city": "Oslo"}
out      {"city": null}
```
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from app.pql.calendar import parse_timestamp

START_MS = 1_767_607_200_000
FOLDER = Path(__file__).parent

Expected: TypeAlias = Literal["in", "out", "enter", "exit"]
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_OFFSET = re.compile(r"([0-9]+)(ms|[dhms])")
_STEP = re.compile(r"(\S+)\s+(.+?)\s+->\s+(in|out|enter|exit)\s*(?:#.*)?")
_EVENT = re.compile(r"([A-Za-z][\w.]*)(?:@(\S+))?((?:\s+\w+=\S+)*)")


@dataclass(frozen=True)
class Happens:
    """An event; `at_ms` is when it happened."""

    at_ms: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Patches:
    """A merge patch on the profile record."""

    patch: dict[str, Any]


@dataclass(frozen=True)
class Joins:
    """The profile becomes or ceases to be a member of another segment."""

    segment_id: str
    is_member: bool


@dataclass(frozen=True)
class Ticks:
    """Only the time goes on."""


Action: TypeAlias = Happens | Patches | Joins | Ticks


@dataclass(frozen=True)
class Step:
    """One line: at `at_ms` of the partition clock something happens."""

    line: int
    at_ms: int
    action: Action
    expected: Expected


@dataclass(frozen=True)
class Case:
    """One segment and its story."""

    file: str
    line: int
    title: str
    expression: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.title}"


def all_cases() -> list[Case]:
    """Read every `*.pqltest` of this folder and below."""
    files = sorted(FOLDER.rglob("*.pqltest"))
    return [case for file in files for case in read(file.read_text(encoding="utf-8"), file.name)]


def read(text: str, file: str = "script") -> list[Case]:
    """Read a script.

    Raises:
        ValueError: At the first line that cannot be read, naming it.
    """
    found: list[Case] = []
    title = ""
    expression, line, steps = "", 0, list[Step]()
    for number, raw in enumerate(text.splitlines(), start=1):
        word, _, rest = raw.partition(" ")
        if not raw.strip() or word.startswith("#"):
            continue
        if word in {"case", "segment", "table"} and steps:
            found.append(Case(file, line, title or expression, expression, tuple(steps)))
            title, expression, steps = "", "", []
        if word == "case":
            title = rest.strip()
        elif word in {"segment", "table"}:
            expression, line = rest.strip(), number
        elif word in {"in", "out"}:
            steps.append(_row(rest.strip(), number, word, steps))
        elif not word:
            expression += " " + raw.strip()
        else:
            steps.append(_step(raw, number, file, steps))
    if steps:
        found.append(Case(file, line, title or expression, expression, tuple(steps)))
    return found


def _step(raw: str, number: int, file: str, before: list[Step]) -> Step:
    match = _STEP.fullmatch(raw.rstrip())
    if match is None:
        raise ValueError(f"{file}:{number}: expected `time action -> in|out|enter|exit`: {raw}")
    time, action, expected = match.groups()
    at_ms = _time(time)
    if before and at_ms < before[-1].at_ms:
        raise ValueError(f"{file}:{number}: the clock goes backwards")
    return Step(number, at_ms, _action(action, at_ms, f"{file}:{number}"), expected)  # type: ignore[arg-type]


def _row(record: str, number: int, expected: str, before: list[Step]) -> Step:
    """Return the step that replaces the profile record by another one."""
    old: Any = {}
    is_member = False
    for step in before:
        assert isinstance(step.action, Patches)
        old = merged(old, step.action.patch)
        is_member = step.expected in ("in", "enter")
    patch = patch_between(old, json.loads(record))
    told = transition(is_member, expected == "in")
    return Step(number, START_MS + len(before) * _UNITS["s"], Patches(patch), told)


def _time(text: str) -> int:
    offsets = [_OFFSET.fullmatch(part) for part in text.split("+")]
    if all(offsets):
        return START_MS + sum(int(one[1]) * _UNITS[one[2]] for one in offsets if one)
    instant = parse_timestamp(text)
    if instant is None:
        raise ValueError(f"{text} is no time")
    return instant


def _action(text: str, at_ms: int, place: str) -> Action:
    word, _, rest = text.partition(" ")
    if text == "tick":
        return Ticks()
    if word == "set":
        return Patches(json.loads(rest))
    if word in {"join", "leave"}:
        return Joins(rest.strip(), word == "join")
    match = _EVENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{place}: unknown action: {text}")
    kind, happened, pairs = match.groups()
    values = dict(pair.split("=", 1) for pair in pairs.split())
    body = {"eventType": kind, **{name: json.loads(value) for name, value in values.items()}}
    return Happens(at_ms if happened is None else _time(happened), body)


def merged(record: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    found = dict(record) if isinstance(record, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def patch_between(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the merge patch from one record to another."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(name), dict):
            patch[name] = patch_between(old[name], value)
        else:
            patch[name] = value
    return patch


def transition(before: bool, after: bool) -> Expected:
    """Return what a step is expected to say when the membership was and is so."""
    if before == after:
        return "in" if after else "out"
    return "enter" if after else "exit"
