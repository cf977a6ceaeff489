"""How strongly operators bind (PQL reference, operators and precedence): higher is tighter."""

from __future__ import annotations

from typing import Final

WHOLE: Final = 0
OR: Final = 1
AND: Final = 2
NOT: Final = 3
RELATION: Final = 4
ADD: Final = 5
MULTIPLY: Final = 6
UNARY: Final = 7
PRIMARY: Final = 8

BINARY: Final = {
    "or": OR,
    "and": AND,
    "=": RELATION,
    "!=": RELATION,
    "<": RELATION,
    "<=": RELATION,
    ">": RELATION,
    ">=": RELATION,
    "in": RELATION,
    "notIn": RELATION,
    "like": RELATION,
    "matches": RELATION,
    "occurs": RELATION,
    "+": ADD,
    "-": ADD,
    "*": MULTIPLY,
    "/": MULTIPLY,
    "%": MULTIPLY,
}
