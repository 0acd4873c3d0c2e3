"""Logs of a run: files of JSON objects, one in a line, that processes add to and may be killed at."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["add_record", "losses_of", "read_records"]


def add_record(path: Path, record: Mapping[str, Any]) -> None:
    """Add a line.

    Args:
        path: The file, made if needed, in a folder that is there.
        record: What JSON can hold.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """All lines.

    Args:
        path: The file.

    Returns:
        One dictionary per line; none where there is no file. Half a line, of a process that was killed, is
        left out.
    """
    path, records = Path(path), []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with contextlib.suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return records


def losses_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a line of a stage's log.jsonl measured.

    Args:
        record: The line.

    Returns:
        It without step, seconds and rate.
    """
    return {name: value for name, value in record.items() if name not in ("step", "seconds", "rate")}
