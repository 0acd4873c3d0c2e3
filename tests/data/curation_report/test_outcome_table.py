"""Outcomes as Parquet and CSV."""

import builtins
import csv
import math
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pyarrow import parquet

from diff4splat.data.curation_report import read_outcomes, write_outcomes, write_outcomes_csv
from diff4splat.data.stages import Outcome

OUTCOMES = [
    Outcome(
        "a",
        "kept",
        "encode",
        metrics={"error": 0.5, "count": 3, "static": True, "dataset": "spring", "mixed": 1, "void": None},
        seconds={"read": 1.25},
        key="k1",
        reused=True,
    ),
    Outcome("b", "rejected", "judge", "error is 7 px", {"error": 7, "count": -2, "mixed": "x"}),
    Outcome("=c", "failed", "read", '"quoted", <b>\nline', {"error": None, "huge": 2**70}, {"judge": 2.0}),
    Outcome("half \udcff", "kept", "encode", "", {"\udcff": "\udcff", "static": False}),
]


def test_round_trip(tmp_path: Path) -> None:
    write_outcomes(OUTCOMES, tmp_path / "clips.parquet")
    found = read_outcomes(tmp_path / "clips.parquet")
    assert found == OUTCOMES
    assert [type(row.metrics.get("error")) for row in found] == [float, int, type(None), type(None)]


def test_round_trip_of_what_is_not_finite(tmp_path: Path) -> None:
    write_outcomes([Outcome("a", "kept", "s", "", {"x": math.nan, "y": -math.inf})], tmp_path / "x.parquet")
    metrics = read_outcomes(tmp_path / "x.parquet")[0].metrics
    assert math.isnan(metrics["x"]) and metrics["y"] == -math.inf


def test_mappings_of_any_kind(tmp_path: Path) -> None:
    rows = [
        Outcome("a", "kept", "s", metrics=MappingProxyType({"x": 0.5}), seconds=MappingProxyType({"s": 2.0}))
    ]
    write_outcomes(rows, tmp_path / "x.parquet")
    assert read_outcomes(tmp_path / "x.parquet") == [Outcome("a", "kept", "s", "", {"x": 0.5}, {"s": 2.0})]


def test_round_trip_of_nothing(tmp_path: Path) -> None:
    write_outcomes([], tmp_path / "clips.parquet")
    assert read_outcomes(tmp_path / "clips.parquet") == []


def test_columns_for_queries(tmp_path: Path) -> None:
    write_outcomes(OUTCOMES, tmp_path / "clips.parquet")
    table = parquet.read_table(tmp_path / "clips.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    expected = {"error": "double", "count": "int64", "static": "bool", "mixed": "string", "huge": "double"}
    assert {name: types[f"metric.{name}"] for name in expected} == expected
    assert types["reused"] == "bool" and types["seconds.read"] == "double"
    columns = table.to_pydict()
    assert columns["uid"] == ["a", "b", "=c", "half \ufffd"]
    assert columns["reason_kind"] == ["", "error is # px", "…, <b> line", ""]
    assert columns["metric.error"] == [0.5, 7.0, None, None]
    assert columns["metric.mixed"] == ["1", "x", None, None]
    assert columns["seconds.judge"] == [None, None, 2.0, None]


def test_csv(tmp_path: Path) -> None:
    write_outcomes_csv(OUTCOMES, tmp_path / "clips.csv")
    with (tmp_path / "clips.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["uid"] for row in rows] == ["a", "b", "'=c", "half \ufffd"]  # no formula in a spreadsheet
    assert [row["metric.error"] for row in rows] == ["0.5", "7", "", ""]
    assert [row["metric.count"] for row in rows] == ["3", "-2", "", ""]  # numbers stay numbers
    assert rows[2]["reason"] == '"quoted", <b>\nline'
    assert "outcome" not in rows[0]


@pytest.mark.parametrize("write", [write_outcomes, write_outcomes_csv])
def test_refuses_other_values_and_keeps_the_old_file(write: Any, tmp_path: Path, without_shape_checker: None):
    path = tmp_path / "clips"
    path.write_text("old")
    with pytest.raises(TypeError, match=r"metric.error must be a number.*\[1\]"):
        write([Outcome("a", "kept", "s", "", {"error": [1]})], path)  # type: ignore[dict-item]
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["clips"]


def test_refuses_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_outcomes(tmp_path / "nowhere.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(ValueError, match=r"text\.parquet is not a readable table of outcomes"):
        read_outcomes(tmp_path / "text.parquet")
    import pyarrow

    parquet.write_table(pyarrow.table({"outcome": ['{"uid": "a"}']}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="other.parquet"):
        read_outcomes(tmp_path / "other.parquet")
    parquet.write_table(pyarrow.table({"name": ["a"]}), tmp_path / "third.parquet")
    with pytest.raises(ValueError, match="third.parquet"):
        read_outcomes(tmp_path / "third.parquet")


def test_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match="pip install pyarrow"):
        write_outcomes(OUTCOMES, tmp_path / "clips.parquet")
    assert list(tmp_path.iterdir()) == []
