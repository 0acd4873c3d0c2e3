"""A start from scratch: Gaussians on the rays of the pixels whose colours they have."""

import pytest
import torch
from rendering.scenes import random_cameras

from diff4splat.geometry import project
from diff4splat.training import random_field

FRAMES, HEIGHT, WIDTH, COUNT = 3, 11, 13, 101


def make(dtype=torch.float64, **options):
    """A video whose colours tell frame, row and column, and a field of it."""
    generator = torch.Generator().manual_seed(0)
    frame, row, column = torch.meshgrid(*map(torch.arange, (FRAMES, HEIGHT, WIDTH)), indexing="ij")
    video = torch.stack((frame / FRAMES, row / HEIGHT, column / WIDTH), dim=1).to(dtype)
    cameras = random_cameras(FRAMES, HEIGHT, WIDTH, dtype=dtype)
    options = {"num_gaussians": COUNT, "near": 2.0, "far": 7.0, **options}
    return random_field(video, cameras, generator=generator, **options), cameras


def test_gaussians_lie_behind_the_pixels_of_their_colours() -> None:
    field, cameras = make()
    rgb = field.canonical.harmonics[:, 0] * 0.28209479177387814 + 0.5  # the constant harmonic
    frame, row, column = (rgb * torch.tensor([FRAMES, HEIGHT, WIDTH])).round().long().unbind(-1)
    pixels, depth = project(
        field.canonical.means[:, None], cameras.camera_to_world[frame], cameras.intrinsics[frame]
    )
    torch.testing.assert_close(pixels[:, 0], torch.stack((column, row), dim=-1) + 0.5, check_dtype=False)
    assert depth.min() >= 2 and depth.max() <= 7
    share = (depth / 2).log() / torch.tensor(3.5).log()
    assert 0.4 < float(share.mean()) < 0.6 and share.max() - share.min() > 0.9
    spacing = (HEIGHT * WIDTH / COUNT) ** 0.5
    widths = spacing * depth / cameras.intrinsics[frame, :1, 0]
    torch.testing.assert_close(field.canonical.scales, widths.expand(COUNT, 3))


def test_the_field_holds_still_and_is_valid() -> None:
    field, _ = make(num_times=5, opacity=0.3)
    field.validate()
    assert field.times.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert field.canonical.opacities.unique().tolist() == pytest.approx([0.3])
    torch.testing.assert_close(field.at(0.0).means, field.at(0.7).means)


def test_draws_and_type() -> None:
    first, second = (make(torch.float32)[0] for _ in range(2))
    assert first.dtype == torch.float32 and first.num_times == FRAMES
    assert torch.equal(first.canonical.means, second.canonical.means)
    assert make(near=4.0, far=4.0)[0].num_gaussians == COUNT


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_gaussians": 0}, "num_gaussians must be at least 1, got 0"),
        ({"num_times": 0}, "num_times must be at least 1, got 0"),
        ({"near": 0.0}, "near and far must hold 0 < near <= far"),
        ({"near": 8.0}, "near and far must hold 0 < near <= far"),
        ({"far": float("inf")}, "near and far must hold"),
        ({"opacity": 1.0}, "opacity must lie between 0 and 1"),
    ],
)
def test_errors(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**options)


def test_video_must_match_the_cameras() -> None:
    cameras = random_cameras(FRAMES, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=r"video must have shape \[3, 3, 11, 13\].*got \[2, 3, 11, 13\]"):
        random_field(torch.zeros(2, 3, HEIGHT, WIDTH), cameras, num_gaussians=5)
