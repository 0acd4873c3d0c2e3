"""Every kind of image file and picture: handled with the right pixels, or refused in words."""

import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diff4splat.pipelines import centre_crop_box, image_size, prepare_image
from diff4splat.pipelines.images import PreparedImage

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(0, 256, (31, 43, 3), dtype=np.uint8)


def prepare(image: object, size: int = 31, **options: object) -> PreparedImage:
    return prepare_image(image, height=size, width=size, detail_size=size, **options)


def pixels(prepared: PreparedImage) -> np.ndarray:
    """Back to bytes; where no resize was needed this is exact."""
    return (prepared.detail * 255).round().byte().permute(1, 2, 0).numpy()


def centre(picture: np.ndarray) -> np.ndarray:
    return picture[:, 6:37]


def test_png_reaches_the_model_without_change(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    prepared = prepare(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(prepared), centre(PICTURE))
    assert (prepared.source_height, prepared.source_width) == (31, 43)
    assert prepared.image.dtype == torch.float32


def test_path_string_pil_and_tensor_agree(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    tensor = torch.from_numpy(PICTURE).permute(2, 0, 1).float() / 255
    expected = prepare(tmp_path / "a.png").image
    for image in (str(tmp_path / "a.png"), Image.fromarray(PICTURE), tensor, tensor.double()):
        torch.testing.assert_close(prepare(image).image, expected, atol=1e-6, rtol=0)


def test_detail_is_as_fine_as_asked_but_never_finer_than_the_photograph() -> None:
    image = torch.rand(3, 83, 101, generator=torch.Generator().manual_seed(0))
    sizes = {
        asked: tuple(prepare_image(image, height=24, width=24, detail_size=asked).detail.shape[-2:])
        for asked in (7, 24, 53, 83, 512)
    }
    assert sizes == {7: (24, 24), 24: (24, 24), 53: (53, 53), 83: (83, 83), 512: (83, 83)}
    assert prepare_image(image[:, :17, :19], height=24, width=24).detail.shape[-2:] == (24, 24)


def test_model_that_is_not_square_gets_its_own_shape() -> None:
    image = torch.rand(3, 90, 100, generator=torch.Generator().manual_seed(0))
    prepared = prepare_image(image, height=24, width=40, detail_size=80)
    assert prepared.image.shape == (3, 24, 40)
    assert prepared.detail.shape == (3, 48, 80)


def test_resizing_keeps_the_mean_and_the_range() -> None:
    image = torch.rand(3, 97, 97, generator=torch.Generator().manual_seed(0)).round()
    resized = prepare_image(image, height=13, width=13, detail_size=13).image
    assert 0 <= resized.min() and resized.max() <= 1
    torch.testing.assert_close(resized.mean(), image.mean(), atol=0.02, rtol=0)  # bicubic overshoot, clamped


@pytest.mark.parametrize(
    ("height", "width", "aspect", "box"),
    [
        (31, 43, 1.0, (0, 6, 31, 31)),
        (43, 31, 1.0, (6, 0, 31, 31)),
        (100, 100, 2.0, (25, 0, 50, 100)),
        (7, 7, 1.0, (0, 0, 7, 7)),
    ],
)
def test_centre_crop_box(height: int, width: int, aspect: float, box: tuple[int, int, int, int]) -> None:
    assert centre_crop_box(height, width, aspect=aspect) == box


# What a camera held in each of the eight ways stores, as row and column order of the upright picture.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1)[::-1, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", sorted(STORED))
def test_exif_rotation(orientation: int, suffix: str, tmp_path: Path) -> None:
    stored = np.ascontiguousarray(STORED[orientation](PICTURE))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(file, exif=exif)
    np.testing.assert_array_equal(pixels(prepare(file)), centre(PICTURE))
    assert image_size(file) == (31, 43)


def test_damaged_exif_and_profile_do_not_matter(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png", exif=b"Exif\x00\x00garbage", icc_profile=b"garbage")
    np.testing.assert_array_equal(pixels(prepare(tmp_path / "a.png")), centre(PICTURE))


def test_grey_and_black_and_white(tmp_path: Path) -> None:
    grey = PICTURE[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(
        pixels(prepare(tmp_path / "grey.png")), centre(grey)[..., None].repeat(3, -1)
    )
    bits = pixels(prepare(tmp_path / "bits.png"))
    np.testing.assert_array_equal(bits[..., 1] > 0, centre(grey) > 127)


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (31, 31), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    for name in ("deep.png", "deep.tif"):
        np.testing.assert_array_equal(pixels(prepare(tmp_path / name))[..., 2], deep // 256)


def test_integer_and_float_pictures() -> None:
    grey = PICTURE[..., 0]
    np.testing.assert_array_equal(pixels(prepare(Image.fromarray(grey).convert("I")))[..., 0], centre(grey))
    unit = Image.fromarray(grey.astype(np.float32) / 255)
    np.testing.assert_array_equal(pixels(prepare(unit))[..., 0], centre(grey))
    with pytest.raises(ValueError, match=r"image must have 8 or 16 bits.*got float32 in \[-3"):
        prepare(Image.fromarray(np.full((31, 31), -3.0, np.float32)))


@pytest.mark.parametrize(("background", "value"), [("white", 255), ("black", 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency(
    mode: str, background: str, value: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layer = Image.new("RGBA", (31, 31), (200, 200, 200, 255))
    layer.paste((90, 90, 90, 0), (0, 0, 31, 15))
    if mode == "P":
        picture = Image.new("P", (31, 31), 1)
        picture.putpalette([90, 90, 90, 200, 200, 200])
        picture.paste(0, (0, 0, 31, 15))
        picture.save(tmp_path / "a.png", transparency=0)
    else:
        layer.convert(mode).save(tmp_path / "a.png")
    with caplog.at_level(logging.INFO, logger="diff4splat"):
        result = pixels(prepare(tmp_path / "a.png", background=background))
    assert (result[:15] == value).all()
    assert (result[15:] == 200).all()
    assert f"shown over {background}" in caplog.text


def test_cmyk_and_lab(tmp_path: Path) -> None:
    flat = Image.new("RGB", (31, 31), (230, 60, 20))
    flat.convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_allclose(pixels(prepare(tmp_path / "a.tif")).mean((0, 1)), (230, 60, 20), atol=3)


def test_first_frame_of_an_animation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.new("L", (31, 31), shade) for shade in (50, 150, 250)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.INFO, logger="diff4splat"):
        assert (pixels(prepare(tmp_path / "a.gif")) == 50).all()
    assert "first frame" in caplog.text


def test_picture_of_the_caller_is_left_alone() -> None:
    picture = Image.fromarray(PICTURE).convert("P")
    before = picture.tobytes()
    prepare(picture)
    assert (picture.mode, picture.size, picture.tobytes()) == ("P", (43, 31), before)


def test_crop_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="diff4splat"):
        prepare(torch.zeros(3, 31, 43))
    assert "43x31 pixels is centre-cropped to 31x31" in caplog.text


def test_large_jpeg_is_decoded_small_and_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ramp = np.linspace(0, 255, 1600).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (1300, 1))] * 3, -1)).save(tmp_path / "a.jpg", quality=95)
    plain = prepare(tmp_path / "a.jpg", size=61).image
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # what 20000 x 20000 pixels are to the real limit
    huge = prepare(tmp_path / "a.jpg", size=61)
    torch.testing.assert_close(huge.image, plain, atol=1e-6, rtol=0)
    assert (huge.source_height, huge.source_width) == (1300, 1600)
    exact = torch.from_numpy(ramp[150:1450]).float().reshape(1, 1, -1) / 255
    expected = torch.nn.functional.interpolate(exact, size=61, mode="linear")[0, 0]
    torch.testing.assert_close(plain[1, 30], expected, atol=0.02, rtol=0)  # JPEG and filter differences


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_huge_png_is_refused_from_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_header(20000, 20000))
    with pytest.raises(ValueError, match="at most 120 megapixels unless it is a JPEG, got 400 megapixels"):
        prepare(tmp_path / "a.png")


def test_postscript_is_refused_before_another_program_is_asked(tmp_path: Path) -> None:
    Image.new("RGB", (31, 31)).save(tmp_path / "a.eps")
    with pytest.raises(ValueError, match="image must be a picture of pixels such as JPEG or PNG, got EPS"):
        prepare(tmp_path / "a.eps")


@pytest.mark.parametrize(
    ("options", "message"), [({"detail_size": 0}, "detail_size"), ({"background": "red"}, "background")]
)
def test_impossible_options_are_refused(
    without_shape_checker: None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"{message} must be"):
        prepare_image(torch.rand(3, 31, 31), height=16, width=16, **options)


@pytest.mark.parametrize("side", [1, 15])
def test_too_small(side: int, tmp_path: Path) -> None:
    Image.new("RGB", (side, 40)).save(tmp_path / "a.png")
    for call in (prepare, image_size):
        with pytest.raises(ValueError, match=f"image must be at least 16 pixels on each side, got {side}x40"):
            call(tmp_path / "a.png")


def test_zero_pixels(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 16 pixels"):
        prepare(torch.zeros(3, 0, 40))
    (tmp_path / "a.png").write_bytes(png_header(0, 0))
    with pytest.raises(ValueError, match="image must be"):
        prepare(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif"])
def test_truncated(suffix: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    Image.fromarray(RNG.integers(0, 256, (101, 103, 3), dtype=np.uint8)).save(whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"image must be .*got (a damaged|no known).*cut"):
        prepare(cut)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_not_an_image(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match="image must be"):
        prepare(tmp_path / "a.jpg")


def test_heic_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\x00\x00\x00\x18ftypheic")
    with pytest.raises(ValueError, match="export it as JPEG or PNG"):
        prepare(tmp_path / "a.heic")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="image must be an existing file"):
        prepare(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="image must be an image file, got a folder"):
        prepare(tmp_path)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.zeros(31, 31), ValueError, r"shape \[3, height, width\], got \[31, 31\]"),
        (torch.zeros(1, 31, 31), ValueError, r"shape \[3, height, width\], got \[1, 31, 31\]"),
        (torch.zeros(3, 31, 31, dtype=torch.uint8), TypeError, "float tensor.*divide 8-bit values by 255"),
        (torch.full((3, 31, 31), 255.0), ValueError, r"values in \[0, 1\], got \[255, 255\]"),
        (torch.full((3, 31, 31), torch.nan), ValueError, r"values in \[0, 1\], got \[nan, nan\]"),
        (torch.full((3, 31, 31), -0.1), ValueError, r"values in \[0, 1\]"),
    ],
)
def test_wrong_tensors(image: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prepare(image)


def test_wrong_size_of_the_model() -> None:
    with pytest.raises(ValueError, match="height and width must be positive, got 0 and 8"):
        prepare_image(torch.zeros(3, 31, 31), height=0, width=8)
