import signal

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

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


def test_names_of_four_bytes_a_letter_fit(tmp_path):
    name = "\U0001f600" * 60 + ".safetensors"  # 252 of 255 bytes
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert (tmp_path / name).read_text() == "new"
    with atomic_folder(tmp_path / ("\U0001f600" * 63)) as folder:
        (folder / "file").write_text("new")
    assert len(list(tmp_path.iterdir())) == 2


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


def test_bytes_are_those_of_the_library(tmp_path):
    types = (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int16,
        torch.uint8,
        torch.bool,
    )
    tensors = {
        f"{number}{shape}": torch.ones(shape).to(dtype)
        for number, dtype in zip((3, 1, 4, 0, 5, 2, 6), types, strict=True)
        for shape in ((), (3,), (2, 0), (5, 7))
    }
    write_safetensors(tmp_path / "ours", tensors, {"one word": "\u00fc"})
    save_file(tensors, tmp_path / "theirs", {"one word": "\u00fc"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_views_and_shared_memory_are_written_by_value(tmp_path):
    line = torch.arange(7.0)
    tensors = {"twice": line.expand(2, 7), "back": line.reshape(7, 1).mT, "part": line[2:5], "all": line}
    write_safetensors(tmp_path / "a", tensors)
    for name, value in read_safetensors(tmp_path / "a").items():
        assert torch.equal(value, tensors[name])


def test_types_and_names_that_the_format_has_not(tmp_path):
    for tensors in ({"a": torch.ones(2, dtype=torch.complex128)}, {"__metadata__": torch.ones(2)}):
        with pytest.raises(ValueError, match="types that safetensors has"):
            write_safetensors(tmp_path / "a", tensors)
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_fails_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_bytes(b"old")

    def check() -> None:
        raise ValueError("no such values")

    with pytest.raises(ValueError, match="no such values"):
        write_safetensors(tmp_path / "a", {"a": torch.ones(3)}, check=check)
    assert (tmp_path / "a").read_bytes() == b"old" and [*tmp_path.iterdir()] == [tmp_path / "a"]
    calls = []
    write_safetensors(tmp_path / "a", {"a": torch.ones(3)}, check=lambda: calls.append(1))
    assert calls == [1] and torch.equal(read_safetensors(tmp_path / "a")["a"], torch.ones(3))


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of a process are those of POSIX")
    (tmp_path / "a.safetensors").write_bytes(b"old")
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="a.safetensors"):
            write_safetensors(tmp_path / "a.safetensors", {"a": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "a.safetensors").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
