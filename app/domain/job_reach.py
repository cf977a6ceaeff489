"""How far a job that is being done has come, within partitions too.

Each slice leaves a small field beside the cursor and the counts, in the same write; whoever reads a
job reads these, and not the counts, which may be large.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.model import Tenant


@dataclass(frozen=True, slots=True)
class JobReach:
    """How far a job is in all partitions.

    Attributes:
        percent: Of all profiles, below 100 until the last partition is done.
        profiles: Looked at so far, with those that could not be evaluated or exported.
    """

    partitions_done: int
    partitions: int
    percent: int
    profiles: int


def reach_field(tenant: Tenant) -> str:
    """Return the field of a partition's hash."""
    return f"job-reach:{tenant.org_id}/{tenant.sandbox_name}"


def reach_text(job_id: str, share: float | None, profiles: int) -> str:
    """Return the value of the field.

    Args:
        job_id: The job that was looked at last.
        share: Of the partition's profiles, below 1; None once all were looked at.
        profiles: Looked at in the partition.
    """
    return json.dumps([job_id, share, profiles])


def reach_of(job_id: str, texts: Sequence[str | bytes | None]) -> JobReach:
    """Return how far a job is, from the fields of all partitions."""
    rows = [json.loads(text) for text in texts if text is not None]
    mine = [(share, profiles) for name, share, profiles in rows if name == job_id]
    done = sum(share is None for share, _ in mine)
    shares = done + sum(share for share, _ in mine if share is not None)
    percent = 100 if done == len(texts) else min(int(100 * shares / len(texts)), 99)
    return JobReach(done, len(texts), percent, sum(profiles for _, profiles in mine))
