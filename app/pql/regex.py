r"""Java regular expressions and `like` patterns on Python's matcher, bounded in run time.

A pattern that may take exponential time is refused when the definition is checked: a repeated
group may hold neither another open-ended repetition nor branches that begin alike. Possessive
quantifiers (`\w++`) and atomic groups are always fine.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache

MAX_SUBJECT = 4_000
"""Longest text in which a pattern is looked for; a longer one does not match."""

_MAX_PATTERN = 1_000
_CLASSES = {
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Lower": "a-z",
    "Upper": "A-Z",
    "Punct": r"!-/:-@\[-`{-~",
    "Space": r"\s",
    "XDigit": "0-9a-fA-F",
    "Blank": r" \t",
    "ASCII": r"\x00-\x7f",
}
_ESCAPES = {
    "z": r"\Z",
    "Z": r"(?=\n?\Z)",
    "h": r"[ \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]",
    "R": r"(?:\r\n|[\n\x0b\f\r\x85\u2028\u2029])",
    "e": r"\x1b",
}
_PLAIN_ESCAPES = frozenset("\\dDwWsSbBAntrfavxu0123456789")
_QUANTIFIER = re.compile(r"([*+?]|\{([0-9]{1,5})(,([0-9]{1,5})?)?\})([+?]?)")
_LEADING_FLAGS = re.compile(r"\(\?([imsuxdU]+)\)")
_FEW_REPEATS = 8


class RegexError(ValueError):
    """A pattern that cannot be used; the text says why and what to write."""


@dataclass(slots=True)
class _Group:
    """What is known of an open group: how its branches begin, whether it repeats inside."""

    atomic: bool = False
    repeats: bool = False
    starts: list[str] = field(default_factory=lambda: [""])

    def begins_with(self, text: str) -> None:
        if not self.starts[-1]:
            self.starts[-1] = text

    def is_ambiguous(self) -> bool:
        if self.atomic:
            return False
        literal = all(len(start) == 1 and start.isalnum() for start in self.starts)
        distinct = len(set(self.starts)) == len(self.starts)
        return self.repeats or (len(self.starts) > 1 and not (literal and distinct))


class _Translator:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0
        self._out: list[str] = []
        self._groups = [_Group()]
        self._last: _Group | None = None  # the group that was just closed
        self._can_repeat = False

    def translate(self) -> tuple[str, int]:
        flags = int(re.ASCII)
        leading = _LEADING_FLAGS.match(self._pattern)
        if leading:
            flags = _flags(leading.group(1))
            self._position = leading.end()
        while self._position < len(self._pattern):
            self._next()
        return "".join(self._out), flags

    def _take(self) -> str:
        character = self._pattern[self._position]
        self._position += 1
        return character

    def _next(self) -> None:
        if self._can_repeat and (match := _QUANTIFIER.match(self._pattern, self._position)):
            self._quantifier(match)
            return
        character = self._take()
        if character == "(":
            self._open()
        elif character == ")":
            self._close()
        elif character == "|":
            self._groups[-1].starts.append("")
            self._emit("|", can_repeat=False)
        elif character == "[":
            self._atom(self._character_class())
        elif character == "\\":
            self._atom(self._escape())
        elif character in "^$":
            self._emit(character, can_repeat=False)
        else:
            self._atom(re.escape(character) if character in "{}" else character)

    def _emit(self, text: str, *, can_repeat: bool) -> None:
        self._out.append(text)
        self._last = None
        self._can_repeat = can_repeat

    def _atom(self, text: str) -> None:
        self._groups[-1].begins_with(text)
        self._emit(text, can_repeat=True)

    def _quantifier(self, match: re.Match[str]) -> None:
        text, least, comma, most, mode = match.groups()
        self._position = match.end()
        most_times = {"?": 1, "*": None, "+": None}.get(text, int(most or 0) or None)
        if comma is None and text[0] == "{":
            most_times = int(least)
        many = most_times is None or most_times > _FEW_REPEATS
        if many and self._last is not None and self._last.is_ambiguous():
            raise RegexError(
                "it repeats a group that can match the same text in many ways; make the inner "
                "repetition possessive, such as `\\w++`, or the branches begin differently"
            )
        varies = comma is not None or text[0] != "{"
        if varies and mode != "+":
            self._groups[-1].repeats = True
        self._emit(match.group(), can_repeat=False)

    def _open(self) -> None:
        group = _Group(atomic=self._pattern.startswith("?>", self._position))
        self._groups[-1].begins_with("(")
        self._groups.append(group)
        if self._pattern.startswith("?", self._position):
            self._emit("(" + self._group_head(), can_repeat=False)
        else:
            self._emit("(", can_repeat=False)

    def _group_head(self) -> str:
        for head in ("?:", "?=", "?!", "?>", "?<=", "?<!"):
            if self._pattern.startswith(head, self._position):
                self._position += len(head)
                return head
        named = re.compile(r"\?<([A-Za-z][A-Za-z0-9]*)>").match(self._pattern, self._position)
        if named is None:
            raise RegexError("flags are understood only at its start, such as `(?i)`")
        self._position = named.end()
        return f"?P<{named.group(1)}>"

    def _close(self) -> None:
        if len(self._groups) == 1:
            raise RegexError("it closes a parenthesis that is not open")
        group = self._groups.pop()
        if group.repeats and not group.atomic:
            self._groups[-1].repeats = True
        self._emit(")", can_repeat=True)
        self._last = group

    def _escape(self) -> str:
        if self._position >= len(self._pattern):
            raise RegexError("it ends with a backslash")
        character = self._take()
        if character == "Q":
            end = self._pattern.find("\\E", self._position)
            end = len(self._pattern) if end < 0 else end
            text = re.escape(self._pattern[self._position : end])
            self._position = min(end + 2, len(self._pattern))
            return f"(?:{text})"
        if character in {"p", "P"}:
            return f"[{'^' if character == 'P' else ''}{self._property()}]"
        if character == "k":
            return self._back_reference()
        if character in _ESCAPES:
            return _ESCAPES[character]
        return self._plain_escape(character)

    def _plain_escape(self, character: str) -> str:
        if character in _PLAIN_ESCAPES or not character.isalnum():
            return re.escape(character) if not character.isalnum() else "\\" + character
        raise RegexError(f"the escape \\{character} is not understood")

    def _back_reference(self) -> str:
        named = re.compile(r"<([A-Za-z][A-Za-z0-9]*)>").match(self._pattern, self._position)
        if named is None:
            raise RegexError("\\k needs the name of a group: \\k<name>")
        self._position = named.end()
        return f"(?P={named.group(1)})"

    def _property(self) -> str:
        named = re.compile(r"\{([A-Za-z]+)\}").match(self._pattern, self._position)
        if named is None or named.group(1) not in _CLASSES:
            known = ", ".join(sorted(_CLASSES))
            raise RegexError(f"of the character properties only {known} are understood")
        self._position = named.end()
        return _CLASSES[named.group(1)]

    def _character_class(self) -> str:
        parts = ["["]
        if self._pattern.startswith("^", self._position):
            parts.append(self._take())
        first = True
        while self._position < len(self._pattern):
            character = self._take()
            if character == "]" and not first:
                return "".join(parts) + "]"
            parts.append(self._class_part(character))
            first = False
        raise RegexError("it opens a character class that is not closed")

    def _class_part(self, character: str) -> str:
        if character == "\\":
            return self._class_escape()
        if character == "[" or self._pattern.startswith("&&", self._position - 1):
            raise RegexError("nested and intersected character classes are not understood")
        return "\\" + character if character in "&~|]" else character

    def _class_escape(self) -> str:
        if self._position >= len(self._pattern):
            raise RegexError("it ends with a backslash")
        character = self._take()
        if character == "p":
            return self._property()
        if character in {"P", "b", "B", "A", "Q"}:
            raise RegexError(f"\\{character} cannot stand in a character class")
        return self._plain_escape(character)


def _flags(letters: str) -> int:
    known = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
    flags = 0 if "u" in letters or "U" in letters else re.ASCII
    for letter in letters:
        flags |= known.get(letter, 0)
    return int(flags)


@lru_cache(maxsize=4_096)
def compile_java(pattern: str) -> re.Pattern[str]:
    """Translate and compile a Java pattern.

    Raises:
        RegexError: It is malformed, uses what Python cannot match, or may take exponential time.
    """
    if len(pattern) > _MAX_PATTERN:
        raise RegexError(f"it is longer than {_MAX_PATTERN} characters")
    translated, flags = _Translator(pattern).translate()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return re.compile(translated, flags)
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise RegexError(f"it is malformed: {error}") from error


@lru_cache(maxsize=4_096)
def compile_like(pattern: str) -> tuple[re.Pattern[str], ...]:
    """Split a `like` pattern at `%`; `_` is one character, there is no escape."""
    parts = pattern.split("%")
    return tuple(
        re.compile("".join("." if one == "_" else re.escape(one) for one in part), re.DOTALL)
        for part in parts
    )


def like(text: str, pattern: str) -> bool:
    """Match the whole text in linear steps: the leftmost place of each part is good enough."""
    parts = compile_like(pattern)
    if len(parts) == 1:
        return parts[0].fullmatch(text) is not None
    head = parts[0].match(text)
    if head is None:
        return False
    position = head.end()
    for part in parts[1:-1]:
        found = part.search(text, position)
        if found is None:
            return False
        position = found.end()
    tail = len(pattern.rsplit("%", 1)[1])
    start = len(text) - tail
    return start >= position and parts[-1].fullmatch(text, start) is not None


def finds(text: str, pattern: str) -> bool:
    """Look for a Java pattern anywhere in the text; a bad pattern matches nothing."""
    if len(text) > MAX_SUBJECT:
        return False
    try:
        return compile_java(pattern).search(text) is not None
    except RegexError:
        return False
