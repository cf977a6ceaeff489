"""How many examples the properties of the language take."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

WHOLE_GRAMMAR: Final = max(500, settings().max_examples)
"""Of what holds for every expression; all other properties take what the profile says."""
