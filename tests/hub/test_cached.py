"""What the Hub cache holds, as its files lie there."""

from pathlib import Path

import pytest

from diff4splat.hub import cached_folder, cached_weights_bytes


def test_cached_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert cached_folder("some/model") is None and cached_weights_bytes("some/model") == 0
    home, commit = tmp_path / "models--some--model", "a" * 40
    folder = home / "snapshots" / commit
    (folder / "part").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    for name, size in (("a.safetensors", 5), ("part/b.safetensors", 7), ("c.json", 11), ("d.pth", 13)):
        (folder / name).write_bytes(bytes(size))
    (folder / "broken.safetensors").symlink_to(tmp_path / "blob that is not there")
    assert cached_folder("some/model") == cached_folder("some/model", revision=commit) == folder
    assert cached_folder("some/model", revision="dev") is None
    assert cached_weights_bytes("some/model") == 5 + 7 + 13
    assert cached_weights_bytes("some/model", pattern="b*") == 7
