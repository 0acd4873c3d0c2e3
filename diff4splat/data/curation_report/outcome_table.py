"""Outcomes as a table on disk: Parquet for programs, CSV for people without it."""

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from diff4splat.data.curation_report.summary import kind_of
from diff4splat.data.stages.item import Outcome, Value
from diff4splat.files import atomic_path

__all__ = ["read_outcomes", "write_outcomes", "write_outcomes_csv"]

_EXACT = "outcome"
_FIELDS = tuple(field.name for field in fields(Outcome))
_INT64 = 2**63
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_outcomes(outcomes: Iterable[Outcome], path: str | os.PathLike[str]) -> None:
    """Write outcomes as a Parquet table, one row for each.

    Columns: "uid", "status", "stage", "reason", "reason_kind", "key", "reused"; each metric NAME as
    "metric.NAME" and the time of each stage as "seconds.NAME"; and "outcome", all of it as JSON, which
    `read_outcomes` reads. A column of metrics is of truth values, whole numbers, numbers or texts, whichever
    holds all of its values.

    Args:
        outcomes: One for each clip.
        path: File to write; its folder must exist.

    Raises:
        ModuleNotFoundError: If pyarrow is missing.
        FileNotFoundError: If the folder does not exist.
        TypeError: If a metric is none of the values that `Outcome` may hold.
    """
    arrow = _pyarrow()
    from pyarrow import parquet

    rows = list(outcomes)
    columns = _columns(rows)
    texts = {"uid", "status", "stage", "reason", "reason_kind", "key"}
    kinds = {name: "text" if name in texts else _kind(values) for name, values in columns.items()}
    kinds["reused"] = "truth"
    arrays = {name: _array(arrow, values, kinds[name]) for name, values in columns.items()}
    arrays[_EXACT] = arrow.array([_as_json(row) for row in rows], arrow.string())
    with atomic_path(path) as temporary:
        parquet.write_table(arrow.table(arrays), temporary, compression="zstd")


def read_outcomes(path: str | os.PathLike[str]) -> list[Outcome]:
    """Read what `write_outcomes` wrote.

    Args:
        path: The Parquet file.

    Returns:
        The same outcomes, in the same order.

    Raises:
        ModuleNotFoundError: If pyarrow is missing.
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table of outcomes.
    """
    arrow = _pyarrow()
    from pyarrow import parquet

    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        table = parquet.ParquetFile(path).read(columns=[_EXACT])
        return [Outcome(**json.loads(text)) for text in table.column(_EXACT).to_pylist()]
    except (arrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a readable table of outcomes: {error}") from error


def write_outcomes_csv(outcomes: Iterable[Outcome], path: str | os.PathLike[str]) -> None:
    """Write the columns of `write_outcomes` as CSV in UTF-8, without "outcome"; empty cells are not known.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, so this table is for
    looking at; `read_outcomes` reads the other one.

    Args:
        outcomes: One for each clip.
        path: File to write; its folder must exist.

    Raises:
        FileNotFoundError: If the folder does not exist.
        TypeError: If a metric is none of the values that `Outcome` may hold.
    """
    columns = _columns(list(outcomes))
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([_cell(name) for name in columns])
        writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))


def _columns(rows: Sequence[Outcome]) -> dict[str, list[Any]]:
    """All columns but the exact one; names in the order in which they first appear."""
    columns: dict[str, list[Any]] = {
        name: [_encodable(getattr(row, name)) for row in rows]
        for name in ("uid", "status", "stage", "reason")
    }
    columns["reason_kind"] = ["" if row.status == "kept" else _encodable(kind_of(row)) for row in rows]
    columns["key"] = [_encodable(row.key) for row in rows]
    columns["reused"] = [row.reused for row in rows]
    for part, start in (("metrics", "metric."), ("seconds", "seconds.")):
        maps = [getattr(row, part) for row in rows]
        for name in dict.fromkeys(name for values in maps for name in values):
            columns[start + _encodable(name)] = [_encodable(values.get(name)) for values in maps]
    for name, values in columns.items():
        wrong = next((v for v in values if not isinstance(v, str | int | float | None)), None)
        if wrong is not None:
            raise TypeError(f"{name} must be a number, a text, a truth value or None, got {wrong!r}.")
    return columns


def _kind(values: Sequence[Value]) -> str:
    """The narrowest type that holds all values."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return "truth" if known else "number"
    if any(isinstance(value, str | bool) for value in known):
        return "text"
    whole = all(isinstance(value, int) and -_INT64 <= value < _INT64 for value in known)
    return "whole" if whole else "number"


def _array(arrow: ModuleType, values: Sequence[Value], kind: str) -> Any:
    types = {"truth": arrow.bool_, "text": arrow.string, "whole": arrow.int64, "number": arrow.float64}
    convert = {"truth": bool, "text": str, "whole": int, "number": float}[kind]
    return arrow.array([None if value is None else convert(value) for value in values], types[kind]())


def _encodable(value: Any) -> Any:
    """A text with a mark for each half of a pair of UTF-16, which names of broken files hold."""
    return (
        value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, str)
        else value
    )


def _as_json(row: Outcome) -> str:
    values = {name: getattr(row, name) for name in _FIELDS}
    values |= {name: dict(values[name]) for name in ("metrics", "seconds")}  # any mapping
    return json.dumps(values)  # ASCII, with NaN and Infinity as Python reads them


def _cell(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
    except ImportError as error:
        raise ModuleNotFoundError(
            'Tables of outcomes need pyarrow: pip install "diff4splat[data]", or pip install pyarrow.'
        ) from error
    return pyarrow
