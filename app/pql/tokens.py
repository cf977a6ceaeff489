"""A cursor over tokens: look ahead, take, insist, refuse."""

from __future__ import annotations

from collections.abc import Iterable

from app.pql.ast import Span
from app.pql.errors import PqlError, refusal
from app.pql.lexer import Token, tokenize
from app.pql.limits import MAX_NESTING
from app.pql.render import locate
from app.pql.suggest import close_name
from app.pql.words import INFIX_WORDS, RESERVED

VALUE = "a value"
"""What an operand is called in messages."""

_AHEAD = 3
_OPENED_BY = {")": "(", "]": "[", "}": "{"}


class TokenCursor:
    """Reads tokens from left to right, never beyond the last one."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._tokens = tokenize(source)
        # Nobody looks further ahead than this without having seen what comes before.
        ahead = [*self._tokens, *self._tokens[-1:] * _AHEAD]
        self._ahead = ahead
        self._words = [token.text.lower() if token.kind == "name" else "" for token in ahead]
        self._symbols = [token.text if token.kind == "symbol" else "" for token in ahead]
        self._word_set = frozenset(self._words)
        self._position = 0
        self._nesting = 0

    @property
    def token(self) -> Token:
        """The next token."""
        return self._tokens[self._position]

    def peek(self, ahead: int = 0) -> Token:
        """Return a token further on, at most a few beyond the end: the end token there."""
        return self._ahead[self._position + ahead]

    def word(self, ahead: int = 0) -> str:
        """Return the name ahead in lower case, empty when it is no name."""
        return self._words[self._position + ahead]

    def has_word(self, word: str) -> bool:
        """Tell whether a keyword stands anywhere in the text."""
        return word in self._word_set

    def symbol(self, ahead: int = 0) -> str:
        """Return the symbol ahead, empty when it is none."""
        return self._symbols[self._position + ahead]

    def take(self) -> Token:
        """Return the next token and go on."""
        token = self._tokens[self._position]
        if token.kind != "end":
            self._position += 1
        return token

    def take_symbol(self, symbol: str) -> bool:
        """Go on if the next token is this symbol."""
        found = self._symbols[self._position] == symbol
        if found:
            self._position += 1
        return found

    def take_word(self, word: str) -> bool:
        """Go on if the next token is this keyword, whatever its case."""
        found = self._words[self._position] == word
        if found:
            self._position += 1
        return found

    def need_symbol(self, symbol: str, context: str) -> None:
        """Take a symbol or refuse."""
        if not self.take_symbol(symbol):
            raise self.unexpected(f"`{symbol}` {context}")

    def need_word(self, word: str, context: str) -> None:
        """Take a keyword or refuse."""
        if not self.take_word(word):
            raise self._unexpected_word(f"`{word}` {context}", (word,))

    def need_one_of(self, words: Iterable[str]) -> str:
        """Take one of some keywords and return it in lower case, or refuse."""
        listed = tuple(words)
        if self.word() not in listed:
            *others, last = (f"`{word}`" for word in listed)
            raise self._unexpected_word(f"{', '.join(others)} or {last}", listed)
        return self.take().text.lower()

    def need_name(self, context: str) -> Token:
        """Take a name or refuse."""
        if self.token.kind != "name":
            raise self.unexpected(f"a name {context}")
        return self.take()

    def span_from(self, start: int) -> Span:
        """Return the span from an offset to the end of the last token taken."""
        last = self._tokens[max(self._position - 1, 0)]
        return Span(start, max(start, last.span.end))

    def descend(self) -> None:
        """Enter one level of nesting; `ascend` leaves it."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            message = f"the expression is nested deeper than {MAX_NESTING} levels"
            hint = "flatten it, or move parts into segments joined by inSegment"
            raise refusal("too-deep", message, self.token.span, self.source, hint)

    def ascend(self) -> None:
        """Leave one level of nesting."""
        self._nesting -= 1

    def refuse(self, message: str, token: Token, hint: str = "") -> PqlError:
        """Return the error for a token that cannot stand where it does."""
        return refusal("syntax", message, token.span, self.source, hint)

    def unexpected(self, wanted: str) -> PqlError:
        """Return the error for the next token when something else was needed."""
        token = self.token
        found = "the end" if token.kind == "end" else f"`{token.text}`"
        return self.refuse(f"expected {wanted}, found {found}", token, self._remedy())

    def _unexpected_word(self, wanted: str, words: Iterable[str]) -> PqlError:
        token = self.token
        meant = close_name(token.text, words) if token.kind == "name" else None
        if meant is None:
            return self.unexpected(wanted)
        message = f"expected {wanted}, found `{token.text}`"
        return self.refuse(message, token, f"did you mean {meant}?")

    def not_expected(self) -> PqlError:
        """Return the error for what follows a complete expression."""
        token = self.token
        if token.text in _OPENED_BY:
            message = f"there is no `{_OPENED_BY[token.text]}` that `{token.text}` closes"
            return self.refuse(message, token, "remove it, or open it before")
        return self._unexpected_word("an operator or the end", INFIX_WORDS)

    def _remedy(self) -> str:
        before = self._tokens[self._position - 1] if self._position else None
        if self.symbol() == "=" and before is not None and before.text == "=":
            return "equality is written with one `=`"
        if self.word() == "not" and self.word(1) == "in":
            return "write `notIn` in one word"
        if self.word() in {"null", "none"}:
            return "there is no null; use .isNull() or .isNotNull()"
        if self.word() in RESERVED:
            return f"a field called {self.token.text} is written `$1.{self.token.text}`"
        return self._open_bracket()

    def _open_bracket(self) -> str:
        """Say which bracket is still open where the text ends or another one is closed."""
        if self.token.kind != "end" and self.token.text not in _OPENED_BY:
            return ""
        opened: list[Token] = []
        for token in self._tokens[: self._position]:
            if token.kind == "symbol" and token.text in _OPENED_BY.values():
                opened.append(token)
            elif token.kind == "symbol" and token.text in _OPENED_BY and opened:
                opened.pop()
        if not opened or opened[-1].text == _OPENED_BY.get(self.token.text):
            return ""
        line, column = locate(self.source, opened[-1].span.start)
        return f"`{opened[-1].text}` of line {line}, column {column} is not closed"
