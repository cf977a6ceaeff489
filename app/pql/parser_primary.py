"""The innermost part of the grammar: names, literals, brackets, postfixes, lambdas and let."""

from __future__ import annotations

from typing import Any

from app.pql import ast
from app.pql.ast import Expr
from app.pql.parser_clauses import ClauseParser
from app.pql.precedence import ADD, WHOLE
from app.pql.tokens import VALUE
from app.pql.words import RESERVED, UNITS

_MOMENTS = frozenset({"now", "today", "yesterday", "tomorrow"})
_PERIODS = frozenset({"this", "last", "next"})


class PrimaryParser(ClauseParser):
    """Reads operands."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._list_starts_at = -1

    def expect_list_here(self) -> None:
        """Read a bracket that comes next as a list: `in ("a", "b")`, a lenient form."""
        self._list_starts_at = self.cursor.token.span.start

    def postfix(self) -> Expr:
        """Read an operand with its fields, methods and filters."""
        start = self.cursor.token.span.start
        found = self._primary()
        while True:
            if self.cursor.take_symbol("."):
                found = self._member(found, start)
            elif self.cursor.take_symbol("["):
                condition = self.expression()
                self.cursor.need_symbol("]", "after a filter")
                found = ast.Filter(found, condition, span=self.cursor.span_from(start))
            else:
                return found

    def _member(self, owner: Expr, start: int) -> Expr:
        name = self.cursor.need_name("after the dot")
        if self.cursor.symbol() == "(":
            arguments = self._arguments()
            span = self.cursor.span_from(start)
            return ast.MethodCall(owner, name.text, arguments, span=span)
        return ast.Field(owner, name.text, span=self.cursor.span_from(start))

    def _arguments(self) -> tuple[Expr, ...]:
        self.cursor.need_symbol("(", "before the arguments")
        if self.cursor.take_symbol(")"):
            return ()
        found = self._items()
        self.cursor.need_symbol(")", "after the arguments")
        return found

    def _items(self) -> tuple[Expr, ...]:
        found = [self.expression()]
        while self.cursor.take_symbol(","):
            found.append(self.expression())
        return tuple(found)

    def _primary(self) -> Expr:
        token = self.cursor.token
        if token.kind == "name":
            return self._word()
        if token.kind == "symbol":
            return self._symbol()
        if token.kind == "end":
            raise self.cursor.unexpected(VALUE)
        self.cursor.take()
        value: Any = token.value
        if token.kind == "parameter":
            return ast.Parameter(value, span=token.span)
        if token.kind == "context":
            return ast.ContextReference(value, span=token.span)
        return ast.Literal(value, span=token.span)

    def _word(self) -> Expr:
        if self.starts_comprehension():
            return self.comprehension()
        if self.starts_aggregate():
            return self.aggregate()
        if self.starts_chain():
            return self.chain()
        return self._time_word() or self._plain_word()

    def _time_word(self) -> Expr | None:
        word: Any = self.cursor.word()
        start = self.cursor.token.span.start
        if word in _PERIODS and self.cursor.word(1) in UNITS:
            self.cursor.take()
            unit = UNITS[self.cursor.take().text.lower()]
            return ast.Period(word, unit, span=self.cursor.span_from(start))
        if word in _MOMENTS:
            return ast.Moment(word, span=self.cursor.take().span)
        return None

    def _plain_word(self) -> Expr:
        word = self.cursor.word()
        if word in {"true", "false"}:
            return ast.Literal(word == "true", span=self.cursor.take().span)
        if word == "this":
            return ast.This(span=self.cursor.take().span)
        if word in RESERVED:
            raise self.cursor.unexpected(VALUE)
        name = self.cursor.take()
        if self.cursor.symbol() == "(":
            function = "if" if word == "if" else name.text
            arguments = self._arguments()
            return ast.Call(function, arguments, span=self.cursor.span_from(name.span.start))
        return ast.Name(name.text, span=name.span)

    def _symbol(self) -> Expr:
        symbol = self.cursor.symbol()
        if symbol == "(":
            return self._parenthesised()
        if symbol == "[":
            return self._list()
        if symbol == "{":
            return self._object()
        if symbol == "^":
            return self._up_reference()
        raise self.cursor.unexpected(VALUE)

    def _parenthesised(self) -> Expr:
        start = self.cursor.token.span.start
        is_list = start == self._list_starts_at
        self.cursor.take()
        first = self.expression()
        listed = is_list and (self.cursor.symbol() == "," or isinstance(first, ast.Literal))
        if not listed:
            self.cursor.need_symbol(")", "to close the parenthesis")
            return first
        rest = self._items() if self.cursor.take_symbol(",") else ()
        self.cursor.need_symbol(")", "to close the list")
        return ast.ListLiteral((first, *rest), span=self.cursor.span_from(start))

    def _list(self) -> Expr:
        start = self.cursor.take().span.start
        items = () if self.cursor.symbol() == "]" else self._items()
        self.cursor.need_symbol("]", "to close the list")
        return ast.ListLiteral(items, span=self.cursor.span_from(start))

    def _object(self) -> Expr:
        start = self.cursor.take().span.start
        entries: list[tuple[str, Expr]] = []
        while self.cursor.symbol() != "}":
            if entries:
                self.cursor.need_symbol(",", "between two entries")
            entries.append(self._entry())
        self.cursor.take()
        return ast.ObjectLiteral(tuple(entries), span=self.cursor.span_from(start))

    def _entry(self) -> tuple[str, Expr]:
        if self.cursor.token.kind not in {"string", "name"}:
            raise self.cursor.unexpected("a key")
        key = self.cursor.take()
        self.cursor.need_symbol(":", "after the key")
        return str(key.value), self.expression()

    def _up_reference(self) -> Expr:
        start = self.cursor.token.span.start
        levels = 0
        while self.cursor.take_symbol("^"):
            levels += 1
        self.cursor.take_symbol(".")
        name = self.cursor.need_name("after `^`")
        return ast.UpReference(levels, name.text, span=self.cursor.span_from(start))

    def starts_lambda(self) -> bool:
        """Tell `x => …` and `(x, y) => …` from a name and a parenthesis."""
        if self.cursor.token.kind == "name":
            return self.cursor.symbol(1) == "=>"
        if self.cursor.symbol() != "(":
            return False
        ahead = 1
        while self.cursor.peek(ahead).kind == "name" and self.cursor.symbol(ahead + 1) == ",":
            ahead += 2
        return (
            self.cursor.peek(ahead).kind == "name"
            and self.cursor.symbol(ahead + 1) == ")"
            and self.cursor.symbol(ahead + 2) == "=>"
        )

    def lambda_expression(self, level: int) -> Expr:
        """Read a function; it takes the whole rest, so it cannot be an operand."""
        self._whole_only(level, "a lambda")
        start = self.cursor.token.span.start
        parameters: list[str] = []
        self.cursor.take_symbol("(")
        while not self.cursor.take_symbol("=>"):
            parameters.append(self.cursor.need_name("of a parameter").text)
            self.cursor.take_symbol(",")
            self.cursor.take_symbol(")")
        body = self.expression()
        return ast.Lambda(tuple(parameters), body, span=self.cursor.span_from(start))

    def starts_let(self) -> bool:
        """Tell `let x = …` from a field called `let`, also in `let occurs = 3 days before now`."""
        cursor = self.cursor
        if cursor.word() != "let" or cursor.peek(1).kind != "name" or cursor.symbol(2) != "=":
            return False
        return cursor.word(1) != "occurs" or cursor.word(4) not in UNITS

    def let_expression(self, level: int) -> Expr:
        """Read `let name = value in body`."""
        self._whole_only(level, "let")
        start = self.cursor.take().span.start
        name = self.cursor.need_name("after let")
        self.cursor.need_symbol("=", "after the name")
        value = self.expression(ADD)
        self.cursor.need_word("in", "before the body of let")
        body = self.expression()
        return ast.Let(name.text, value, body, span=self.cursor.span_from(start))

    def _whole_only(self, level: int, what: str) -> None:
        if level > WHOLE:
            message = f"{what} cannot be an operand"
            raise self.cursor.refuse(message, self.cursor.token, "put it in parentheses")
