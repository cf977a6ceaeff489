"""Limits and schemas that new expressions are held to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.model import Tenant
from app.pql.limits import ExpressionLimits
from app.pql.schema import read_schema
from app.pql.schema_checks import NO_SCHEMAS, Schemas
from app.service.expressions import (
    MOST_PROBLEMS,
    AcceptedExpression,
    ExpressionRules,
    KnownSchemas,
    RefusedDefinition,
    accept,
    parsed,
)

TENANT = Tenant("org", "prod")
COUNT = 'xEvent[eventType = "{}" and timestamp occurs <= 3 days before now].count() >= 5'


def accepted(text: str, rules: ExpressionRules) -> AcceptedExpression:
    return accept(TENANT, text, parsed(text, rules.limits), (), rules)


@pytest.mark.parametrize(
    ("text", "limits", "code", "place"),
    [
        ("abc = 1", {"characters": 5}, "too-long", " 1"),
        ("a.b.c = 1", {"depth": 3}, "too-deep", "a.b.c = 1"),
        ("a = 1 and b = 2", {"nodes": 5}, "too-many-nodes", "a = 1 and b = 2"),
        ("a in [1, 2, 3]", {"list_items": 2}, "too-many-items", "[1, 2, 3]"),
        (
            "chain(xEvent, timestamp, [A: WHAT(a), B: WHAT(b)])",
            {"steps": 1},
            "too-many-steps",
            "chain(xEvent, timestamp, [A: WHAT(a), B: WHAT(b)])",
        ),
        (COUNT.format("a"), {"state_bytes": 50}, "state-too-large", COUNT.format("a")),
    ],
)
def test_past_a_limit_a_definition_is_refused_and_at_it_accepted(
    text: str, limits: dict[str, int], code: str, place: str
) -> None:
    with pytest.raises(RefusedDefinition) as caught:
        accepted(text, ExpressionRules(limits=ExpressionLimits(**limits)))
    (problem,) = caught.value.details
    assert problem.code == code
    assert problem.hint
    assert problem.column is not None
    assert text[problem.column - 1 :].startswith(place)

    wider = {name: value + 7 * value for name, value in limits.items()}
    rules = ExpressionRules(limits=ExpressionLimits(**wider))
    accepted(text, rules)
    # What is stored already is not held to limits that came later.
    strict = ExpressionRules(limits=ExpressionLimits(**limits)).for_what_is_stored()
    accepted(text, strict)


class Registry:
    """Schemas of one tenant."""

    def __init__(self, problem: str = "") -> None:
        self.known = KnownSchemas(Schemas(read_schema({"properties": {"age": {}}})), problem)

    def of(self, tenant: Tenant) -> KnownSchemas:
        return self.known if tenant == TENANT else KnownSchemas(NO_SCHEMAS)


def test_paths_are_held_to_the_schema_of_the_tenant_alone() -> None:
    rules = ExpressionRules(schemas=Registry())
    with pytest.raises(RefusedDefinition) as caught:
        accepted("aeg > 3", rules)
    assert [one.code for one in caught.value.details] == ["unknown-field"]
    tree = parsed("aeg > 3")
    assert accept(TENANT._replace(sandbox_name="dev"), "aeg > 3", tree, (), rules).warnings == ()


def test_a_schema_that_cannot_be_used_is_said_at_creation() -> None:
    rules = ExpressionRules(schemas=Registry("it is away"))
    (warning,) = accepted("age > 3", rules).warnings
    assert warning.code == "schema-unavailable"
    assert warning.message.endswith("held to the last schema that could be used: it is away")

    never = Registry()
    never.known = replace(never.known, schemas=NO_SCHEMAS, problem="it is away")
    (warning,) = accepted("aeg > 3", ExpressionRules(schemas=never)).warnings
    assert "held to no schema" in warning.message


def test_of_very_many_problems_the_first_are_told() -> None:
    text = " and ".join(["f()"] * (MOST_PROBLEMS + 20))
    with pytest.raises(RefusedDefinition) as caught:
        accepted(text, ExpressionRules())
    assert len(caught.value.details) == MOST_PROBLEMS
    assert "120 problems, of which the first 100 are listed" in caught.value.message
