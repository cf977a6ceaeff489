"""Parts of a data set as Parquet files, one for each partition and batch.

All files have one schema, whatever the profiles have: what differs from profile to profile is JSON
(docs/decisions/0307).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.exports import DatasetFile, ExportRow
from app.domain.model import JsonObject

_TIME = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("profileId", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("number", pa.int64(), nullable=False),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("parts", pa.int32(), nullable=False),
        pa.field("inputOffset", pa.int64(), nullable=False),
        pa.field(
            "segments",
            pa.list_(
                pa.struct(
                    [
                        pa.field("segmentNs", pa.string()),
                        pa.field("segmentId", pa.string()),
                        pa.field("status", pa.string()),
                        pa.field("lastQualificationTime", _TIME),
                    ]
                )
            ),
            nullable=False,
        ),
        # JSON texts.
        pa.field("profile", pa.string()),
        pa.field("eventList", pa.list_(pa.string())),
    ]
)
"""Columns of every data set; docs/topics.md has the same fields as a record of the topic."""

_GROUP_BYTES = 16 * 1_048_576
"""Of all rows that wait for being written."""


class _Measured:
    """A file that counts and digests what is written to it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.bytes = 0
        self.digest = sha256()
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.digest.update(view)
        self.bytes += view.nbytes
        self._file.write(view)
        return view.nbytes

    def flush(self) -> None:
        """Left to `close`: object stores write whole parts."""

    def tell(self) -> int:
        return self.bytes

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._file.close()


@dataclass(slots=True)
class _Part:
    path: str
    name: str
    file: _Measured
    writer: pq.ParquetWriter
    rows: int = 0
    waiting: list[JsonObject] = field(default_factory=list)

    def write(self) -> None:
        if self.waiting:
            self.writer.write_batch(_record_batch(self.waiting))
            self.rows += len(self.waiting)
            self.waiting.clear()


class ParquetParts:
    """Implements `app.domain.exports.PartWriter`.

    Args:
        fs: A file system of fsspec.
        folder: Where the batches are staged, each in a folder of its own.
        batch_ids: Those that get a file even if they have no rows.
    """

    def __init__(self, fs: Any, folder: str, partition: int, batch_ids: Sequence[str]) -> None:
        self._fs = fs
        self._folder = folder
        self._partition = partition
        self._always = batch_ids
        # Two attempts at a part never share a file.
        self._name = f"part-{partition:05d}-{secrets.token_hex(4)}.parquet"
        self._parts: dict[str, _Part] = {}
        self._waiting = 0
        self._lock = threading.Lock()
        self._is_abandoned = False

    def add(self, rows: Sequence[ExportRow]) -> None:
        """Write rows, in the order of their numbers."""
        with self._lock:
            if self._is_abandoned:
                return
            for row in rows:
                for batch_id in row.batch_ids:
                    self._part(batch_id).waiting.append(row.document)
                self._waiting += len(orjson.dumps(row.document))
            if self._waiting >= _GROUP_BYTES:
                self._write()

    def close(self) -> list[DatasetFile]:
        """Finish all parts."""
        with self._lock:
            if self._is_abandoned:
                return []
            for batch_id in self._always:
                self._part(batch_id)
            self._write()
            for part in self._parts.values():
                part.writer.close()
                part.file.close()
            return [
                DatasetFile(
                    batch_id,
                    part.name,
                    self._partition,
                    part.rows,
                    part.file.bytes,
                    part.file.digest.hexdigest(),
                )
                for batch_id, part in self._parts.items()
            ]

    def abandon(self) -> None:
        """Remove what was written."""
        with self._lock:
            self._is_abandoned = True
            for part in self._parts.values():
                with suppress(Exception):
                    part.writer.close()
                with suppress(Exception):
                    part.file.close()
                with suppress(Exception):
                    self._fs.rm_file(part.path)

    def _write(self) -> None:
        for part in self._parts.values():
            part.write()
        self._waiting = 0

    def _part(self, batch_id: str) -> _Part:
        found = self._parts.get(batch_id)
        if found is None:
            folder = f"{self._folder}/{batch_id}"
            self._fs.makedirs(folder, exist_ok=True)
            path = f"{folder}/{self._name}"
            file = _Measured(self._fs.open(path, "wb"))
            writer = pq.ParquetWriter(pa.PythonFile(file, mode="w"), SCHEMA, compression="zstd")
            found = self._parts[batch_id] = _Part(path, self._name, file, writer)
        return found


def _record_batch(documents: Sequence[JsonObject]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([_columns(one) for one in documents], schema=SCHEMA)


def _columns(document: JsonObject) -> JsonObject:
    events = document.get("eventList")
    return {
        **{name: document[name] for name in _PLAIN},
        "segments": [
            {**one, "lastQualificationTime": datetime.fromisoformat(one["lastQualificationTime"])}
            for one in document["segments"]
        ],
        "profile": orjson.dumps(document["profile"]).decode() if "profile" in document else None,
        "eventList": None if events is None else [orjson.dumps(one).decode() for one in events],
    }


_PLAIN = ("profileId", "partition", "number", "part", "parts", "inputOffset")
