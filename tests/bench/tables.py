"""Tables of a report in Markdown, and rows that hold what was reached to its target."""

from __future__ import annotations

from collections.abc import Sequence

TARGET_HEAD = ("what", "target", "measured", "met")
_COUNTED = 1_000


def target(what: str, limit: float, found: float, *, least: bool = False) -> tuple[str, ...]:
    """Return a row: what, target, measured, met; the limit is the most, or the `least`."""
    is_met = found >= limit if least else found <= limit
    digits = 0 if limit >= _COUNTED else 2
    sign = "≥" if least else "≤"
    return (what, f"{sign} {limit:,}", f"{found:,.{digits}f}", "yes" if is_met else "no")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned table."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = f"| {' | '.join('-' * width for width in widths)} |"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])
