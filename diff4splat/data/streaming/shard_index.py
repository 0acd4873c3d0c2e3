"""The index of a folder of shards: a row of a Parquet table per clip, and where the clip lies."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diff4splat.data.stages.item import Value
from diff4splat.data.streaming.sample import check_metric
from diff4splat.files import atomic_path

__all__ = ["INDEX", "METRIC", "index_row", "read_index", "write_index"]

INDEX = "index.parquet"
"""Name of the index in a folder of shards."""
METRIC = "metric_"
"""What names of columns begin with that hold what was measured."""

_FORMAT = "diff4splat shards 1"
_WORDS = ("uid", "dataset", "scene", "licence", "caption", "name")
_COUNTS = ("frames", "height", "width")
_PLACES = ("shard", "offset", "size", "sha256")
COLUMNS = (*_WORDS, *_COUNTS, "fps", "unit", "static", "holds", "video", "tracks", "depth_error", *_PLACES)


def index_row(
    words: Mapping[str, Any],
    metrics: Mapping[str, Value] | None = None,
    *,
    shard: str,
    offset: int,
    size: int,
    sha256: str,
) -> dict[str, Any]:
    """The row of a clip.

    Args:
        words: What its sample says, from `sample_words`.
        metrics: What was measured beside what the sample says itself.
        shard: Name of the file.
        offset: Where the clip starts in it, bytes.
        size: How long it is there, with headers, bytes.
        sha256: Hash of these bytes.

    Returns:
        Values by name of the column.

    Raises:
        ValueError: If the words lack something, or a metric is of a type that has no column.
    """
    try:
        row = {name: words[name] for name in (*_WORDS, *_COUNTS, "fps", "unit", "static", "video", "tracks")}
        row["holds"] = sorted(words["holds"])
        row["depth_error"] = None if words["depth"] is None else words["depth"]["error"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"json of a sample lacks {error}.") from error
    row |= {"shard": shard, "offset": offset, "size": size, "sha256": sha256}
    measured = {**words["metrics"], **(metrics or {})}
    row |= {f"{METRIC}{name}": check_metric(name, value) for name, value in measured.items()}
    return {name: _as_utf8(value) if isinstance(value, str) else value for name, value in row.items()}


def write_index(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the index, whole or not at all; equal rows give equal bytes.

    Args:
        folder: Where the shards are.
        rows: Rows in the order of shards and places.

    Raises:
        ImportError: If pyarrow is missing.
        OSError: If it cannot be written.
    """
    arrow, parquet = _pyarrow()
    text, whole, real = arrow.string(), arrow.int64(), arrow.float64()
    types: dict[str, Any] = dict.fromkeys(COLUMNS, text)
    types |= dict.fromkeys((*_COUNTS, "tracks", "offset", "size"), whole)
    types |= {"fps": real, "depth_error": real, "static": arrow.bool_(), "holds": arrow.list_(text)}
    metrics = sorted({name for row in rows for name in row if name not in types})
    kinds = {bool: arrow.bool_(), int: whole, float: real, str: text}
    columns = {name: [row.get(name) for row in rows] for name in (*COLUMNS, *metrics)}
    for name in metrics:
        columns[name] = _alike(columns[name])
        types[name] = kinds[next((type(value) for value in columns[name] if value is not None), float)]
    schema = arrow.schema(list(types.items()), metadata={"format": _FORMAT})
    with atomic_path(folder / INDEX) as temporary:
        parquet.write_table(arrow.table(columns, schema=schema), temporary, compression="zstd")


def read_index(folder: Path) -> Any:
    """The index of a folder as a table of pyarrow.

    Args:
        folder: Where the shards are.

    Returns:
        A `pyarrow.Table`.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If it is damaged, or none of shards.
        ImportError: If pyarrow is missing.
    """
    arrow, parquet = _pyarrow()
    file = folder / INDEX
    if not file.is_file():
        raise FileNotFoundError(f"{folder} has no {INDEX}: index_shards(folder) makes it from the shards.")
    try:
        table = parquet.read_table(file, use_threads=False)
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{file} is no readable index: {error}") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise ValueError(f"{file} must have the columns of an index of shards, lacks {', '.join(missing)}.")
    return table


def _as_utf8(text: str) -> str:
    """Text as Parquet keeps it: "?" for what names of files may hold and Unicode does not."""
    return text.encode("utf-8", "replace").decode()


def _alike(values: Sequence[Value]) -> list[Value]:
    """Values of one type: numbers as float where some are, other mixtures as JSON text; NaN is nothing."""
    cleaned = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    known = [value for value in cleaned if value is not None]
    kinds = {type(value) for value in known}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in cleaned]
    if len(kinds) > 1 or any(type(value) is int and abs(value) >= 1 << 63 for value in known):
        return [None if value is None else json.dumps(value) for value in cleaned]
    return cleaned


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ModuleNotFoundError(
            'The index of shards needs pyarrow: pip install "diff4splat[data]", or pip install pyarrow.'
        ) from error
    return pyarrow, pyarrow.parquet
