"""PQL text to tokens (PQL reference, lexical rules)."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from app.pql.ast import Span
from app.pql.errors import PqlError, refusal
from app.pql.limits import MAX_CHARACTERS

Kind: TypeAlias = Literal["name", "string", "number", "symbol", "parameter", "context", "end"]

TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<parameter>\$[0-9]+)
  | (?P<context>@\{[^}\n]*\})
  | (?P<symbol>=>|!=|<=|>=|[-=<>!+*/%()\[\]{},:.^])
    """,
    re.VERBOSE,
)
"""One token at a position, or white space."""

_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_HALF = re.compile("[\ud800-\udfff]")
_SIMPLE_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "/": "/", "n": "\n", "t": "\t", "r": "\r"}
_LARGEST_INTEGER = 2**63 - 1
_LONGEST_NUMBER = 40
_STRAIGHT_QUOTES = 'write straight double quotes: "text"'
_HINTS = {
    '"': "close the string with a double quote on the same line; write a line end as \\n",
    "'": "close the string on the same line",
    "\u201c": _STRAIGHT_QUOTES,
    "\u201d": _STRAIGHT_QUOTES,
    "\u2018": _STRAIGHT_QUOTES,
    "\u2019": _STRAIGHT_QUOTES,
    "&": "write `and`",
    "|": "write `or`",
    "?": "write `if(test, a, b)`",
    "@": "a context reference is written @{SCHEMA_ID}",
    "$": "a parameter is written $1",
}


class Token(NamedTuple):
    """One token; `value` is the meaning of a literal, otherwise the text itself."""

    kind: Kind
    text: str
    value: str | int | float
    span: Span


def tokenize(text: str) -> list[Token]:
    """Split a text into tokens, ending with one of kind `end`.

    Raises:
        PqlError: At the first character that starts no token.
    """
    if len(text) > MAX_CHARACTERS:
        place = Span(MAX_CHARACTERS, len(text))
        message = f"the expression has {len(text)} characters, {MAX_CHARACTERS} are allowed"
        raise refusal(
            "too-long", message, place, text, "split it into segments joined by inSegment"
        )
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise _unexpected(text, position)
        kind = match.lastgroup
        if kind != "space":
            tokens.append(_token(kind, match.group(), Span(position, match.end()), text))
        position = match.end()
    tokens.append(Token("end", "", "", Span(len(text), len(text))))
    return tokens


def _token(kind: str | None, found: str, span: Span, source: str) -> Token:
    if kind == "symbol":
        return Token("symbol", found, found, span)
    if kind == "name":
        return Token("name", found, found, span)
    if kind == "string":
        return Token("string", found, _unescape(found, span, source), span)
    if kind == "number":
        return Token("number", found, _number(found, span, source), span)
    if kind == "parameter":
        if len(found) > 4:
            raise refusal(
                "syntax", f"parameter {found} is out of range", span, source, "$1 is the profile"
            )
        return Token("parameter", found, int(found[1:]), span)
    if kind == "context":
        return Token("context", found, found[2:-1], span)
    raise AssertionError(f"no token is called {kind}")


def _unexpected(text: str, position: int) -> PqlError:
    character = text[position]
    message = f"unexpected character {character!r}"
    if character in "\"'":
        message = "this string is not closed"
    hint = _HINTS.get(character, "")
    return refusal("syntax", message, Span(position, position + 1), text, hint)


def _number(found: str, span: Span, source: str) -> int | float:
    following = source[span.end : span.end + 1]
    if following.isalpha() or following == "_":
        raise refusal(
            "syntax", f"`{found}{following}` is no number", span, source, "put a blank after it"
        )
    if len(found) > _LONGEST_NUMBER:
        raise refusal(
            "number-range", "this number is too long", span, source, "use at most 40 digits"
        )
    if found.isdigit():
        integer = int(found)
        if integer > _LARGEST_INTEGER:
            message = f"{found} does not fit into 64 bits"
            raise refusal(
                "number-range", message, span, source, f"the largest integer is {2**63 - 1}"
            )
        return integer
    double = float(found)
    if double == float("inf"):
        raise refusal("number-range", f"{found} is too large for a double", span, source)
    return double


def _unescape(found: str, span: Span, source: str) -> str:
    body = found[1:-1]
    if "\\" in body:
        body = _ESCAPE.sub(lambda match: _escaped(match, span, source), body)
        # A pair of \u escapes may stand for one character beyond the first plane.
        body = body.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if not body.isascii() and _HALF.search(body):
        raise refusal(
            "syntax", "this string holds half a character", span, source, "use whole characters"
        )
    return body


def _escaped(match: re.Match[str], span: Span, source: str) -> str:
    code = match.group(1)
    if len(code) == 5:
        return chr(int(code[1:], 16))
    if code in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[code]
    start = span.start + 1 + match.start()
    place = Span(start, start + 2)
    raise refusal(
        "syntax", f"unknown escape \\{code}", place, source, f"write \\\\{code} for \\{code}"
    )
