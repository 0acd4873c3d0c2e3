"""Whatever is done to the bytes of a scene: a reader says what is wrong, or reads a valid field.

Every byte of the header and a sample of the others is changed, the file is cut at many places, and headers
that claim what is not there are written by hand.
"""

import json
import random
import resource

import pytest
import torch

from diff4splat.assets import load_field, load_field_cameras, read_field_header, save_field
from diff4splat.cameras import trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians

READERS = (read_field_header, load_field, load_field_cameras)


def small_field() -> DeformableGaussianField:
    generator = torch.Generator().manual_seed(11)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    canonical = Gaussians(
        normal(5, 3), normal(5, 4), normal(5, 3).exp(), normal(5).sigmoid(), normal(5, 4, 3)
    )
    deltas = normal(3, 5, 3), normal(3, 5, 4), 0.1 * normal(3, 5, 3)
    return DeformableGaussianField(canonical, torch.tensor([0.0, 0.4, 1.0]), *deltas, "log", {"seed": 3})


@pytest.fixture(params=[False, True], ids=["exact", "compact"])
def path(request, tmp_path):
    path = tmp_path / "scene.safetensors"
    cameras = trajectory.spiral(2, height=13, width=17)
    save_field(small_field(), path, cameras=cameras, compact=request.param)
    return path


def check_read(path) -> bool:
    """Whether the file is read, and validly; any other is refused by a ValueError that names it."""
    try:
        for reader in READERS:
            found = reader(path)
            if isinstance(found, DeformableGaussianField):
                found.validate()
                found.at(0.3)
    except ValueError as error:
        assert str(path) in str(error)
        return False
    return True


@pytest.mark.usefixtures("without_shape_checker")
def test_any_byte_changed(path):
    data, draws = path.read_bytes(), random.Random(7)
    header = 8 + int.from_bytes(data[:8], "little")
    places = [*range(header), *draws.sample(range(header, len(data)), 400)]
    refused = 0
    for place in places:
        changed = bytearray(data)
        changed[place] = draws.choice([value for value in range(256) if value != data[place]])
        path.write_bytes(changed)
        refused += not check_read(path)
    assert len(places) / 10 < refused < len(places)  # words may change, values too


@pytest.mark.usefixtures("without_shape_checker")
def test_cut_anywhere_and_made_longer(path):
    data = path.read_bytes()
    for length in {*range(0, len(data), 7), len(data) - 1}:
        path.write_bytes(data[:length])
        assert not check_read(path)
    path.write_bytes(data + b"\0")
    assert not check_read(path)


@pytest.mark.usefixtures("without_shape_checker")
def test_pieces_exchanged(path):
    data, draws = path.read_bytes(), random.Random(13)
    for _ in range(300):
        a, b, size = draws.randrange(len(data)), draws.randrange(len(data)), draws.randrange(1, 40)
        changed = bytearray(data)
        changed[a : a + size] = data[b : b + size]
        path.write_bytes(changed[: len(data)])
        check_read(path)


def raw(path, change) -> None:
    """Write the file anew after `change(entries of its header)`."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    change(entries)
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def absurd_count(entries):
    entries["canonical.means"]["shape"] = [10**12, 3]


def absurd_count_with_room(entries):
    entry = entries["canonical.means"]
    entry.update(shape=[10**12, 3], data_offsets=[0, 12 * 10**12])


def count_that_overflows(entries):
    entries["canonical.means"]["shape"] = [2**62, 2**62]


def empty_of_many(entries):
    entries["canonical.means"].update(shape=[10**12, 0], data_offsets=[0, 0])


def overlap(entries):
    entries["times"]["data_offsets"] = entries["cameras.intrinsics"]["data_offsets"]


def outside(entries):
    entries["times"]["data_offsets"] = [10**9, 10**9 + 12]


def negative(entries):
    entries["times"]["data_offsets"] = [-12, 0]


def deep(entries):
    entries["__metadata__"]["provenance"] = "[" * 100_000


def long_number(entries):
    entries["__metadata__"]["sh_degree"] = "1" * 10_000


@pytest.mark.parametrize(
    "change",
    [
        *(absurd_count, absurd_count_with_room, count_that_overflows, empty_of_many),
        *(overlap, outside, negative, deep, long_number),
    ],
    ids=lambda change: change.__name__,
)
def test_claims_that_are_not_true(path, change):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    raw(path, change)
    assert not check_read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**12, 100_000_001, 0, 1])
def test_length_of_the_header_lies(path, length):
    data = path.read_bytes()
    path.write_bytes(length.to_bytes(8, "little") + data[8:])
    assert not check_read(path)


def test_a_name_is_only_a_name(path):
    """Tensor names that look like paths are neither opened nor looked at."""

    def change(entries):
        entries["../../etc/passwd"] = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}

    raw(path, change)
    assert check_read(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_other_files_by_that_name(path):
    for content, words in (
        (b"ply\nformat binary_little_endian 1.0\n" + bytes(100), "a PLY; `load_ply` reads it"),
        (b"\x80\x02}q\x00." + bytes(100), "pickle"),
        (b"<!doctype html>" + bytes(100), "not a safetensors file"),
        (b"", "truncated"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            load_field(path)


def test_a_save_that_fails_leaves_the_file(path, monkeypatch):
    before = path.read_bytes()

    def fail(path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diff4splat.files.flush", fail)
    for compact in (False, True):
        with pytest.raises(OSError, match=f"No space left on device.*{path.name}"):
            save_field(small_field(), path, compact=compact)
    monkeypatch.undo()
    for bad in ({"loss": float("inf")}, {"set": {1}}):
        with pytest.raises(ValueError, match="provenance"):
            save_field(small_field(), path, provenance=bad)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
