"""Depth maps from files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diff4splat.assets import load_depth

DEPTH = np.array([[1.5, np.nan, 2.25], [np.inf, 0.5, 7.0]])


def test_numbers_as_they_stand(tmp_path: Path) -> None:
    expected = torch.tensor([[1.5, torch.nan, 2.25], [torch.nan, 0.5, 7.0]])
    np.save(tmp_path / "a.npy", DEPTH[None, :, :, None])
    np.savez(tmp_path / "b.npz", depth=DEPTH, confidence=np.ones_like(DEPTH))
    np.savez(tmp_path / "c.npz", anything=DEPTH.astype(np.float16))
    Image.fromarray(DEPTH.astype(np.float32), mode="F").save(tmp_path / "d.tif")
    for name in ("a.npy", "b.npz", "c.npz", "d.tif"):
        depth = load_depth(tmp_path / name)
        assert depth.dtype == torch.float32
        torch.testing.assert_close(depth, expected, equal_nan=True)
    torch.testing.assert_close(load_depth(tmp_path / "a.npy", unit=2.0), 2 * expected, equal_nan=True)


def test_sixteen_bits_are_millimetres(tmp_path: Path) -> None:
    values = np.array([[0, 1500], [65535, 1]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", values)
    expected = torch.tensor([[torch.nan, 1.5], [65.535, 0.001]])
    for name in ("a.png", "b.npy"):
        torch.testing.assert_close(load_depth(tmp_path / name), expected, equal_nan=True)
    tum = load_depth(tmp_path / "a.png", unit=1 / 5000)
    torch.testing.assert_close(tum[0, 1], torch.tensor(0.3))


def test_refuses_in_words(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 3), dtype=np.uint8)).save(tmp_path / "gray.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    np.savez(tmp_path / "two.npz", a=DEPTH, b=DEPTH)
    np.save(tmp_path / "video.npy", np.ones((2, 3, 4)))
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    for name, words in {
        "gray.png": "16 bits or floating point, got mode 'L'",
        "broken.png": "readable picture",
        "broken.npy": "numpy file of numbers",
        "broken.npz": "numpy file of numbers",
        "two.npz": r"called 'depth', got \['a', 'b'\]",
        "video.npy": r"\[height, width\], got \[2, 3, 4\]",
        "words.npy": "must hold numbers",
        "objects.npy": "numpy file of numbers",
        "depth.exr": "must end in .npy, .npz, .png, .tif, .tiff, got '.exr'",
    }.items():
        with pytest.raises(ValueError, match=words) as caught:
            load_depth(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_depth(tmp_path / "none.npy")
    with pytest.raises(ValueError, match="unit must be a positive number, got 0"):
        load_depth(tmp_path / "gray.png", unit=0)
