"""Evaluations on disk: bit for bit the same after reading, and refused where files do not belong together."""

import csv
import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyarrow import parquet

from diff4splat.evaluation import Evaluation, load_evaluation, save_evaluation
from diff4splat.evaluation.extractors import ExtractorSpec
from diff4splat.evaluation.protocol import ClipFeatureSet, Score, SetScore

SPEC = ExtractorSpec("I3D", "logits", "224 x 224", "seed 3", trained=False)
OTHER = ExtractorSpec("matcher", "", "", "none")
CLIPS = ("cat/forward", "cat/closed", "dog/forward")
# Numbers that a table easily rounds: a third, the next to 1, the least, the largest, minus zero, infinity.
NUMBERS = (1 / 3, 1 + 2**-52, 5e-324, sys.float_info.max, -0.0, math.inf, -1e-7)
# Texts that a spreadsheet would run, or that a table easily breaks.
TEXTS = (
    "=1+2", "+1", "-1", "@a", "\tx", "\rx", "'", "'=1", "''", 'a "b", c', "a\r\nb\nc", "été 🐈", " a ", "a;b",
)  # fmt: skip


def evaluation(**changes: Any) -> Evaluation:
    scores = [
        Score(CLIPS[0], "cat", "forward", f"metric_{index}", number, SPEC.key)
        for index, number in enumerate(NUMBERS)
    ]
    scores += [
        Score(CLIPS[1], "cat", "closed", f"metric_{index}", math.nan, problem=text)
        for index, text in enumerate(TEXTS)
    ]
    scores.append(Score(CLIPS[2], "=dog", "'forward", "psnr", 31.25))
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(3, 5, generator=generator)
    values = {
        "method": "ours é",
        "manifest": "sha256:ab",
        "clips": CLIPS,
        "scores": tuple(scores),
        "set_scores": (
            SetScore("fvd", 1 / 7, 3, 2, SPEC.key),
            SetScore("kvd", math.nan, 3, 2, SPEC.key, "few"),
        ),
        "extractors": {SPEC.key: SPEC, OTHER.key: OTHER},
        "features": {SPEC.key: ClipFeatureSet(CLIPS, features)},
        "references": {
            SPEC.key: ClipFeatureSet(("real a", "réal b"), features[:2].double() / 3),
            OTHER.key: ClipFeatureSet((), torch.zeros(0, 7)),
        },
        "facts": {"model": "compact", "seconds": [1.5, None], "nested": {"a": True}},
    }
    return Evaluation(**(values | changes))


def same(a: Evaluation, b: Evaluation) -> bool:
    """Equal to the last bit; NaN is equal to NaN."""
    for name in ("method", "manifest", "clips", "extractors", "facts"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("scores", "set_scores"):
        ours, theirs = ([repr(asdict(row)) for row in getattr(x, name)] for x in (a, b))
        assert ours == theirs
    for name in ("features", "references"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert (
                ours[key].clips == theirs[key].clips
                and ours[key].features.dtype == theirs[key].features.dtype
            )
            assert torch.equal(ours[key].features, theirs[key].features)
    return True


def test_all_comes_back_bit_for_bit(tmp_path: Path) -> None:
    folder = tmp_path / "our scores é" / "1"
    saved = save_evaluation(evaluation(), folder)
    assert saved.note == "" and all(file.is_file() for file in saved.files)
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} == {
        "evaluation.json", "scores.csv", "set_scores.csv", "scores.parquet",
        f"features/{SPEC.key}.npz", f"features/{OTHER.key}.npz",
    }  # fmt: skip
    assert same(load_evaluation(folder), evaluation())
    empty = Evaluation("none", "", (), ())
    save_evaluation(empty, tmp_path / "empty")
    assert same(load_evaluation(tmp_path / "empty"), empty)


def test_the_tables_are_what_other_programs_read(tmp_path: Path) -> None:
    save_evaluation(evaluation(), tmp_path)
    rows = evaluation().scores
    table = parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    assert list(table[0]) == ["clip", "scene", "trajectory", "metric", "value", "extractor", "problem"]
    assert table == [asdict(row) | {"value": None if math.isnan(row.value) else row.value} for row in rows]
    with open(tmp_path / "scores.csv", encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    for cell, row in zip(cells, rows, strict=True):
        assert cell["clip"] == row.clip and cell["metric"] == row.metric
        assert cell["value"] == ("" if math.isnan(row.value) else repr(row.value))
        # a spreadsheet runs what begins so, unless an apostrophe stands before it
        texts = [value for name, value in cell.items() if name != "value"]
        assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r")) for text in texts)
    main = json.loads((tmp_path / "evaluation.json").read_text())
    assert set(main["versions"]) == {"diff4splat", "python", "torch", "numpy"}
    assert main["extractors"][SPEC.key]["name"] == "I3D"


def test_without_pyarrow_there_is_no_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_evaluation(evaluation(), tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    saved = save_evaluation(evaluation(), tmp_path)
    assert "scores.parquet is left out" in saved.note and 'pip install "diff4splat[evaluation]"' in saved.note
    assert not (tmp_path / "scores.parquet").exists(), "the one of before would tell of other scores"
    assert same(load_evaluation(tmp_path), evaluation())


def test_numbers_of_numpy_and_half_precision(tmp_path: Path) -> None:
    """repr(np.float64(0.5)) is "np.float64(0.5)", which nobody can read back."""
    score = Score("a", "a", "forward", "psnr", np.float64(0.5))
    features = {SPEC.key: ClipFeatureSet(("a",), torch.tensor([[0.5, 3.0]], dtype=torch.float16))}
    save_evaluation(
        Evaluation("m", "", ("a",), (score,), extractors={SPEC.key: SPEC}, features=features), tmp_path
    )
    loaded = load_evaluation(tmp_path)
    assert loaded.scores == (replace(score, value=0.5),) and type(loaded.scores[0].value) is float
    kept = loaded.features[SPEC.key].features
    assert kept.dtype == torch.float32 and kept.tolist() == [[0.5, 3.0]]


def test_a_new_evaluation_replaces_the_old_one(tmp_path: Path) -> None:
    save_evaluation(evaluation(), tmp_path)
    (tmp_path / "features" / "mine.npz").touch()
    less = evaluation(references={}, scores=())
    save_evaluation(less, tmp_path)
    assert same(load_evaluation(tmp_path), less)
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == [f"{SPEC.key}.npz", "mine.npz"]


def test_a_save_that_was_ended_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_evaluation(evaluation(), tmp_path)
    main = (tmp_path / "evaluation.json").read_bytes()
    save_evaluation(evaluation(scores=evaluation().scores[:3]), tmp_path)
    (tmp_path / "evaluation.json").write_bytes(main)  # as if it had been ended before the last file
    with pytest.raises(ValueError, match="scores.csv must be as it was written"):
        load_evaluation(tmp_path)


ROW = evaluation().scores[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clips": CLIPS[1:]}, "row 'metric_0' of clip 'cat/forward' must be of a clip that was asked for"),
        ({"clips": (*CLIPS, CLIPS[0])}, "clips must be named once"),
        ({"scores": (ROW, ROW)}, "'metric_0' of clip 'cat/forward' must be there once"),
        ({"scores": (replace(ROW, value=math.nan),)}, "must have a number or a problem, got nan"),
        ({"scores": (replace(ROW, problem="bad"),)}, "must have a number or a problem, got 0.33.* 'bad'"),
        (
            {"scores": (replace(ROW, extractor="0" * 16),)},
            "must have a known extractor, got '0000000000000000'",
        ),
        ({"extractors": {"0" * 16: SPEC}}, "extractors must have the keys of their specs"),
        (
            {"features": {"../../evil": ClipFeatureSet((), torch.zeros(0, 1))}},
            "features must be by key of a spec",
        ),
        ({"features": {SPEC.key: ClipFeatureSet(("x",), torch.zeros(1, 1))}}, "clips that were asked for"),
        ({"references": {SPEC.key: ClipFeatureSet(("x",), torch.zeros(2, 1))}}, "1 clips and 2 vectors"),
        ({"references": {SPEC.key: ClipFeatureSet(("x", "x"), torch.zeros(2, 1))}}, "each clip once"),
        (
            {"set_scores": (SetScore("fvd", 1.0, 3, 2, "x"),)},
            "row 'fvd' of the set must have a known extractor",
        ),
        ({"facts": {"a": torch.zeros(2)}}, "facts must be JSON values"),
    ],
)
def test_what_does_not_belong_together_is_not_written(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save_evaluation(evaluation(**changes), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="evaluation.json"):
        load_evaluation(tmp_path)
    save_evaluation(evaluation(), tmp_path)
    for name in ("scores.csv", "set_scores.csv", f"features/{SPEC.key}.npz"):
        file = tmp_path / name
        content = file.read_bytes()
        file.write_bytes(content[:-3])
        with pytest.raises(ValueError, match=f"{file.name} must be as it was written"):
            load_evaluation(tmp_path)
        file.unlink()
        with pytest.raises(FileNotFoundError, match=f"{file.name}, of which .*evaluation.json tells"):
            load_evaluation(tmp_path)
        file.write_bytes(content)
    assert same(load_evaluation(tmp_path), evaluation())
    main = json.loads((tmp_path / "evaluation.json").read_text())
    for change, message in (
        ({"version": 9}, "must be of format diff4splat-evaluation, version 1"),
        ({"clips": "cat"}, "must have clips as a list"),
        ({"clips": list(CLIPS[1:])}, "do not belong together"),
        ({"extractors": {SPEC.key: {"nam": 3}}}, "is not a readable evaluation"),
        ({"files": {}}, "must tell of scores.csv"),
        ({"files": main["files"] | {"../../etc/passwd": "x"}}, "must tell of scores.csv"),
    ):
        (tmp_path / "evaluation.json").write_text(json.dumps(main | change))
        with pytest.raises(ValueError, match=f"evaluation.json .*{message}"):
            load_evaluation(tmp_path)
    for text in ("", "[", "[]", "null"):
        (tmp_path / "evaluation.json").write_text(text)
        with pytest.raises(ValueError, match="evaluation.json"):
            load_evaluation(tmp_path)
