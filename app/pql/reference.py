"""The page of all functions, made from the one table of them and its examples.

`make docs` writes `docs/pql-functions.md` anew; a test holds the file to what `rendered` returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.pql.examples import FORMS, TOPICS, Example, Topic
from app.pql.functions import FUNCTIONS, FunctionSpec
from app.pql.types import Type

_HEAD: Final = """# Functions of the language

<!-- Written by `make docs` from app/pql/functions.py and app/pql/examples.py: edit these. -->

All {count} functions, methods, operators and forms that have a name. \
[The language](pql.md) tells the rest: what null does, what counts as true, how times compare.

In the column *written* each value is shown by its type: a *collection* is a list or a map, *any* \
is any value. What is in square brackets may be left out. `item => …` is evaluated for each item \
and reads its fields; the item needs no name: `cart.filter(price < 100)` is \
`cart.filter(item => item.price < 100)`.
The last Boolean of a string method is the case flag: with `false` case does not matter.

Each topic has a profile, and each row an expression with its value for that profile on Monday, \
5 January 2026 at 10:00 UTC. `xEvent` stands for the kept events of the profile.
"""

_COLUMNS: Final = (
    "| written | gives | kind | what it does | example | value |\n" + "| --- " * 6 + "|\n"
)

_WORDS: Final[dict[Type, str]] = {
    "any": "any",
    "boolean": "Boolean",
    "number": "number",
    "string": "string",
    "date": "date",
    "array": "list",
    "object": "map",
    "collection": "collection",
}


def rendered() -> str:
    """Return the whole page."""
    count = sum(len(topic.examples) for topic in TOPICS)
    return _HEAD.format(count=count) + "".join(map(_section, TOPICS))


def _section(topic: Topic) -> str:
    segments = " and ".join(map(_code, topic.segments))
    whose = f"The profile, which is in the segment {segments}" if segments else "The profile"
    rows = "".join(f"{_row(name, example)}\n" for name, example in topic.examples.items())
    profile = f"{whose}:\n\n```json\n{topic.profile}\n```\n"
    return f"\n## {topic.title}\n\n{profile}\n{_COLUMNS}{rows}"


def _row(name: str, example: Example) -> str:
    cells = (*_described(name), _code(example.expression), _code(example.result))
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """Return text as code in a cell of a table."""
    return f"`{text.replace('|', chr(92) + '|')}`"


def _described(name: str) -> tuple[str, str, str, str]:
    """Return how it is written, its type, its kind and what it does."""
    form = FORMS.get(name)
    if form is not None:
        return _code(form.written), form.result, "form", form.doc
    spec = FUNCTIONS[name.removeprefix(".")]
    return _code(_written(spec)), _WORDS[spec.result], spec.kind, spec.doc


def _written(spec: FunctionSpec) -> str:
    if spec.name == "not":
        return "not any"
    if spec.kind == "operator":
        return f"{_WORDS[spec.receiver]} {spec.name} {_WORDS[spec.arguments[0]]}"
    owner = f"{_WORDS[spec.receiver]}." if spec.kind == "method" else ""
    return f"{owner}{spec.name}({''.join(_arguments(spec))})"


def _arguments(spec: FunctionSpec) -> Iterator[str]:
    for place, wanted in enumerate(spec.arguments):
        word = _WORDS[wanted]
        if spec.per_item and place == 0:
            word = f"item => {word}"
        if place:
            word = f", {word}"
        yield word if place < spec.minimum else f"[{word}]"
    if spec.maximum is None:
        yield ", …"
