"""Inputs to begin with, and changes to them that keep most of their tokens."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path

from app.pql.functions import FUNCTIONS
from app.pql.json_writer import write
from app.pql.lexer import TOKEN
from app.pql.parser import parse
from app.pql.words import INFIX_WORDS, RESERVED, UNITS
from tests.cases.script import all_cases

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-+0-9.eE]+|\w+|[\[\]{},:]|\s+|.', re.DOTALL)
_SYMBOLS = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ".",
    "^",
    "=>",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "$1",
    "$2",
    "@{X}",
]
_WORDS = (
    *("select", "exists", "forall", "from", "where", "over", "let", "chain", "WHAT", "WHEN"),
    *("WHERE", "COUNT", "occurs", "between", "before", "after", "on", "last", "next", "xEvent"),
    *("timestamp", "age", "a", "tags", "props", "items", "city", "birthday", "X", "1", "0", "2.5"),
    *('"x"', '""', "'y'", "9223372036854775807", "1e308", ".5", "segmentMembership", "if"),
)
_JSON_WORDS = (
    *("nodeType", "fnApply", "fieldLookup", "literal", "parameterReference", "varRef", "select"),
    *("quantification", "fnCreate", "varDecl", "fnName", "params", "form", "infix", "method"),
    *("function", "clause", "fieldName", "object", "value", "literalType", "quantifier", "some"),
    *("all", "variables", "varName", "from", "range", "where", "body", "position", "extensions"),
    *("String", "List", "null", "[]", "{}", "^", "@", "step", "1", "-1", "true"),
)


def seeds() -> list[bytes]:
    """Return the expressions of the case scripts, as text and as JSON."""
    texts = sorted({case.expression for case in all_cases()})
    trees = [json.dumps(write(parse(text))) for text in texts]
    return [text.encode() for text in (*texts, *trees)]


def write_seeds(folder: Path) -> None:
    """Write each seed to a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (folder / f"seed-{number:04}").write_bytes(seed)


@cache
def _vocabulary() -> tuple[str, ...]:
    return (*_SYMBOLS, *_WORDS, *INFIX_WORDS, *RESERVED, *UNITS, *FUNCTIONS)


@cache
def _json_vocabulary() -> tuple[str, ...]:
    words = (*_JSON_WORDS, *_SYMBOLS, *INFIX_WORDS, *FUNCTIONS)
    return (*map(json.dumps, words), "{", "}", "[", "]", ",", ":", "null", "1", "-1", "true")


@cache
def _parsed_seeds() -> tuple[list[list[str]], list[list[str]]]:
    texts = [seed.decode() for seed in seeds()]
    plain = [_tokens(text) for text in texts if not text.startswith("{")]
    return plain, [_tokens(text) for text in texts if text.startswith("{")]


def _tokens(text: str) -> list[str]:
    if text.lstrip().startswith("{"):
        return _JSON_TOKEN.findall(text)
    found: list[str] = []
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        end = match.end() if match is not None else position + 1
        found.append(text[position:end])
        position = end
    return found


def changed(data: bytes, rng: random.Random) -> bytes:
    """Return an input with a few of its tokens dropped, doubled, exchanged or replaced."""
    tokens = _tokens(data.decode("utf-8", "replace"))
    is_json = bool(tokens) and tokens[0].lstrip().startswith("{")
    words = _json_vocabulary() if is_json else _vocabulary()
    others = _parsed_seeds()[is_json]
    for _ in range(rng.randint(1, 4)):
        _change(tokens, words, others, rng)
    return "".join(tokens).encode()


def _change(
    tokens: list[str], words: tuple[str, ...], others: list[list[str]], rng: random.Random
) -> None:
    at = rng.randint(0, len(tokens))
    end = min(len(tokens), at + rng.choice((1, 1, 2, 4, 8, 16)))
    kind = rng.randrange(7)
    if kind == 0:
        del tokens[at:end]
    elif kind == 1:
        tokens[at:at] = tokens[at:end]
    elif kind == 2:
        tokens[at:end] = [rng.choice(words)]
    elif kind == 3:
        tokens[at:at] = [" ", rng.choice(words), " "]
    elif kind == 4:
        other = rng.choice(others)
        first = rng.randrange(len(other))
        tokens[at:end] = other[first : first + rng.choice((1, 3, 5, 9, 17))]
    elif kind == 5:
        tokens[at:end] = ["(", *tokens[at:end], ")"]
    else:
        tokens[at:end] = [" ", *reversed(tokens[at:end]), " "]
