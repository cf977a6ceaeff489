"""The benchmarks stand or fall with their mixes: they must compile, and be what they promise."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from app.domain.limits import EngineLimits
from app.domain.model import Tenant
from app.engine.catalogue import compile_catalogue
from app.pql import ast
from app.pql.parser import parse
from tests.bench.language import NODES, measure, resolved
from tests.bench.mix import Updates, definition_set, definition_texts

TENANT = Tenant("bench@AdobeOrg", "prod")


@pytest.mark.parametrize("count", [10, 100, 1_000])
def test_every_definition_compiles(count):
    catalogue = compile_catalogue(definition_set(count, TENANT), EngineLimits())
    assert not catalogue.failures


def test_the_kinds_are_mixed_as_promised():
    kinds: Counter[str] = Counter()
    for _, text in definition_texts(1_000):
        if text.startswith("inSegment"):
            kinds["segments"] += 1
        elif text.startswith("chain"):
            kinds["sequences"] += 1
        elif text.startswith("xEvent"):
            kinds["windows"] += 1
        else:
            kinds["attributes"] += 1
    assert kinds == {"attributes": 500, "windows": 300, "sequences": 100, "segments": 100}


def test_updates_are_reproducible_and_about_300_bytes():
    first, second = Updates(1_000, 500), Updates(1_000, 500)
    records = [first.next_bytes(1_767_607_200_000) for _ in range(2_000)]
    assert records == [second.next_bytes(1_767_607_200_000) for _ in range(2_000)]
    assert len({key for key, _ in records[:500]}) == 500
    assert 260 <= sum(len(value) for _, value in records) / len(records) <= 340


def test_the_language_is_measured_over_every_kind_of_node():
    kinds = {*get_args(ast.Expr), *get_args(ast.OccursTail), ast.Declaration, ast.Step}
    assert kinds == set(NODES)
    for kind, text in NODES.items():
        tree = parse(text)
        assert kind in map(type, [*ast.walk(tree), *ast.walk(resolved(tree))]), text

    costs = measure(50)

    assert costs.read_s > 0
    assert all(one.compiled_us > 0 for one in costs.nodes)
