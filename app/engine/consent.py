"""General opt-outs: profiles that a definition with `excludeOptOut` leaves out.

Source: PQL reference, consent. Other consents are asked in the expression itself.
"""

from __future__ import annotations

from typing import Final

from app.engine.compiler import compile_test
from app.engine.frame import Frame
from app.pql import ast
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.parser import parse

PATH: Final = "privacyOptOuts"
"""The attribute that holds the opt-outs of a profile."""

_CHECKED = check(
    parse(f'{PATH}[optOutType = "general_opt_out" and optOutValue = "out"].count() > 0')
).expr
assert _CHECKED is not None
# It stands nowhere in the text of the definition that it is joined with.
_OPT_OUT: Final[Expr] = ast.unplaced(_CHECKED)
_has_opted_out = compile_test(_OPT_OUT)


def with_consent(expr: Expr) -> Expr:
    """Return a resolved expression as it holds where the policy `excludeOptOut` is in force."""
    return ast.And((expr, ast.Not(_OPT_OUT)))


def has_consented(frame: Frame) -> bool:
    """Tell whether the profile did not opt out of everything."""
    return PATH not in frame.attributes or not _has_opted_out(frame)
