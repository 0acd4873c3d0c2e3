"""An evaluation on disk: rows as Parquet and CSV, features as npz, and one JSON that holds them together."""

import csv
import hashlib
import io
import json
import math
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.evaluation.protocol.scores import ClipFeatureSet, Evaluation, Score, SetScore
from diff4splat.files import atomic_path

__all__ = ["SavedEvaluation", "load_evaluation", "save_evaluation"]

_FORMAT, _VERSION = "diff4splat-evaluation", 1
_MAIN, _SCORES, _SET_SCORES, _PARQUET = "evaluation.json", "scores.csv", "set_scores.csv", "scores.parquet"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class SavedEvaluation:
    """What was written of an evaluation.

    Args:
        files: The files.
        note: What could not be written and why, in words; empty if nothing.
    """

    files: tuple[Path, ...]
    note: str = ""


def save_evaluation(evaluation: Evaluation, folder: str | os.PathLike[str]) -> SavedEvaluation:
    """Write an evaluation so that `load_evaluation` gives back the same numbers, bit for bit.

    `scores.csv` and `scores.parquet` have a row per clip and metric with the fields of `Score`;
    `set_scores.csv` one per metric of the set with those of `SetScore`. A number that could not be measured
    is an empty cell, and the problem says why. In CSV a text that a spreadsheet would take for a formula, or
    that begins with an apostrophe, gets an apostrophe before it. `features/<spec key>.npz` holds `clips`,
    `features`, `reference_clips` and `reference_features`, float32 or float64. `evaluation.json` holds the
    rest, the versions of what was used, and the sha256 of the other files but the Parquet one; it is written
    last. Each file is written whole or not at all; an evaluation that was there before is replaced.

    Args:
        evaluation: What was measured.
        folder: Where to write; made if needed.

    Returns:
        The files. Without pyarrow there is no `scores.parquet`, and the note says so.

    Raises:
        ValueError: If clips, rows, specs or features do not belong together, a number is NaN without a
            problem, or facts are not JSON values.
        OSError: If the folder cannot be written, for instance on a full disk.
    """
    _check(evaluation)
    contents = {
        _SCORES: _to_csv(Score, evaluation.scores),
        _SET_SCORES: _to_csv(SetScore, evaluation.set_scores),
    }
    for key in sorted({*evaluation.features, *evaluation.references}):
        contents[f"features/{key}.npz"] = _to_npz(evaluation, key)
    main = {
        "format": _FORMAT,
        "version": _VERSION,
        "method": evaluation.method,
        "manifest": evaluation.manifest,
        "clips": list(evaluation.clips),
        "extractors": {key: asdict(spec) for key, spec in evaluation.extractors.items()},
        "facts": dict(evaluation.facts),
        "versions": _versions(),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    try:
        text = json.dumps(main, indent=1) + "\n"  # ASCII, with NaN and Infinity as Python reads them
    except (TypeError, ValueError) as error:
        raise ValueError(f"facts must be JSON values, but {error}.") from error
    folder = Path(folder)
    (folder / "features").mkdir(parents=True, exist_ok=True)
    note = _write_parquet(evaluation.scores, folder / _PARQUET)
    for name, content in (contents | {_MAIN: text.encode()}).items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
    for file in (folder / "features").glob("*.npz"):
        if _KEY.fullmatch(file.stem) and f"features/{file.name}" not in contents:
            file.unlink()  # of the evaluation that was here before
    names = [_MAIN, *contents, *([] if note else [_PARQUET])]
    return SavedEvaluation(tuple(folder / name for name in names), note)


def load_evaluation(folder: str | os.PathLike[str]) -> Evaluation:
    """Read what `save_evaluation` wrote; `scores.parquet` is for other programs and not needed.

    Args:
        folder: The folder.

    Returns:
        The same evaluation.

    Raises:
        FileNotFoundError: If the folder has no `evaluation.json`, or one of the files it tells of is missing.
        ValueError: If a file is damaged, was changed, or does not belong to the others; names it.
    """
    folder = Path(folder)
    main_file = folder / _MAIN
    if not main_file.is_file():
        raise FileNotFoundError(f"no such file: {main_file}")
    main = _read_main(main_file)
    contents = {name: _read_file(folder, name, digest) for name, digest in main["files"].items()}
    features: dict[str, ClipFeatureSet] = {}
    references: dict[str, ClipFeatureSet] = {}
    for name, content in contents.items():
        if name.startswith("features/"):
            key = Path(name).stem
            own, real = _from_npz(folder / name, content)
            features |= {} if own is None else {key: own}
            references |= {} if real is None else {key: real}
    try:
        evaluation = Evaluation(
            method=main["method"],
            manifest=main["manifest"],
            clips=tuple(main["clips"]),
            scores=tuple(_from_csv(Score, folder / _SCORES, contents[_SCORES])),
            set_scores=tuple(_from_csv(SetScore, folder / _SET_SCORES, contents[_SET_SCORES])),
            extractors={key: ExtractorSpec(**spec) for key, spec in main["extractors"].items()},
            features=features,
            references=references,
            facts=main["facts"],
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"{main_file} is not a readable evaluation: {error}") from error
    try:
        _check(evaluation)
    except ValueError as error:
        raise ValueError(f"{main_file} and the files beside it do not belong together: {error}") from error
    return evaluation


def _check(evaluation: Evaluation) -> None:
    """Refuse what does not belong together."""
    clips = set(evaluation.clips)
    if len(clips) < len(evaluation.clips):
        raise ValueError("clips must be named once each.")
    for key, spec in evaluation.extractors.items():
        if spec.key != key:
            raise ValueError(f"extractors must have the keys of their specs, got {key} for {spec.key}.")
    known = {"", *evaluation.extractors}
    seen: set[tuple[str, str, str]] = set()
    rows: tuple[Score | SetScore, ...] = (*evaluation.scores, *evaluation.set_scores)
    for score in rows:
        clip = score.clip if isinstance(score, Score) else ""
        row = f"row {score.metric!r} of " + (f"clip {clip!r}" if clip else "the set")
        if isinstance(score, Score) and clip not in clips:
            raise ValueError(f"{row} must be of a clip that was asked for.")
        if score.extractor not in known:
            raise ValueError(f"{row} must have a known extractor, got {score.extractor!r}.")
        if math.isnan(score.value) != bool(score.problem):
            raise ValueError(
                f"{row} must have a number or a problem, got {score.value} and {score.problem!r}."
            )
        if (clip, score.metric, score.extractor) in seen:
            raise ValueError(f"{row} must be there once, got it twice.")
        seen.add((clip, score.metric, score.extractor))
    for name, sets in (("features", evaluation.features), ("references", evaluation.references)):
        for key, found in sets.items():
            if key not in evaluation.extractors or not _KEY.fullmatch(key):
                raise ValueError(f"{name} must be by key of a spec, got {key!r}.")
            if len(found.clips) != len(found.features) or len(set(found.clips)) < len(found.clips):
                count = f"{len(found.clips)} clips and {len(found.features)} vectors"
                raise ValueError(f"{name} of {key} must be one vector per clip, each clip once, got {count}.")
    for key, found in evaluation.features.items():
        if not set(found.clips) <= clips:
            raise ValueError(f"features of {key} must be of clips that were asked for.")


def _to_csv(kind: type, rows: Iterable[Any]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    names = [field.name for field in fields(kind)]
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return file.getvalue().encode()


def _cell(value: str | float | int) -> str:
    if isinstance(value, str):
        value = _encodable(value)
        return f"'{value}" if value.startswith((*_FORMULA, "'")) else value
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else repr(float(value))  # which may be of NumPy


def _from_csv(kind: type, file: Path, content: bytes) -> Iterable[Any]:
    try:
        rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
        names = [field.name for field in fields(kind)]
        if not rows or rows[0] != names:
            raise ValueError(f"columns must be {', '.join(names)}, got {rows[:1]}.")
        types = [field.type for field in fields(kind)]
        return [
            kind(**{name: _value(cell, of) for name, cell, of in zip(names, row, types, strict=True)})
            for row in rows[1:]
        ]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{file} is not a readable table of scores: {error}") from error


def _value(cell: str, kind: Any) -> str | float | int:
    if kind is float:
        return float(cell) if cell else math.nan
    if kind is int:
        return int(cell)
    return cell.removeprefix("'")


def _encodable(text: str) -> str:
    """A text with a mark for each half of a pair of UTF-16, which names of broken files hold."""
    return (
        text.encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


def _write_parquet(scores: Sequence[Score], path: Path) -> str:
    """Write the rows, or say why that is not possible, with nothing left of an older table."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        path.unlink(missing_ok=True)
        return f'{path.name} is left out, as it needs pyarrow: pip install "diff4splat[evaluation]".'
    names = [field.name for field in fields(Score)]
    columns = {name: [getattr(score, name) for score in scores] for name in names}
    columns["value"] = [None if math.isnan(value) else float(value) for value in columns["value"]]
    arrays = {
        name: pyarrow.array(values, pyarrow.float64())
        if name == "value"
        else pyarrow.array(map(_encodable, values), pyarrow.string())
        for name, values in columns.items()
    }
    with atomic_path(path) as temporary:
        parquet.write_table(pyarrow.table(arrays), temporary, compression="zstd")
    return ""


def _to_npz(evaluation: Evaluation, key: str) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    for start, sets in (("", evaluation.features), ("reference_", evaluation.references)):
        if key in sets:
            values = sets[key].features.detach().cpu()
            kept = values if values.dtype == torch.float64 else values.float()  # half precision fits in
            arrays[f"{start}clips"] = np.array(sets[key].clips, dtype=np.str_)
            arrays[f"{start}features"] = kept.numpy()
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _from_npz(file: Path, content: bytes) -> tuple[ClipFeatureSet | None, ClipFeatureSet | None]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = [
                ClipFeatureSet(
                    tuple(arrays[f"{start}clips"].tolist()), torch.from_numpy(arrays[f"{start}features"])
                )
                if f"{start}features" in arrays
                else None
                for start in ("", "reference_")
            ]
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise ValueError(f"{file} holds no readable features: {error}") from error
    return found[0], found[1]


def _read_main(file: Path) -> dict[str, Any]:
    try:
        main = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(main, dict) or main.get("format") != _FORMAT or main.get("version") != _VERSION:
        got = [main.get("format"), main.get("version")] if isinstance(main, dict) else type(main).__name__
        raise ValueError(f"{file} must be of format {_FORMAT}, version {_VERSION}, got {got}.")
    kinds: Mapping[str, type] = {
        "method": str, "manifest": str, "clips": list, "extractors": dict, "facts": dict, "files": dict
    }  # fmt: skip
    for name, kind in kinds.items():
        if not isinstance(main.get(name), kind):
            raise ValueError(f"{file} must have {name} as a {kind.__name__}, got {main.get(name)!r:.80}.")
    names = [name for name in main["files"] if name not in (_SCORES, _SET_SCORES)]
    wrong = [name for name in names if not re.fullmatch(r"features/[0-9a-f]{16}\.npz", name)]
    if wrong or len(main["files"]) - len(names) != 2:
        raise ValueError(
            f"{file} must tell of {_SCORES}, {_SET_SCORES} and features, got {sorted(main['files'])}."
        )
    return main


def _read_file(folder: Path, name: str, digest: str) -> bytes:
    file = folder / name
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}, of which {folder / _MAIN} tells.")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{file} must be as it was written, got one that was changed or is of another run.")
    return content


def _versions() -> dict[str, str]:
    import diff4splat

    return {
        "diff4splat": diff4splat.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
