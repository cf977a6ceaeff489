"""Which slot of a frame holds which item or variable."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Scope:
    """Names in sight at one place of an expression; made when compiling, never at run time.

    Attributes:
        items: Slots of the enclosing items, outermost first.
        variables: Slot by variable name.
        size: Slots in use.
    """

    items: tuple[int, ...] = ()
    variables: dict[str, int] = field(default_factory=dict)
    size: int = 0

    def with_item(self) -> Scope:
        """Return the scope inside one more item."""
        return Scope((*self.items, self.size), self.variables, self.size + 1)

    def with_variable(self, name: str) -> Scope:
        """Return the scope with one more variable."""
        return Scope(self.items, {**self.variables, name: self.size}, self.size + 1)

    def item_slot(self, depth: int) -> int:
        """Return the slot of the item `depth` scopes out."""
        return self.items[-1 - depth]

    def variable_slot(self, name: str) -> int:
        """Return the slot of a variable."""
        return self.variables[name]
