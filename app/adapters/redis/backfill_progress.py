"""How far a definition is, from what the partitions have reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from app.adapters.redis.definition_scripts import WHOLE
from app.domain.definitions import BACKFILLING, BackfillProgress, StoredDefinition


def progress_of(since: int, reports: Mapping[bytes, bytes]) -> BackfillProgress | None:
    """Return how far the profiles have been brought to a version of a definition.

    Args:
        since: Catalogue number that brought the version.
        reports: What `ControlKeys.backfill` names.

    Returns:
        None where no worker has reported yet.
    """
    partitions = int(reports.get(b"partitions", 0))
    if not partitions:
        return None
    done, scanned = 0, 0
    for partition in range(partitions):
        report = reports.get(str(partition).encode())
        completed, scanning, share = orjson.loads(report) if report else (0, 0, 0)
        if completed >= since:
            done += 1
            scanned += WHOLE
        elif scanning >= since:
            scanned += share
    percent = 100 * scanned // (WHOLE * partitions)
    return BackfillProgress(done, partitions, percent)


def with_progress(
    definition: StoredDefinition, number: bytes | None, reports: Mapping[bytes, bytes]
) -> StoredDefinition:
    """Return a definition with how far it is, if it is `BACKFILLING`.

    Args:
        definition: In its state.
        number: Of the catalogue that brought its version.
        reports: What `ControlKeys.backfill` names.
    """
    if definition.state != BACKFILLING:
        return definition
    return replace(definition, progress=progress_of(int(number or 0), reports))
