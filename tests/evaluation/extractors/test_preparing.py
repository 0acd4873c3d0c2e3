"""Preparation of frames against torchvision and Pillow, and the choices that change numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation.extractors.tiny_networks import noise
from PIL import Image

from diff4splat.evaluation import FramePreparation
from diff4splat.evaluation.extractors import CLIP_PREPARATION, DINO_PREPARATION, I3D_PREPARATION

PLAIN = FramePreparation(
    size=17,
    fit="crop",
    interpolation="bicubic",
    antialias=True,
    eight_bit=True,
    mean=(0.0, 0.0, 0.0),
    deviation=(1.0, 1.0, 1.0),
)


def smooth(height: int, width: int) -> torch.Tensor:
    """Frames like photographs: coarse noise made larger."""
    coarse = noise(2, 3, 7, 9).float()
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    return fine.clamp(0, 255).round().to(torch.uint8)


@pytest.mark.parametrize("size", [(31, 47), (47, 31), (19, 19), (11, 13), (34, 61)])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_short_side_and_crop_are_those_of_torchvision(size, antialias, interpolation) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    frames = noise(2, 3, *size)
    theirs = transforms.Compose(
        [
            transforms.Resize(17, transforms.InterpolationMode(interpolation), antialias=antialias),
            transforms.CenterCrop(17),
        ]
    )(frames)
    ours = replace(PLAIN, interpolation=interpolation, antialias=antialias)(frames)
    assert ours.shape == (2, 3, 17, 17)
    # a rounding to 8 bits may fall to the other side: torchvision has integer kernels for uint8
    assert float((255 * ours - theirs.float()).abs().max()) <= 1 + 1e-4
    assert float((255 * ours - theirs.float()).abs().mean()) < 0.05


def test_no_crop_keeps_the_long_side() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    frames = noise(2, 3, 37, 61)
    ours = replace(DINO_PREPARATION, size=23)(frames)
    resized = transforms.Resize(23, antialias=False)(frames)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (resized.float() / 255 - mean[:, None, None]) / deviation[:, None, None]
    assert ours.shape == (2, 3, 23, 37)  # 23 * 61 / 37 = 37.9, rounded down
    torch.testing.assert_close(ours, expected, atol=1.01 / 255 / 0.224, rtol=0)


def test_clip_s_preparation_is_pillow_s() -> None:
    frames = smooth(240, 360)
    expected = []
    for frame in frames:
        picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
        picture = picture.resize((336, 224), Image.Resampling.BICUBIC).crop((56, 0, 280, 224))
        colours = np.asarray(picture, dtype=np.float64) / 255
        mean = np.array([0.48145466, 0.4578275, 0.40821073])
        deviation = np.array([0.26862954, 0.26130258, 0.27577711])
        expected.append(((colours - mean) / deviation).transpose(2, 0, 1))
    ours = CLIP_PREPARATION(frames)
    # Pillow rounds between the directions too: a level at most, at one pixel in six
    difference = (ours.double() - torch.from_numpy(np.stack(expected))).abs()
    assert float(difference.max()) <= 1.01 / 255 / 0.26
    assert float(difference.mean()) < 0.2 / 255 / 0.26


def test_i3d_s_preparation_is_a_stretch_to_minus_one_and_one() -> None:
    frames = noise(2, 3, 31, 47)
    frames[0] = 255
    frames[1, 0] = 0
    ours = I3D_PREPARATION(frames)
    assert ours.shape == (2, 3, 224, 224) and ours.dtype == torch.float32
    torch.testing.assert_close(ours[0], torch.ones(3, 224, 224), atol=1e-6, rtol=0)
    assert torch.equal(ours[1, 0], -torch.ones(224, 224))


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """By its definition, pixel by pixel: centres at +0.5, borders repeated, no antialiasing."""
    rows, columns = image.shape
    result = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            y, x = (i + 0.5) * rows / height - 0.5, (j + 0.5) * columns / width - 0.5
            y, x = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
            top, left = min(int(y), rows - 1), min(int(x), columns - 1)
            below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            a, b = y - top, x - left
            upper = (1 - b) * image[top, left] + b * image[top, right]
            lower = (1 - b) * image[below, left] + b * image[below, right]
            result[i, j] = (1 - a) * upper + a * lower
    return result


@pytest.mark.parametrize("size", [(31, 47), (5, 7)])
def test_the_resize_of_i3d_by_its_definition(size) -> None:
    frames = noise(1, 3, *size)
    ours = replace(I3D_PREPARATION, size=13)(frames)
    for channel in range(3):
        expected = bilinear(frames[0, channel].numpy().astype(np.float64), 13, 13) / 127.5 - 1
        np.testing.assert_allclose(ours[0, channel], expected, atol=1e-5)


def test_antialiasing_more_than_halves_the_deviation_of_noise() -> None:
    """Pitfall: FVD code has no antialiasing, Pillow always has; the same noise is 0.194 or 0.074 strong."""
    frames = noise(1, 3, 480, 720)
    without = replace(PLAIN, size=224, fit="stretch", interpolation="bilinear", antialias=False)(frames)
    with_it = replace(PLAIN, size=224, fit="stretch", interpolation="bilinear", antialias=True)(frames)
    assert float(without.std()) == pytest.approx(0.194, abs=0.001)
    assert float(with_it.std()) == pytest.approx(0.074, abs=0.001)


def test_a_crop_drops_a_third_of_the_width_and_a_stretch_does_not() -> None:
    """Pitfall: code bases stretch or crop to 224 x 224; only one of them sees an object at the border."""
    frames = torch.zeros(1, 3, 480, 720, dtype=torch.uint8)
    frames[..., :100] = 255
    cropped = replace(PLAIN, size=224)(frames)
    stretched = replace(PLAIN, size=224, fit="stretch")(frames)
    assert float(cropped.max()) == 0
    assert float(stretched.mean()) == pytest.approx(100 / 720, abs=0.002)


def test_eight_bits_are_whole_levels_and_bicubic_does_not_leave_them() -> None:
    frames = 255 * noise(1, 3, 29, 43).gt(127).to(torch.uint8)  # sharp edges overshoot
    rounded = 255 * PLAIN(frames)
    torch.testing.assert_close(rounded, rounded.round(), atol=1e-4, rtol=0)
    assert float(rounded.min()) >= 0 and float(rounded.max()) <= 255 + 1e-4
    assert float(replace(PLAIN, eight_bit=False, antialias=False)(frames).min()) < 0


@pytest.mark.parametrize(
    "change",
    [
        {"size": 19},
        {"fit": "stretch"},
        {"interpolation": "bilinear"},
        {"antialias": False},
        {"eight_bit": False},
        {"mean": (0.5, 0.0, 0.0)},
        {"deviation": (0.5, 1.0, 1.0)},
    ],
)
def test_every_choice_is_in_the_words(change: dict) -> None:
    assert str(replace(PLAIN, **change)) != str(PLAIN)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size must be positive, got 0"),
        ({"fit": "pad"}, "fit must be one of stretch, short_side, crop, got 'pad'"),
        ({"interpolation": "nearest"}, "interpolation must be bilinear or bicubic, got 'nearest'"),
        ({"deviation": (1.0, 0.0, 1.0)}, "deviation must be positive"),
    ],
)
def test_options_are_checked(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)


def test_frames_without_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="frames must have pixels, got 0 x 5"):
        PLAIN(torch.zeros(1, 3, 0, 5, dtype=torch.uint8))
