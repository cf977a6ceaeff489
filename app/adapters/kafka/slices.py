"""What a partition looks at in a batch: after a change of definitions, or for a segment job.

One slice joins a batch, and where both kinds wait they take turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.adapters.kafka.owner import Owner
from app.adapters.kafka.scanning import Scanning
from app.adapters.kafka.work import Work
from app.adapters.redis.keys import sample_hash
from app.domain.model import ProfileKey
from app.service.backfill import HASHES
from app.service.job_scan import is_job
from app.service.job_tally import Place


def next_slice(owner: Owner, scanning: Scanning, work: Work) -> None:
    """Put the next slice of a partition into a batch, if there is any."""
    scan = None
    if _is_job_next(owner):
        found = owner.jobs.next(HASHES, owner.suspicion.profiles)
        if found is not None:
            scan, work.tally = found
    if scan is None:
        scan = owner.backfill.next(HASHES, owner.suspicion.profiles)
    if scan is not None:
        work.scan = replace(scan, limit=min(scan.limit, scanning.limit_of(scan.tag)))
    owner.is_job_next = work.tally is None


def _is_job_next(owner: Owner) -> bool:
    if not (owner.jobs.is_waiting and owner.backfill.is_waiting):
        return owner.jobs.is_waiting
    searched = owner.suspicion.profiles.searched
    # A slice of the other kind would end the search for what the engine failed on.
    return owner.is_job_next if searched is None else is_job(searched)


def begin_tally(owner: Owner, work: Work, now_ms: int) -> None:
    """Tell the tally of a batch where it is."""
    if work.tally is not None:
        work.tally.begin(Place(owner.partition, owner.epoch, work.end, now_ms))


def set_scanned(owner: Owner, work: Work, keys: list[ProfileKey], following: int | None) -> None:
    """Add the profiles of its slice to a batch, but for those that the engine failed on."""
    work.looked = len(keys)
    work.following = following
    bad = owner.suspicion.profiles.bad
    wanted = [key for key in keys if key not in bad]
    if work.tally is not None:
        work.found = keys
        work.tally.set_keys(keys, wanted)
    else:
        work.scanned = wanted


def cut_slice(work: Work, sizes: Mapping[ProfileKey, int]) -> None:
    """Shorten the slice of a job to the bytes that it may have.

    Profiles whose ids have one hash stay together: the next slice begins with a hash.
    """
    tally = work.tally
    assert tally is not None
    taken, last = 0, -1
    for place, key in enumerate(work.found):
        at = sample_hash(key.profile_id)
        size = sizes.get(key, 0)
        if taken + size > tally.most_bytes and at != last and place:
            work.following, work.found = at, work.found[:place]
            work.looked = place
            tally.set_keys(work.found, [key for key in work.found if key in sizes])
            return
        taken, last = taken + size, at
