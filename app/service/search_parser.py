"""Parses search queries: the Lucene dialect of the API reference, with the place of each mistake.

query    = [field ":"] any                  a field in front is that of the whole query
any      = all (["OR" | "||"] all)*
all      = unary (("AND" | "&&") unary)*
unary    = ("NOT" | "!" | "-" | "+")* primary ["^" number]
primary  = [field ":"] (word ["~" 0..2] | phrase ["~" number] | regex | "(" any ")") | "*:*"
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.service.search_query import (
    ANYWHERE,
    FIELDS,
    Boost,
    Clauses,
    Everything,
    Field,
    Node,
    Occur,
    Phrase,
    QueryProblem,
    Regex,
    Wildcard,
    Word,
)

MAX_CHARACTERS = 2_000
MAX_DEPTH = 50
"""Groups inside groups."""
MAX_TERMS = 100
"""Words, phrases and regular expressions: each may have to look at every word there is."""
MAX_DISTANCE = 2
MAX_SLOP = 1_000

_AND = re.compile(r'AND(?=[\s()"]|\Z)|&&')
_OR = re.compile(r'OR(?=[\s()"]|\Z)|\|\|')
_NOT = re.compile(r'NOT(?=[\s()"]|\Z)|[!-](?=\S)')
_PLUS = re.compile(r"\+(?=\S)")
_FIELD = re.compile(r"(\w+):")
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[\w.]*")
_WORD = re.compile(r"""(?:\\.|[^\\\s()":^~])+""", re.DOTALL)
_PHRASE = re.compile(r'"((?:\\.|[^\\"])*)"', re.DOTALL)
_REGEX = re.compile(r"/((?:\\.|[^\\/])*)/", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_GAP = re.compile(r"(?:\\.|[^\\*?])*[*?]", re.DOTALL)

_RANGES = "ranges are not part of this syntax; to look for the character, put a backslash before it"


def parse(text: str) -> Node:
    """Parse a query that is not blank.

    Raises:
        QueryProblem: At the first thing that is wrong.
    """
    if len(text) > MAX_CHARACTERS:
        raise QueryProblem(
            MAX_CHARACTERS, f"the query is longer than {MAX_CHARACTERS:,} characters"
        )
    return _Parser(text).whole()


@dataclass(slots=True)
class _Part:
    """A clause on its way into a group.

    Attributes:
        joined: Whether an `OR` stands before it.
    """

    occur: Occur
    node: Node
    joined: bool = False


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._terms = 0

    def whole(self) -> Node:
        fields = self._leading_field()
        node = self._any(fields)
        if self._at < len(self._text):
            raise QueryProblem(
                self._at,
                "there is no `(` for this `)`",
                "remove it, or put a backslash before it to look for the character",
            )
        return node

    def _leading_field(self) -> tuple[Field, ...]:
        """Take a field in front of the whole query; one in front of `(` is that group's alone."""
        self._skip()
        start = self._at
        fields = self._field()
        if fields is None or self._peek() == "(":
            self._at = start
            return ANYWHERE
        return fields

    def _any(self, fields: tuple[Field, ...]) -> Node:
        parts = [self._all(fields)]
        while True:
            operator = self._at
            joined = self._take(_OR)
            if not joined and self._peek() in ("", ")"):
                break
            if joined:
                self._operand_after(operator)
            part = self._all(fields)
            part.joined = joined
            parts.append(part)
        return _grouped(parts)

    def _all(self, fields: tuple[Field, ...]) -> _Part:
        parts = [self._unary(fields)]
        while True:
            operator = self._at
            if not self._take(_AND):
                break
            self._operand_after(operator)
            parts.append(self._unary(fields))
        if len(parts) == 1:
            return parts[0]
        clauses = [("must" if part.occur == "should" else part.occur, part.node) for part in parts]
        return _Part("should", Clauses(tuple(clauses)))

    def _unary(self, fields: tuple[Field, ...]) -> _Part:
        occur: Occur = "should"
        while True:
            operator = self._at
            if self._take(_NOT):
                occur = "should" if occur == "must_not" else "must_not"
            elif self._take(_PLUS):
                occur = "must" if occur == "should" else occur
            else:
                break
            self._operand_after(operator)
        node = self._boosted(self._primary(fields))
        self._skip()
        return _Part(occur, node)

    def _primary(self, fields: tuple[Field, ...]) -> Node:
        if self._text.startswith("*:*", self._at):
            self._at += len("*:*")
            return Everything()
        return self._operand(self._field() or fields)

    def _operand(self, fields: tuple[Field, ...]) -> Node:
        self._refuse_what_begins_nothing()
        if self._peek() == "(":
            return self._group(fields)
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise QueryProblem(self._at, f"the query has more than {MAX_TERMS} words")
        if self._peek() == '"':
            return self._phrase(fields)
        if self._peek() == "/":
            return self._regex(fields)
        return self._word(fields)

    def _group(self, fields: tuple[Field, ...]) -> Node:
        opened = self._at
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise QueryProblem(opened, f"groups are nested more than {MAX_DEPTH} deep")
        self._move(opened + 1)
        if self._peek() == ")":
            raise QueryProblem(self._at, "the group is empty")
        node = self._any(fields)
        if self._peek() != ")":
            raise QueryProblem(opened, "this `(` is never closed", "add a `)`")
        self._at += 1
        self._depth -= 1
        return node

    def _word(self, fields: tuple[Field, ...]) -> Node:
        start = self._at
        found = _WORD.match(self._text, start)
        if found is None:  # only a backslash at the very end is left
            raise QueryProblem(start, "there is nothing after this backslash", "write `\\\\`")
        raw = found.group()
        self._at = found.end()
        if self._text.startswith(":", self._at):
            raise QueryProblem(start, f"there is no field `{raw}`", _known_fields())
        if self._text.startswith("\\", self._at):
            raise QueryProblem(self._at, "there is nothing after this backslash", "write `\\\\`")
        has_gap = _GAP.match(raw) is not None
        tilde = self._at
        distance = self._tilde("a fuzzy word", MAX_DISTANCE, missing=MAX_DISTANCE)
        if distance is not None and has_gap:
            raise QueryProblem(tilde, "a word with wildcards cannot be fuzzy")
        if has_gap:
            return Wildcard(raw, fields)
        return Word(_ESCAPED.sub(r"\1", raw), fields, distance or 0)

    def _phrase(self, fields: tuple[Field, ...]) -> Node:
        found = _PHRASE.match(self._text, self._at)
        if found is None:
            raise QueryProblem(self._at, 'this `"` is never closed', 'add a `"`')
        self._at = found.end()
        slop = self._tilde("a phrase", MAX_SLOP, missing=None)
        return Phrase(_ESCAPED.sub(r"\1", found[1]), fields, slop or 0)

    def _regex(self, fields: tuple[Field, ...]) -> Node:
        found = _REGEX.match(self._text, self._at)
        if found is None:
            hint = "add a `/`, or put a backslash before this one to look for the character"
            raise QueryProblem(self._at, "this `/` is never closed", hint)
        self._at = found.end()
        return Regex(found[1], fields, found.start(1))

    def _tilde(self, what: str, most: int, *, missing: int | None) -> int | None:
        """Take `~` and its number; `missing` stands for a number that is left out."""
        if not self._text.startswith("~", self._at):
            return None
        start = self._at + 1
        number = self._number(start)
        if not number and missing is not None:
            return missing
        if not number.isdecimal() or len(number) > 4 or int(number) > most:
            raise QueryProblem(start, f"after the `~` of {what} comes a number from 0 to {most:,}")
        return int(number)

    def _boosted(self, node: Node) -> Node:
        if not self._text.startswith("^", self._at):
            return node
        start = self._at + 1
        number = self._number(start)
        if not re.fullmatch(r"\d{1,4}(\.\d{1,4})?", number, re.ASCII) or not float(number):
            raise QueryProblem(start, "after `^` comes a number above 0, such as 2 or 0.5")
        return Boost(node, float(number))

    def _number(self, start: int) -> str:
        found = _NUMBER.match(self._text, start)
        assert found is not None  # it may be empty
        self._at = found.end()
        return found.group()

    def _field(self) -> tuple[Field, ...] | None:
        found = _FIELD.match(self._text, self._at)
        if found is None:
            return None
        if found[1] not in FIELDS:
            raise QueryProblem(self._at, f"there is no field `{found[1]}`", _known_fields())
        self._move(found.end())
        if self._peek() in ("", ")") or self._is_operator():
            raise QueryProblem(self._at, f"there is nothing to look for after `{found[1]}:`")
        if _FIELD.match(self._text, self._at):
            raise QueryProblem(self._at, "a field follows a field", "write one before each word")
        return (FIELDS[found[1]],)

    def _refuse_what_begins_nothing(self) -> None:
        character = self._peek()
        if character in ("", ")"):
            raise QueryProblem(self._at, "a word is missing here")
        if self._is_operator():
            hint = "write a word before it; to look for the word itself, put it in quotes"
            raise QueryProblem(self._at, "this operator has nothing before it", hint)
        if character in "[]{}":
            raise QueryProblem(self._at, f"`{character}` cannot begin a word", _RANGES)
        if character in "~^":
            hint = "write it directly after a word or phrase, or a backslash before it"
            raise QueryProblem(self._at, f"`{character}` has nothing before it", hint)
        if character == ":":
            raise QueryProblem(self._at, "`:` has no field before it", _known_fields())

    def _operand_after(self, operator: int) -> None:
        if self._peek() in ("", ")"):
            hint = "write a word after it; to look for the word itself, put it in quotes"
            raise QueryProblem(operator, "this operator has nothing after it", hint)

    def _is_operator(self) -> bool:
        return any(one.match(self._text, self._at) is not None for one in (_AND, _OR))

    def _take(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._at)
        if found is None:
            return False
        self._move(found.end())
        return True

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _move(self, offset: int) -> None:
        self._at = offset
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None  # it may be empty
        self._at = found.end()


def _grouped(parts: list[_Part]) -> Node:
    """Join what stands side by side: `a NOT b` excludes b, `a OR NOT b` has what lacks b as well.

    Lucene itself reads both as the first.
    """
    clauses: list[tuple[Occur, Node]] = []
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        if part.occur == "must_not" and (part.joined or (after is not None and after.joined)):
            clauses.append(("should", Clauses((("must_not", part.node),))))
        else:
            clauses.append((part.occur, part.node))
    if len(clauses) == 1 and clauses[0][0] != "must_not":
        return clauses[0][1]
    return Clauses(tuple(clauses))


def _known_fields() -> str:
    return (
        f"the fields are {', '.join(FIELDS)}; to look for a colon, put a backslash before it"
        " or the words in quotes"
    )
