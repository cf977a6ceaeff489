from __future__ import annotations

import pytest

from app.service.references import cycle_through, dependents_of


@pytest.mark.parametrize(
    ("asks", "uses", "cycle"),
    [
        ([], {}, None),
        (["b"], {}, None),
        (["a"], {}, ["a", "a"]),
        (["b"], {"b": ("a",)}, ["a", "b", "a"]),
        (["b"], {"b": ("c",), "c": ("a",)}, ["a", "b", "c", "a"]),
        (["b"], {"b": ("c",), "c": ("d",)}, None),
        (["b", "c"], {"b": ("d",), "c": ("d",), "d": ("e",)}, None),
        (["x", "b"], {"x": ("y",), "b": ("a",)}, ["a", "b", "a"]),
        (["b"], {"b": ("c",), "c": ("b",)}, None),  # a cycle, but not through the one written
        (["b"], {"a": ("z",), "b": ()}, None),  # what it asked before does not count
    ],
)
def test_a_cycle_is_found_with_its_path(
    asks: list[str], uses: dict[str, tuple[str, ...]], cycle: list[str] | None
) -> None:
    assert cycle_through("a", asks, uses) == cycle


def test_a_long_chain_needs_no_deep_stack() -> None:
    uses = {str(number): (str(number + 1),) for number in range(20_000)}
    uses["20000"] = ("a",)
    cycle = cycle_through("a", ["0"], uses)
    assert cycle is not None
    assert len(cycle) == 20_003


def test_dependents_are_those_that_ask() -> None:
    uses = {"x": ("a", "b"), "y": ("b",), "a": ("a",), "w": ("a",)}
    assert dependents_of("a", uses) == ["w", "x"]
