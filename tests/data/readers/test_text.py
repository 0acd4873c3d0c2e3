"""Text files and JSON, also those that cannot be opened."""

from pathlib import Path

import pytest

from diff4splat.data.readers.text import read_json, read_text, starts_with


def test_what_is_there_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a file.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": [1, 2]}')  # some editors mark UTF-8 so
    assert read_text(file) == '{"a": [1, 2]}' and read_json(file) == {"a": [1, 2]}
    assert starts_with(file, b"a", within=6) is True and starts_with(file, b"a", within=5) is False
    file.write_bytes(b"\xff 1")
    assert read_text(file) == "\ufffd 1"


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a file.json"
    assert starts_with(file, b"", within=1) is None
    for read in (read_text, read_json):
        with pytest.raises(FileNotFoundError, match="a file.json"):
            read(file)
        with pytest.raises(ValueError, match=f"^{tmp_path} is not .*readable.*directory"):
            read(tmp_path)
    for text in ("{", "\udcff", "[" * 10**5):
        file.write_text(text, errors="surrogateescape")
        with pytest.raises(ValueError, match="a file.json is not readable JSON"):
            read_json(file)
