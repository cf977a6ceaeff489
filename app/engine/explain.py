"""Why a profile is in a segment, or not: the oracle's answer, taken apart.

No I/O and no clock. Source: our decision, docs/decisions/0103.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.engine.explain_change import NextChange, next_change
from app.engine.explain_clock import Members
from app.engine.explain_events import Counted, FilledChain, counted_events, filled_chains
from app.engine.explain_flip import Flip, find_flip
from app.engine.explain_tree import Explained, TreeBuilder
from app.engine.explain_watch import ROOT, Budget, Watcher
from app.engine.oracle import Subject
from app.pql.ast import Expr

TREE_EVALUATIONS = 1_500_000
CHANGE_EVALUATIONS = 1_000_000
CHAIN_EVALUATIONS = 500_000
FLIP_EVALUATIONS = 500_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that can be said of one profile and one definition at one instant.

    Attributes:
        counted: The events that each condition on events accepted.
    """

    tree: Explained
    counted: tuple[Counted, ...]
    chains: tuple[FilledChain, ...]
    next_change: NextChange
    flip: Flip

    @property
    def qualifies(self) -> bool:
        """Whether the profile belongs to the segment."""
        return self.tree.holds


def explain(
    expr: Expr, source: str, subject: Subject, members: Members, retention_ms: int
) -> Explanation:
    """Explain the answer of the oracle.

    Args:
        expr: Resolved.
        source: What it was parsed from.
        subject: The profile at the instant; `members` takes the place of its `member_of`.
        members: The segments that it is in.
        retention_ms: From so long after an event on it is not seen.

    Raises:
        TooCostly: The tree alone takes more evaluations than one request may take.
    """
    subject = replace(subject, member_of=members)
    watcher = Watcher(subject, Budget(TREE_EVALUATIONS))
    tree = TreeBuilder(watcher, source).tree(expr, ROOT)
    return Explanation(
        tree,
        tuple(counted_events(tree, watcher.events_by_item())),
        tuple(filled_chains(tree, subject, source, Budget(CHAIN_EVALUATIONS))),
        next_change(expr, subject, members, retention_ms, Budget(CHANGE_EVALUATIONS)),
        find_flip(expr, subject, source, retention_ms, Budget(FLIP_EVALUATIONS)),
    )
