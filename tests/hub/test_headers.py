"""Headers of weights: read whole, and every other file named for what it is."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diff4splat.hub import TensorInfo, read_safetensors_header


def header_of(tensors: dict[str, object], size: int = 0) -> bytes:
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def test_names_types_shapes_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(
        {"a": torch.zeros(2, 3), "b.c": torch.zeros(5, dtype=torch.bfloat16), "d": torch.tensor(7)},
        path,
        {"format": "pt", "made by": "a test"},
    )
    header = read_safetensors_header(path)
    assert dict(header.tensors) == {
        "a": TensorInfo("F32", (2, 3)),
        "b.c": TensorInfo("BF16", (5,)),
        "d": TensorInfo("I64", ()),
    }
    assert dict(header.metadata) == {"format": "pt", "made by": "a test"}
    assert (header.num_parameters, header.num_bytes) == (12, 24 + 10 + 8)
    assert header.dtypes == {"F32": 6, "BF16": 5, "I64": 1} and header.files == (path,)
    assert read_safetensors_header(tmp_path).tensors == header.tensors, "a folder with one file"


def test_shards_are_one_model(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "m-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "m-00002-of-00002.safetensors")
    homes = {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    for path in (index, tmp_path):
        header = read_safetensors_header(path)
        assert set(header.tensors) == {"a", "b"} and len(header.files) == 2 and header.path == path
    index.write_text(json.dumps({"weight_map": {**homes, "c": "m-00001-of-00002.safetensors"}}))
    with pytest.raises(ValueError, match="names 1 tensors that its shards do not hold, such as c"):
        read_safetensors_header(index)
    index.write_text(json.dumps({"weight_map": {"a": "../m.safetensors"}}))
    with pytest.raises(ValueError, match="must name files of its own folder"):
        read_safetensors_header(index)
    index.write_text(json.dumps({"weight_map": {**homes, "c": "m-00003-of-00002.safetensors"}}))
    with pytest.raises(FileNotFoundError, match="lacks 1 of 3 shards, such as m-00003"):
        read_safetensors_header(tmp_path)
    for text in ("[]", "{", '{"weight_map": {}}', '{"weight_map": {"a": 1}}'):
        index.write_text(text)
        with pytest.raises(ValueError, match="is no index of shards|is not valid JSON"):
            read_safetensors_header(index)


def test_folders_that_are_not_one_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no safetensors file[.]"):
        read_safetensors_header(tmp_path)
    (tmp_path / "model.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(FileNotFoundError, match="only the pickle model.pth, which is not read as it can run"):
        read_safetensors_header(tmp_path)
    for name in ("a", "b"):
        save_file({"x": torch.zeros(2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match="holds several models, x is in more than one file"):
        read_safetensors_header(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors.index.json").write_text("{}")
    with pytest.raises(ValueError, match="holds several models, a.safetensors.index.json, b.saf"):
        read_safetensors_header(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>", "is a web page that was saved in place of the file"),
        (b"\n <html lang=en>", "is a web page"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "is a GGUF file"),
        (b"PK\x03\x04 archive of torch.save", "is a pickle .*safetensors.torch.save_file"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 of an old torch", "is a pickle"),
        (b"\x80\x04", "is a pickle"),
        (b"Entry not found", "is no safetensors file: it begins with b'Entry not found'"),
        ((10**6).to_bytes(8, "little") + b'{"a": ', "is truncated: its header of 1000000 bytes is longer"),
        (header_of({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}, 5), "is truncated: .* of"),
        (
            header_of({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, 12),
            "does not fill its pl",
        ),
        (header_of({"a": {"dtype": "F31", "shape": [3], "data_offsets": [0, 12]}}), "a has no known type"),
        (header_of({"a": {"dtype": "F32", "shape": [-3], "data_offsets": [0, 12]}}), "a has no known type"),
        (header_of({"a": {"dtype": "F32", "shape": 3, "data_offsets": [0]}}), "a has no known type"),
        (header_of({"a": 3}), "is damaged, download it again: .*a has no known type"),
        (header_of({"__metadata__": []}), "__metadata__ is not an object"),
        ((9).to_bytes(8, "little") + b'{"a": [}]', "is damaged, download it again"),
    ],
)
def test_other_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_safetensors_header(path)
    assert str(path) in str(caught.value) and str(caught.value).endswith(".")


def test_a_header_that_the_format_forbids(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:  # sparse: the disk holds a few bytes
        file.write((200_000_000).to_bytes(8, "little") + b"{")
        file.truncate(200_000_100)
    with pytest.raises(ValueError, match="a header of 200000000 bytes, more than the 100000000"):
        read_safetensors_header(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_safetensors_header(tmp_path / "none.safetensors")
