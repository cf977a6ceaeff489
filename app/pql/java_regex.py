"""Java regular expressions translated to Python's, with a bound on what matching may cost.

A group that is repeated may hold neither another open-ended repetition nor branches that begin
alike: that would take exponential time. What is left takes polynomial time, whose degree and
factor are counted here, so that the length of the text can be limited. Possessive quantifiers and
atomic groups never go back and cost nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LARGEST_COUNT = 255
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


@dataclass(frozen=True, slots=True)
class Translation:
    """A pattern in Python's syntax.

    Attributes:
        degree: Matching takes at most `choices * length ** degree` steps, roughly.
    """

    text: str
    flags: int
    degree: int
    choices: int


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


class Translator:
    """Reads a Java pattern once, from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0
        self._out: list[str] = []
        self._groups = [_Group()]
        self._last: _Group | None = None  # the group that was just closed
        self._can_repeat = False
        self._open_repeats = 0
        self._choices = 1

    def translate(self) -> Translation:
        """Return the translation.

        Raises:
            RegexError: The pattern uses what Python cannot match, or may take exponential time.
        """
        flags = int(re.ASCII)
        leading = _LEADING_FLAGS.match(self._pattern)
        if leading:
            flags = _flags(leading.group(1))
            self._position = leading.end()
        while self._position < len(self._pattern):
            self._next()
        anchored = "".join(self._out[:1]) == "^" and len(self._groups[0].starts) == 1
        degree = self._open_repeats + (0 if anchored and not flags & re.MULTILINE else 1)
        return Translation("".join(self._out), flags, max(degree, 1), self._choices)

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
        exact = comma is None and text[0] == "{"
        limit = int(least) if exact else {"?": 1}.get(text, int(most or 0) or None)
        if max(int(least or 0), limit or 0) > _LARGEST_COUNT:
            raise RegexError(f"it counts beyond {_LARGEST_COUNT}")
        group = self._last
        self._check_repetition(group, limit)
        is_ambiguous = group is not None and group.is_ambiguous()
        if mode != "+" and (not exact or is_ambiguous):
            self._groups[-1].repeats = True
            self._count_choices(limit, int(least or 0))
        self._emit(match.group(), can_repeat=False)

    def _check_repetition(self, group: _Group | None, limit: int | None) -> None:
        if group is None or not group.is_ambiguous():
            return
        allowed = 1 if group.repeats else _FEW_REPEATS
        if limit is None or limit > allowed:
            raise RegexError(
                "it repeats a group that can match the same text in many ways; make the inner "
                "repetition possessive, such as `\\w++`, or let the branches begin differently"
            )

    def _count_choices(self, limit: int | None, least: int) -> None:
        if limit is None or limit - least > _FEW_REPEATS:
            self._open_repeats += 1
        else:
            self._choices *= limit - least + 1

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
        if len(group.starts) > 1 and group.is_ambiguous():
            self._choices *= len(group.starts)
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
