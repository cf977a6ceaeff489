"""Data sets in folders and object stores, through fsspec.

An export stages its files in `_staging/<batch id>/<batch id>/`; readers pass over names with an
underscore. Once all are there, each batch becomes `<batch id>/`, of which `_manifest.json` comes
last: a batch without it is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from app.adapters.datasets.locations import Location
from app.domain.errors import UserError
from app.domain.exports import DatasetFile, ExportTask

if TYPE_CHECKING:
    from app.adapters.datasets.parquet import ParquetParts

MANIFEST = "_manifest.json"
_STAGING = "_staging"


class FileDatasets:
    """Implements `app.domain.exports.Datasets`."""

    def __init__(self, locations: Mapping[str, Location]) -> None:
        self._locations = locations

    def writer(self, task: ExportTask, partition: int) -> ParquetParts:
        """Return a writer for a partition's parts."""
        # Only those who write pay for the library.
        from app.adapters.datasets.parquet import ParquetParts

        fs, root = self._open(task.dataset_id)
        # A reader of a batch without members finds the columns all the same.
        always = task.batch_ids if partition == 0 else ()
        return ParquetParts(fs, f"{root}/{_STAGING}/{task.batch_id}", partition, always)

    def publish(
        self, task: ExportTask, files: Sequence[DatasetFile], about: Mapping[str, Any]
    ) -> None:
        """Let readers see the batches of an export, whole; may be repeated."""
        fs, root = self._open(task.dataset_id)
        staged = f"{root}/{_STAGING}/{task.batch_id}"
        for batch_id in task.batch_ids:
            mine = sorted(
                (one for one in files if one.batch_id == batch_id), key=lambda one: one.name
            )
            manifest = orjson.dumps(_manifest(task, batch_id, mine, about), option=_PRETTY)
            _publish_batch(fs, f"{staged}/{batch_id}", f"{root}/{batch_id}", mine, manifest)
        self.discard(task.dataset_id, task.batch_id)

    def discard(self, dataset_id: str, batch_id: str) -> None:
        """Remove what an export has staged."""
        fs, root = self._open(dataset_id)
        with suppress(FileNotFoundError):
            fs.rm(f"{root}/{_STAGING}/{batch_id}", recursive=True)
        with suppress(OSError):
            # Goes where it is empty; object stores have no folders.
            fs.rmdir(f"{root}/{_STAGING}")

    def _open(self, dataset_id: str) -> tuple[Any, str]:
        location = self._locations.get(dataset_id)
        if location is None:
            raise UserError(
                f"there is no data set {dataset_id!r}; SEG_DATASETS names"
                f" {', '.join(sorted(self._locations)) or 'none'}",
                code="dataset-unknown",
            )
        return location.open()


_PRETTY = orjson.OPT_INDENT_2


def _manifest(
    task: ExportTask, batch_id: str, files: Sequence[DatasetFile], about: Mapping[str, Any]
) -> dict[str, Any]:
    segments = [one for one in task.segments if one.batch_id in ("", batch_id)]
    return {
        **about,
        "datasetId": task.dataset_id,
        "batchId": batch_id,
        "segments": [
            {"segmentNs": one.namespace, "segmentId": one.segment_id, "status": one.statuses}
            for one in segments
        ],
        "rows": sum(one.rows for one in files),
        "files": [
            {
                "name": one.name,
                "partition": one.partition,
                "rows": one.rows,
                "bytes": one.bytes,
                "sha256": one.sha256,
            }
            for one in files
        ],
    }


def _publish_batch(
    fs: Any, staged: str, target: str, files: Sequence[DatasetFile], manifest: bytes
) -> None:
    # Another process may have been at it since this one looked.
    fs.invalidate_cache()
    if fs.exists(f"{target}/{MANIFEST}"):
        return
    fs.makedirs(target, exist_ok=True)
    for one in files:
        final = f"{target}/{one.name}"
        # Published before by somebody who did not come to the manifest.
        if not (fs.exists(final) and fs.size(final) == one.bytes):
            fs.copy(f"{staged}/{one.name}", final)
    # Written aside and moved: a reader never sees a part of it. An object is put whole.
    aside = f"{target}/{MANIFEST}.new"
    with fs.open(aside, "wb") as file:
        file.write(manifest)
    fs.mv(aside, f"{target}/{MANIFEST}")
