"""Numbers in pictures come back bit by bit, whatever wrote them."""

from pathlib import Path

import numpy as np
import pytest
from data.readers.truth import write_png
from PIL import Image

from diff4splat.data.readers.maps import read_map, read_maps, read_mask
from diff4splat.data.readers.pictures import picture_size

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("kind", "shape", "dtype", "palette"),
    [
        ("grey16", (7, 11), np.uint16, False),
        ("grey8", (7, 11), np.uint8, False),
        ("grey8", (7, 11), np.uint8, True),
    ],
)
def test_numbers_come_back(tmp_path: Path, kind: str, shape, dtype, palette: bool) -> None:
    values = DRAW.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    file = tmp_path / "a map.png"
    write_png(file, values, palette)
    found = read_map(file, kind, (7, 11))
    assert found.dtype == dtype and np.array_equal(found, values) and picture_size(file) == (7, 11)
    if not palette:  # another writer
        Image.fromarray(values).save(file)
        assert np.array_equal(read_map(file, kind), values)


def test_four_bytes_may_be_a_number(tmp_path: Path) -> None:
    """1.5 is 0x3fc00000 and -2 is 0xc0000000: alpha holds the highest byte, red the next one."""
    red, green, blue, alpha = ([0xC0, 0], [0, 0], [0, 1], [0x3F, 0xC0])
    write_png(tmp_path / "a map.png", np.array([red, green, blue, alpha], np.uint8).T[None])
    found = read_map(tmp_path / "a map.png", "bgra32", (1, 2))
    assert found.dtype == np.float32 and found[0, 0] == 1.5 and found[0, 1] == np.float32(-2 - 2**-22)


def test_maps_are_stacked(tmp_path: Path) -> None:
    values = DRAW.integers(0, 65535, (3, 7, 11), np.uint16)
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for file, each in zip(files, values, strict=True):
        write_png(file, each)
    assert np.array_equal(read_maps(files, "grey16", (7, 11)), values)
    write_png(files[1], values[1, :5])
    with pytest.raises(ValueError, match="1.png must have the size of its frame, 11 x 7, got 11 x 5"):
        read_maps(files, "grey16", (7, 11))


def test_masks_may_be_of_one_bit_grey_or_coloured(tmp_path: Path) -> None:
    mask = DRAW.integers(0, 2, (7, 11)).astype(bool)
    Image.fromarray(mask).save(tmp_path / "bits.png")
    write_png(tmp_path / "grey.png", mask.astype(np.uint8))
    write_png(tmp_path / "blue.png", np.stack((0 * mask, 0 * mask, 255 * mask), -1).astype(np.uint8))
    for name in ("bits", "grey", "blue"):
        assert np.array_equal(read_mask(tmp_path / f"{name}.png", (7, 11)), mask), name


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a map.png"
    with pytest.raises(FileNotFoundError, match="a map.png"):
        read_map(file, "grey16")
    write_png(file, DRAW.integers(0, 255, (7, 11), np.uint8))
    with pytest.raises(ValueError, match="a map.png must be a picture of kind grey16, got one of mode L"):
        read_map(file, "grey16")
    with pytest.raises(ValueError, match="a map.png must have the size of its frame, 7 x 11, got 11 x 7"):
        read_mask(file, (11, 7))
    file.write_bytes(file.read_bytes()[:80])
    with pytest.raises(ValueError, match="a map.png is not a readable picture"):
        read_map(file, "grey8")
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="a map.png is not a readable picture"):
        picture_size(file)
