import json

import numpy as np
import pytest
import torch
from PIL import Image

from diff4splat.pictures import save_picture

PROVENANCE = {"prompt": "</script> 雨 \ud83d", "seed": 7, "model": None}


def picture(height: int = 37, width: int = 53) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def test_png_is_exact_to_a_byte_and_clamped(tmp_path):
    values = picture() * 1.4 - 0.2
    save_picture(values, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG" and image.mode == "RGB"
        found = np.asarray(image)
    expected = np.clip(values.numpy(), 0, 1).transpose(1, 2, 0) * 255
    assert np.abs(found - expected).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")])
def test_other_formats_are_near(tmp_path, name, kind):
    smooth = torch.nn.functional.interpolate(picture(3, 4)[None], size=(37, 53), mode="bilinear")[0]
    save_picture(smooth, tmp_path / name, quality=95)
    with Image.open(tmp_path / name) as image:
        assert image.format == kind and image.size == (53, 37)
        found = np.asarray(image.convert("RGB")) / 255
    assert np.abs(found - smooth.numpy().transpose(1, 2, 0)).mean() < 0.02


def test_quality_matters(tmp_path):
    for quality in (20, 90):
        save_picture(picture(), tmp_path / f"{quality}.jpg", quality=quality)
    assert (tmp_path / "20.jpg").stat().st_size < 0.6 * (tmp_path / "90.jpg").stat().st_size


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_provenance_is_read_back(tmp_path, name):
    save_picture(picture(), tmp_path / name, provenance=PROVENANCE)
    with Image.open(tmp_path / name) as image:
        words = image.text["provenance"] if name == "a.png" else image.getexif()[0x010E]
    assert json.loads(words) == PROVENANCE
    save_picture(picture(), tmp_path / "plain.png")
    with Image.open(tmp_path / "plain.png") as image:
        assert not image.text


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
def test_small_ones(tmp_path, size):
    save_picture(picture(*size).double(), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == size[::-1]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    bad = picture()
    bad[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="picture must be finite, got NaN"):
        save_picture(bad, target)
    for options, words in (
        ({"provenance": {"a": object()}}, "provenance must hold JSON values"),
        ({"provenance": {"a": float("nan")}}, "provenance must hold JSON values"),
        ({"quality": 0}, "quality must be from 1 to 100, got 0"),
    ):
        with pytest.raises(ValueError, match=words):
            save_picture(picture(), target, **options)
    with pytest.raises(ValueError, match=r"picture must have pixels, got shape \[3, 0, 7\]"):
        save_picture(torch.zeros(3, 0, 7), target)
    for name in ("a.gif", "a", "a.pdf"):
        with pytest.raises(ValueError, match="path must end in .png, .jpg, .jpeg, .webp"):
            save_picture(picture(), tmp_path / name)
    with pytest.raises(FileNotFoundError):
        save_picture(picture(), tmp_path / "none" / "a.png")
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]
