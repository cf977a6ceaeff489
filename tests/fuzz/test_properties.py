"""The inputs that fuzzing begins with, changes to them, and edges of the language."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.inputs import changed, seeds
from tests.fuzz.properties import hold


def test_seeds_and_changes_to_them_hold() -> None:
    rng = random.Random(1)
    for number, seed in enumerate(seeds()):
        hold(seed)
        if number % 2:
            hold(changed(seed, rng))


@pytest.mark.parametrize(
    "found", [b"", b"\xff", b"{", b'{"nodeType": 1}', b"over = 1 or sum x", b"sum x + over"]
)
def test_edges_hold(found: bytes) -> None:
    hold(found)
