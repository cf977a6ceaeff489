"""Rows of files, one after the other: CSV, JSON lines, Parquet. Blocking: for a thread.

What is in memory is bounded: a line, or a batch of a Parquet row group.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import IO, Any

import orjson

from app.service.import_rows import BadRow
from app.service.import_sources import SourceProblem

Row = Mapping[str, object] | BadRow

MAX_LINE_CHARACTERS = 1_048_576
_PARQUET_ROWS = 1_000
_FORMATS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
_COMPRESSED = ".gz"


def format_of(path: str) -> str | None:
    """Return `csv`, `json` or `parquet` by the end of a path; None for another."""
    name = path.rpartition("/")[2].casefold()
    plain = name.removesuffix(_COMPRESSED)
    found = _FORMATS.get(plain[plain.rfind(".") :]) if "." in plain else None
    return None if found == "parquet" and plain != name else found


def is_compressed(path: str) -> bool:
    """Tell by the end of a path whether a file is gzip."""
    return path.casefold().endswith(_COMPRESSED)


def rows_of(file: IO[bytes], path: str, columns: Sequence[str]) -> Generator[Row]:
    """Yield the rows of an open file.

    Args:
        file: Decompressed.
        path: Its end says the format.
        columns: Those that are read; CSV and Parquet must have them all.

    Raises:
        SourceProblem: The file as a whole cannot be read.
    """
    readers = {"csv": _csv_rows, "json": _json_rows, "parquet": _parquet_rows}
    kind = format_of(path)
    if kind is None:
        raise SourceProblem(
            f"{path} has no known format: let it end in .csv, .jsonl, .ndjson, .json or .parquet,"
            " text also with .gz"
        )
    return readers[kind](file, path, columns)


def _csv_rows(file: IO[bytes], path: str, columns: Sequence[str]) -> Generator[Row]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _csv_values(text, path, columns)
    finally:
        # Whoever opened the file closes it.
        text.detach()


def _csv_values(text: io.TextIOWrapper, path: str, columns: Sequence[str]) -> Generator[Row]:
    reader = csv.reader(_bounded_lines(text, path), strict=True)
    header = next(reader, None)
    if header is None:
        raise SourceProblem(f"{path} is empty: its first line must name the columns")
    _check_columns(path, header, columns)
    while True:
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield BadRow(f"it is not CSV: {error}")
            continue
        if values is None:
            return
        if not values:
            # An empty line, often the last one, is no row.
            continue
        if len(values) != len(header):
            yield BadRow(f"it has {len(values)} values, the header has {len(header)}")
            continue
        yield dict(zip(header, values, strict=True))


def _bounded_lines(text: io.TextIOWrapper, path: str) -> Iterator[str]:
    while line := text.readline(MAX_LINE_CHARACTERS + 1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise SourceProblem(f"{path} has a line of more than {MAX_LINE_CHARACTERS} characters")
        yield line


def _json_rows(file: IO[bytes], path: str, columns: Sequence[str]) -> Generator[Row]:
    while line := file.readline(MAX_LINE_CHARACTERS + 1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise SourceProblem(f"{path} has a line of more than {MAX_LINE_CHARACTERS} bytes")
        if line.strip():
            yield _json_row(line)


def _json_row(line: bytes) -> Row:
    try:
        row: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return BadRow("it is not JSON: write one object a line")
    return row if isinstance(row, dict) else BadRow("it is no JSON object")


def _parquet_rows(file: IO[bytes], path: str, columns: Sequence[str]) -> Generator[Row]:
    # Only who has such files pays for the import.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        _check_columns(path, table.schema_arrow.names, columns)
        for batch in table.iter_batches(_PARQUET_ROWS, columns=list(columns), use_threads=False):
            yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise SourceProblem(f"{path} is no Parquet file that can be read") from error


def _check_columns(path: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise SourceProblem(f"{path} lacks the columns {', '.join(missing)}; it must have them all")
    twice = [name for name in wanted if found.count(name) > 1] if isinstance(found, list) else []
    if twice:
        raise SourceProblem(f"{path} has the column {twice[0]} twice")
