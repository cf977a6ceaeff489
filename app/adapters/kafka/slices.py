"""What a partition looks at in a batch: after a change of definitions, or for a segment job.

One slice joins a batch, and where both kinds wait they take turns.
"""

from __future__ import annotations

from dataclasses import replace

from app.adapters.kafka.owner import Owner
from app.adapters.kafka.scanning import Scanning
from app.adapters.kafka.work import Work
from app.service.backfill import HASHES
from app.service.job_scan import is_job


def next_slice(owner: Owner, scanning: Scanning, work: Work) -> None:
    """Put the next slice of a partition into a batch, if there is any."""
    scan = None
    if _is_job_next(owner):
        found = owner.jobs.next(HASHES, owner.suspects)
        if found is not None:
            scan, work.tally = found
    if scan is None:
        scan = owner.backfill.next(HASHES, owner.suspects)
    if scan is not None:
        work.scan = replace(scan, limit=min(scan.limit, scanning.limit_of(scan.tag)))
    owner.is_job_next = work.tally is None


def _is_job_next(owner: Owner) -> bool:
    if not (owner.jobs.is_waiting and owner.backfill.is_waiting):
        return owner.jobs.is_waiting
    searched = owner.suspects.searched
    # A slice of the other kind would end the search for what the engine failed on.
    return owner.is_job_next if searched is None else is_job(searched)
