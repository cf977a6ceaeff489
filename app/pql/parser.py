"""PQL text to a parsed tree (PQL reference, grammar).

Binary operators are read by precedence climbing, so that one level of brackets costs few frames
of the stack; `limits.MAX_NESTING` bounds the rest.
"""

from __future__ import annotations

from app.pql import ast
from app.pql.ast import Expr, Span
from app.pql.errors import refusal
from app.pql.limits import MAX_DEPTH, is_deeper_than
from app.pql.parser_primary import PrimaryParser
from app.pql.precedence import AND, BINARY, NOT, OR, UNARY


def parse(text: str) -> Expr:
    """Parse an expression.

    Raises:
        PqlError: At the first problem, with its place and a remedy.
    """
    expression = _Parser(text).whole()
    if is_deeper_than(expression, MAX_DEPTH):
        message = f"the expression is more than {MAX_DEPTH} levels deep"
        hint = "flatten it, or move parts into segments joined by inSegment"
        raise refusal("too-deep", message, Span(0, len(text)), text, hint)
    return expression


class _Parser(PrimaryParser):
    def whole(self) -> Expr:
        expression = self.expression()
        if self.cursor.token.kind != "end":
            raise self.cursor.not_expected()
        return expression

    def expression(self, level: int = 0) -> Expr:
        self.cursor.descend()
        start = self.cursor.token.span.start
        left = self._prefix(level)
        while True:
            operator = self._operator()
            strength = BINARY.get(operator, -1)
            if strength < max(level, OR):
                break
            left = self._continue(operator, strength, left, start)
        self.cursor.ascend()
        return left

    def _operator(self) -> str:
        word = self.cursor.word()
        return "notIn" if word == "notin" else word or self.cursor.symbol()

    def _continue(self, operator: str, strength: int, left: Expr, start: int) -> Expr:
        if operator in {"and", "or"}:
            return self._junction(operator, strength, left, start)
        self.cursor.take()
        if operator == "occurs":
            tail = self.occurs_tail()
            return ast.Occurs(left, tail, span=self.cursor.span_from(start))
        if operator in {"in", "notIn"}:
            self.expect_list_here()
        right = self.expression(strength + 1)
        span = self.cursor.span_from(start)
        return ast.Binary(operator, left, right, span=span)  # type: ignore[arg-type]  # in BINARY

    def _junction(self, word: str, strength: int, first: Expr, start: int) -> Expr:
        operands = [first]
        while self.cursor.take_word(word):
            operands.append(self.expression(strength + 1))
        span = self.cursor.span_from(start)
        return (
            ast.And(tuple(operands), span=span)
            if strength == AND
            else ast.Or(tuple(operands), span=span)
        )

    def _prefix(self, level: int) -> Expr:
        start = self.cursor.token.span.start
        if self.cursor.word() == "not" or self.cursor.symbol() == "!":
            if level > NOT:
                raise self.cursor.refuse(
                    "`not` cannot stand here", self.cursor.token, "put it in parentheses"
                )
            self.cursor.take()
            operand = self.expression(NOT)
            return ast.Not(operand, span=self.cursor.span_from(start))
        if self.cursor.take_symbol("-"):
            operand = self.expression(UNARY)
            return ast.Negative(operand, span=self.cursor.span_from(start))
        if self.starts_lambda():
            return self.lambda_expression(level)
        if self.starts_let():
            return self.let_expression(level)
        return self.postfix()
