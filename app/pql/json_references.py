"""Names in pql/json: fields, parameters, variables and what declares them."""

from __future__ import annotations

from typing import Any

from app.pql import ast
from app.pql.ast import Declaration, Expr, Span
from app.pql.json_form import PREFIX, QUANTIFIERS, UP, JsonNode, is_bare, is_name, with_variables
from app.pql.json_literals import LiteralReader
from app.pql.json_places import HOLE, At, shown
from app.pql.limits import MAX_NESTING
from app.pql.scope import Scope
from app.pql.words import RESERVED

_HIGHEST_PARAMETER = 999


class ReferenceReader(LiteralReader):
    """Reads references, `select`, `quantification` and `fnCreate`."""

    def field_lookup(self, given: JsonNode, at: At) -> Expr:
        """Read a field of a node, or of the current item where there is no `object`."""
        name = self.found.text_of(given, "fieldName", at).removeprefix(PREFIX)
        span = self.found.span(at)
        owner = given.get("object")
        if owner is None and at.scope.items:
            if name != "xEvent" and is_bare(name, at.scope):
                return ast.Name(name, span=span)
            return _member(ast.This(span=span), name, span)
        if _is_up(owner):
            return self._up_reference(name, owner, at)
        of: Expr = ast.Parameter(1, span=span)
        if owner is not None:
            of = self.expression(owner, at.key("object"))
        is_open = at.scope.items == 0 or name == "xEvent"
        if is_open and of == ast.Parameter(1) and is_bare(name, at.scope):
            return ast.Name(name, span=span)
        return _member(of, name, span)

    def _up_reference(self, name: str, up: Any, at: At) -> Expr:
        place = at.key("object", "params")
        params = self.found.list_of(up, "params", at.key("object"))
        levels = self.expression(params[0], place.key(0)) if len(params) == 1 else HOLE
        if not (isinstance(levels, ast.Literal) and type(levels.value) is int):
            message = "`^` takes one whole number: how many items to leave"
            return self.found.refuse("json-value", message, place)
        if not 1 <= levels.value <= MAX_NESTING:
            return self.found.refuse("json-value", f"`^` takes 1 to {MAX_NESTING}", place)
        if not is_name(name):
            message = f"`^` cannot lead to {shown(name)}"
            hint = "name a field of letters, digits and _"
            return self.found.refuse("json-value", message, at.key("fieldName"), hint)
        return ast.UpReference(levels.value, name, span=self.found.span(at))

    def parameter_reference(self, given: JsonNode, at: At) -> Expr:
        """Read `$n`."""
        position = given.get("position")
        if isinstance(position, str) and position.isascii() and position.isdigit():
            position = int(position) if len(position) < 4 else None
        if isinstance(position, bool) or not isinstance(position, int):
            message = "`position` of this parameterReference is no whole number"
            return self.found.refuse("json-type", message, at, "the profile is 1")
        if not 0 <= position <= _HIGHEST_PARAMETER:
            message = f"parameter {position} is out of range"
            return self.found.refuse("json-value", message, at.key("position"), "the profile is 1")
        return ast.Parameter(position, span=self.found.span(at))

    def variable_reference(self, given: JsonNode, at: At) -> Expr:
        """Read a use of a variable."""
        name = self.found.text_of(given, "varName", at)
        if name and name not in at.scope.variables:
            hint = (
                "declare it with a varDecl or fnCreate around this node; a field is a fieldLookup"
            )
            return self.found.refuse("unbound-variable", f"{shown(name)} is not declared", at, hint)
        return ast.Name(name, span=self.found.span(at))

    def lambda_expression(self, given: JsonNode, at: At) -> Expr:
        """Read `fnCreate`: a function with one parameter or more."""
        params = self.found.list_of(given, "params", at)
        names = [
            self.new_name(one if isinstance(one, dict) else {}, at.key("params", index))
            for index, one in enumerate(params)
        ]
        if "params" in given and not params:
            self.found.refuse("json-value", "a function has a parameter", at.key("params"))
        span = self.found.span(at)
        body = self.part(given, "body", at.within(with_variables(names, at.scope)))
        return ast.Lambda(tuple(names), body, span=span)

    def new_name(self, given: JsonNode, at: At) -> str:
        """Read the name that a node binds."""
        name = self.found.text_of(given, "varName", at)
        if name and not is_name(name):
            hint = "use letters, digits and _, not beginning with a digit"
            self.found.refuse("json-value", f"{shown(name)} cannot name a variable", at, hint)
        return name

    def part(self, given: JsonNode, key: str, at: At) -> Expr:
        """Read the node at a key, which has to be there."""
        if key in given:
            return self.expression(given[key], at.key(key))
        kind = given.get("nodeType")
        return self.found.refuse("json-missing", f"this {kind} has no `{key}`", at, "add a node")

    def select(self, given: JsonNode, at: At) -> Expr:
        """Read `select`."""
        span = self.found.span(at)
        declarations, _ = self._variables(given, at)
        return ast.Comprehension("select", declarations, span=span)

    def quantification(self, given: JsonNode, at: At) -> Expr:
        """Read `quantification`: `some`, `all`, `none`, `one`."""
        span = self.found.span(at)
        quantifier = self.found.text_of(given, "quantifier", at).lower()
        declarations, _ = self._variables(given, at)
        if quantifier in QUANTIFIERS:
            kind: Any = QUANTIFIERS[quantifier]
            return ast.Comprehension(kind, declarations, span=span)
        if quantifier == "none":
            return ast.Not(ast.Comprehension("exists", declarations, span=span), span=span)
        if quantifier == "one":
            found = ast.Comprehension("select", declarations, span=span)
            count = ast.MethodCall(found, "count", (), span=span)
            return ast.Binary("=", count, ast.Literal(1, span=span), span=span)
        if not quantifier:  # noted already
            return HOLE
        message, hint = f"{shown(quantifier)} is no quantifier", "use some, all, none or one"
        return self.found.refuse("json-value", message, at.key("quantifier"), hint)

    def _variables(self, given: JsonNode, at: At) -> tuple[tuple[Declaration, ...], Scope]:
        variables = self.found.list_of(given, "variables", at)
        if "variables" in given and not variables:
            kind = given.get("nodeType")
            self.found.refuse("json-value", f"a {kind} declares a variable", at.key("variables"))
        places = [at.key("variables", index) for index in range(len(variables))]
        return self.declarations(list(zip(variables, places, strict=True)), at.scope)

    def declarations(
        self, given: list[tuple[Any, At]], scope: Scope
    ) -> tuple[tuple[Declaration, ...], Scope]:
        """Read varDecl nodes; each sees those before it. Returns the scope after the last too."""
        found = []
        for one, place in given:
            declaration = self._declaration(one, place.within(scope))
            scope = scope.with_variable(declaration.variable)
            found.append(declaration)
        return tuple(found), scope

    def _declaration(self, given: Any, at: At) -> Declaration:
        span = self.found.span(at)
        if not is_declaration(given):
            self.found.refuse("json-node", "this is no varDecl", at, "declare a variable here")
            return Declaration("", HOLE, None, span=span)
        inner = self.found.enter(at)
        name = self.new_name(given, at)
        if name.lower() in RESERVED:
            message = f"{shown(name)} is a word of the language"
            self.found.refuse("json-value", message, at, "rename it")
        source = self.part(given, "range" if "range" in given else "from", inner)
        condition = None
        if given.get("where") is not None:
            bound = inner.within(at.scope.with_variable(name))
            condition = self.expression(given["where"], bound.key("where"))
        return Declaration(name, source, condition, span=span)


def is_declaration(given: Any) -> bool:
    """Tell whether a node declares a variable."""
    return isinstance(given, dict) and given.get("nodeType") == "varDecl"


def _is_up(given: Any) -> bool:
    return (
        isinstance(given, dict) and given.get("nodeType") == "fnApply" and given.get("fnName") == UP
    )


def _member(owner: Expr, name: str, span: Span) -> Expr:
    if is_name(name):
        return ast.Field(owner, name, span=span)
    return ast.MethodCall(owner, "get", (ast.Literal(name, span=span),), span=span)
