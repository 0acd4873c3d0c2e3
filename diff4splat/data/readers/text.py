"""Text files and JSON of datasets; what is wrong with them is said with their names."""

import json
from pathlib import Path
from typing import Any

__all__ = ["read_json", "read_text", "starts_with"]


def read_text(file: Path) -> str:
    """All of a text file; bytes that are no UTF-8 are replaced.

    Args:
        file: The file.

    Returns:
        The text.

    Raises:
        ValueError: If it is there and cannot be opened; names it.
        FileNotFoundError: If it is missing.
    """
    try:
        return file.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{file} is not a readable text file: {error.strerror}") from error


def read_json(file: Path) -> Any:
    """What a JSON file holds.

    Args:
        file: The file.

    Returns:
        The value.

    Raises:
        ValueError: If it is no JSON, or is there and cannot be opened; names it.
        FileNotFoundError: If it is missing.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{file} is not readable JSON: {error}") from error


def starts_with(file: Path, words: bytes, *, within: int) -> bool | None:
    """Whether some words stand at the start of a file.

    Args:
        file: The file.
        words: What is looked for.
        within: Bytes at the start.

    Returns:
        Whether they do; None if the file cannot be opened.
    """
    try:
        with file.open("rb") as content:
            return words in content.read(within)
    except OSError:
        return None
