"""Depth maps from and to files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from assets.archives import damaged_archives, header_of_an_array
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diff4splat.assets import load_depth, save_depth

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
        "video.npy": r"\[height, width\], got \[2, 3, 4\]; load_depth_sequence reads",
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


def ramp(height: int = 13, width: int = 17, near: float = 0.4, far: float = 60.0) -> torch.Tensor:
    depth = torch.linspace(near, far, height * width).reshape(height, width)
    depth[3, 5], depth[4, 5], depth[5, 5], depth[6, 5] = 0, torch.nan, torch.inf, -1
    return depth


def known(depth: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.isfinite(depth) & (depth > 0), depth, torch.nan)


def test_a_png_is_millimetres_to_other_programs_and_scene_units_to_us(tmp_path: Path) -> None:
    depth = ramp()
    save_depth(depth, tmp_path / "a.png", provenance={"prompt": "Tässä <b>"})
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode.startswith("I;16")
        values, text = np.asarray(picture), picture.text
    assert values.dtype == np.uint16
    assert text["depth_unit"] == "0.001" and "0 means unknown" in text["Description"]
    assert json.loads(text["Comment"]) == {"prompt": "Tässä <b>"}
    assert [int(values[row, 5]) for row in (3, 4, 5, 6)] == [0, 0, 0, 0]
    expected = known(depth)
    assert np.abs(values[values > 0] - 1000 * expected[values > 0].numpy()).max() <= 0.501
    back = load_depth(tmp_path / "a.png")
    torch.testing.assert_close(back, expected, rtol=0, atol=0.000505, equal_nan=True)


def test_the_unit_of_a_png_is_read_back(tmp_path: Path) -> None:
    for scale in (1e-3, 1.0, 1e5):
        depth = scale * ramp()
        save_depth(depth, tmp_path / "a.png", unit="fit")
        back = load_depth(tmp_path / "a.png")
        half = scale * 60 / 65535 / 2
        torch.testing.assert_close(back, known(depth), rtol=1e-6, atol=1.01 * half, equal_nan=True)
    save_depth(ramp(), tmp_path / "a.png", unit=0.5)
    torch.testing.assert_close(load_depth(tmp_path / "a.png", unit=1.0)[12, 16], torch.tensor(120.0))
    save_depth(ramp(near=1e-6), tmp_path / "a.png")
    assert load_depth(tmp_path / "a.png")[0, 0] == pytest.approx(0.001), "near is not unknown"


def test_an_npz_is_exact(tmp_path: Path) -> None:
    save_depth(1e5 * ramp(), tmp_path / "a.npz", provenance={"seed": 7})
    assert torch.equal(load_depth(tmp_path / "a.npz").nan_to_num(-1), known(1e5 * ramp()).nan_to_num(-1))
    with np.load(tmp_path / "a.npz") as content:
        assert content["depth"].dtype == np.float32 and json.loads(str(content["provenance"])) == {"seed": 7}


def test_zero_is_far_in_a_disparity_and_unknown_in_a_depth(tmp_path: Path) -> None:
    values = np.array([[0, 1500], [65535, 1]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", values)
    for name in ("a.png", "b.npy"):
        disparity = load_depth(tmp_path / name, kind="disparity")
        torch.testing.assert_close(disparity, torch.tensor([[0.0, 1500.0], [65535.0, 1.0]]))
        assert load_depth(tmp_path / name).isnan().tolist() == [[True, False], [False, False]]
    np.save(tmp_path / "c.npy", np.array([[0.0, np.nan], [np.inf, 2.0]]))
    expected = torch.tensor([[0.0, torch.nan], [torch.nan, 2.0]])
    torch.testing.assert_close(load_depth(tmp_path / "c.npy", kind="disparity"), expected, equal_nan=True)


def test_saving_refuses_in_words_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_depth(ramp(), path)
    before = path.read_bytes()
    for options, words in (
        ({"unit": 0.0005}, "at most 32.7675 .65535 steps of 0.0005., got 60; a unit of 0.000916 or 'fit'"),
        ({"unit": 0}, "unit must be a positive number or 'fit', got 0"),
        ({"provenance": {"a": {1}}}, "provenance must consist of JSON values"),
    ):
        with pytest.raises(ValueError, match=words):
            save_depth(ramp(), path, **options)
    with pytest.raises(ValueError, match="depth must be known"):
        save_depth(torch.zeros(3, 5), path)
    with pytest.raises(ValueError, match=r"must end in .png or .npz, got .*exr"):
        save_depth(ramp(), tmp_path / "a.exr")
    with pytest.raises(ValueError, match="a .npz holds scene units"):
        save_depth(ramp(), tmp_path / "a.npz", unit="fit")
    with pytest.raises(FileNotFoundError, match="folder"):
        save_depth(ramp(), tmp_path / "none" / "a.png")
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_damage_of_any_sort_ends_in_words_that_name_the_file(tmp_path: Path) -> None:
    for kind, content in damaged_archives().items():
        (tmp_path / f"{kind}.npz").write_bytes(content)
        with pytest.raises(ValueError, match=f"{kind}.npz: must be a numpy file of numbers"):
            load_depth(tmp_path / f"{kind}.npz")
    (tmp_path / "a.npy").write_bytes(header_of_an_array((10**6, 10**6)) + bytes(100))
    with pytest.raises(ValueError, match="a.npy: must be a numpy file of numbers"):
        load_depth(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.ones((0, 5)))
    with pytest.raises(ValueError, match=r"b.npy: a depth map must have shape .*, got \[0, 5\]"):
        load_depth(tmp_path / "b.npy")
    info = PngInfo()
    info.add_text("depth_unit", "1" * (1 << 21), zip=True)
    Image.fromarray(np.ones((2, 3), dtype=np.uint16)).save(tmp_path / "c.png", pnginfo=info)
    with pytest.raises(ValueError, match="c.png: must be a readable picture"):
        load_depth(tmp_path / "c.png")


def test_a_stated_unit_that_is_none_is_damage(tmp_path: Path) -> None:
    for text in ("0", "nan", "a metre", "-1"):
        info = PngInfo()
        info.add_text("depth_unit", text)
        Image.fromarray(np.ones((2, 3), dtype=np.uint16)).save(tmp_path / "a.png", pnginfo=info)
        with pytest.raises(ValueError, match=r"a.png is damaged: its depth_unit must be a positive number"):
            load_depth(tmp_path / "a.png")
