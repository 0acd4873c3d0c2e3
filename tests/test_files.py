import pytest
import torch
from safetensors import SafetensorError, safe_open

from diff4splat.files import atomic_folder, atomic_path, read_safetensors, write_safetensors


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        assert target.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [target]


def test_success_replaces_the_file(tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with atomic_path(str(target)) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".bin")
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [target]


def test_link_stays_a_link_and_long_names_fit(tmp_path):
    (tmp_path / "shelf").mkdir()
    target, link = tmp_path / "shelf" / ("n" * 250), tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with atomic_path(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_missing_folder_and_folder_as_target(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="folder .*none does not exist"),
        atomic_path(tmp_path / "none" / "f"),
    ):
        pass
    with pytest.raises(IsADirectoryError, match="folder"), atomic_path(tmp_path):
        pass


def test_errors_of_the_system_name_the_file_asked_for(tmp_path):
    target = tmp_path / "file.bin"
    for about in ((), ("somewhere/else",)):
        with pytest.raises(OSError) as raised, atomic_path(target) as temporary:
            raise OSError(28, "No space left on device", *about)
        assert raised.value.filename == (about[0] if about else str(target))
    with pytest.raises(PermissionError) as raised, atomic_path(target) as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert raised.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    for existing in (False, True):
        target = tmp_path / f"folder {existing}"
        if existing:
            target.mkdir()
        with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
            (temporary / "a.txt").write_text("half")
            raise RuntimeError
        assert target.exists() == existing and not list(target.glob("*"))
        with atomic_folder(target) as temporary:
            (temporary / "a.txt").write_text("whole")
            assert not (target / "a.txt").exists()
        assert (target / "a.txt").read_text() == "whole"
        with pytest.raises(ValueError, match="new or an empty folder"), atomic_folder(target):
            pass
    with pytest.raises(ValueError, match="must name a folder, got the file"), atomic_folder(target / "a.txt"):
        pass
    with (
        pytest.raises(FileNotFoundError, match="does not exist"),
        atomic_folder(tmp_path / "none" / "folder"),
    ):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder False", "folder True"]


def test_permissions_of_a_file_stay(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    target.chmod(0o600)
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o600


def test_equal_tensors_give_equal_bytes(tmp_path):
    tensors = {"b": torch.arange(5.0), "a": torch.ones(2, 3, dtype=torch.float16)}
    words = {f"key {i}": f"\u00fc {i}" for i in range(20)}
    for name in ("one", "two"):
        write_safetensors(tmp_path / name, tensors, words)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with safe_open(tmp_path / "one", framework="pt") as file:
        assert file.metadata() == words
    for name, value in read_safetensors(tmp_path / "one").items():
        assert torch.equal(value, tensors[name])


def test_a_write_that_fails_is_an_error_of_the_system(tmp_path, monkeypatch):
    def full(*arguments):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("diff4splat.files.save_file", full)
    with pytest.raises(OSError, match="No space left on device: .*a.safetensors"):
        write_safetensors(tmp_path / "a.safetensors", {"a": torch.ones(1)})
    assert list(tmp_path.iterdir()) == []
