"""What a new owner of a partition has to do first: a pure decision over what both sides know.

Sequences grow by one per batch, over all epochs. Redis keeps the sequence of the last batch and of
the last one with output (its outbox); the consumer group keeps, as metadata of the offset commit,
the sequence of the last batch whose output was published (docs/decisions/0301).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """What comes before the first new batch."""

    GO_ON = "go-on"
    PUBLISH = "publish"
    LOOK = "look"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class GroupPosition:
    """What the consumer group knows of the partition.

    Attributes:
        offset: Next input offset, or None.
        epoch, sequence: Of the last published batch; both None without our metadata.
    """

    offset: int | None = None
    epoch: int | None = None
    sequence: int | None = None


def first_step(sequence: int, outbox_sequence: int | None, group: GroupPosition) -> Step:
    """Decide by sequences alone: a batch of timers changes no offset.

    Args:
        sequence: Of the last batch in Redis.
        outbox_sequence: Of the last batch with output in Redis, None where there is none.
        group: Read after the last owner was shut out.

    Returns:
        `REPLAY` where Redis lost its last writes, `LOOK` where only the output topics can tell
        whether the outbox was published, `PUBLISH` where it was not, else `GO_ON`.
    """
    if group.sequence is None:
        return Step.GO_ON if sequence == 0 else Step.LOOK
    if sequence < group.sequence:
        return Step.REPLAY
    if outbox_sequence is not None and outbox_sequence > group.sequence:
        return Step.PUBLISH
    return Step.GO_ON


def after_look(sequence: int, outbox_sequence: int | None, last_published: int) -> Step:
    """Decide for a group without metadata, from the last sequence found on the output topics."""
    known = GroupPosition(sequence=last_published)
    return first_step(sequence, outbox_sequence, known)


@dataclass(frozen=True, slots=True)
class InputStart:
    """Where to start reading, and what is gone.

    Attributes:
        offset: Next input offset to read.
        lost: Records that the topic no longer holds; 0 for none.
        reason: Empty, `below-log-start` or `above-log-end`.
    """

    offset: int
    lost: int = 0
    reason: str = ""


def input_start(offset: int | None, log_start: int, log_end: int) -> InputStart:
    """Check a stored offset against what the topic holds.

    A missing offset is a first start: the oldest record. Above the log end, the topic lost its
    tail (or was made anew): go on from its end, since what is below was applied already.
    """
    if offset is None:
        return InputStart(log_start)
    if offset < log_start:
        return InputStart(log_start, log_start - offset, "below-log-start")
    if offset > log_end:
        return InputStart(log_end, offset - log_end, "above-log-end")
    return InputStart(offset)
