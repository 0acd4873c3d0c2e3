"""The pipeline with the depth of its photograph, by the bundled model at one step."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines import DepthPrior, Diff4SplatPipeline, estimate_depth
from diff4splat.pipelines.depth_prior import first_view

ROWS, COLUMNS = 90, 160


@pytest.fixture(scope="module")
def pipe() -> Diff4SplatPipeline:
    return Diff4SplatPipeline.from_pretrained("compact")


def photograph() -> torch.Tensor:
    noise = torch.rand(1, 3, 9, 16, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, size=(ROWS, COLUMNS), mode="bilinear")[0]


def slope() -> torch.Tensor:
    """From 6 at the bottom to 12 at the top, and twice as far in the outer columns, which are cropped."""
    depth = torch.linspace(12, 6, ROWS)[:, None].repeat(1, COLUMNS)
    depth[:, :35] *= 2
    depth[:, -35:] *= 2
    return depth


def scene(pipe: Diff4SplatPipeline, depth: DepthPrior | None, cameras: Cameras) -> DeformableGaussianField:
    return pipe(
        photograph(),
        cameras,
        generator=torch.Generator().manual_seed(1),
        num_steps=1,
        num_gaussians="all",
        detail_size=90,
        depth=depth,
    )


def path(scale: float = 1.0) -> Cameras:
    return trajectory.spiral(9, height=90, width=90, amplitude=0.5).scale(scale)


def test_first_view_has_the_depth_in_metres(pipe: Diff4SplatPipeline) -> None:
    field = scene(pipe, DepthPrior(slope()), path())
    camera = path().resize(128, 128).select(slice(0, 1))
    seen, visible = first_view(field, camera)
    wanted = torch.nn.functional.interpolate(slope()[None, None, :, 35:125], size=(128, 128), mode="bilinear")
    error = ((seen - wanted[0, 0]).abs() / wanted[0, 0])[visible]
    assert visible.float().mean() > 0.95
    assert error.median() < 0.03
    assert field.metadata["depth"] == "metric"


def test_path_and_depth_in_another_unit_give_the_same_scene(pipe: Diff4SplatPipeline) -> None:
    field = scene(pipe, DepthPrior(slope()), path())
    larger = scene(pipe, DepthPrior(3 * slope()), path(3.0))
    for name in ("means", "scales"):
        values, expected = getattr(larger.canonical, name), 3 * getattr(field.canonical, name)
        apart = (values - expected).norm(dim=-1) / expected.norm(dim=-1)
        assert apart.quantile(0.95) < 1e-3  # rounding moves some across an edge of the depth that is seen
        assert apart.max() < 0.1
    torch.testing.assert_close(larger.canonical.opacities, field.canonical.opacities, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["relative", "disparity"])
def test_without_metres_the_model_keeps_its_unit(pipe: Diff4SplatPipeline, kind: str) -> None:
    values = 5 * slope() if kind == "relative" else 2 / slope() + 0.1
    plain, given = scene(pipe, None, path()), scene(pipe, DepthPrior(values, kind), path())
    ratio = given.canonical.means[:, 2].median() / plain.canonical.means[:, 2].median()
    assert 0.6 < ratio < 1.6
    assert given.canonical.num_gaussians == plain.canonical.num_gaussians
    assert not torch.equal(given.canonical.means, plain.canonical.means)


def test_depth_of_another_shape_is_refused(pipe: Diff4SplatPipeline) -> None:
    with pytest.raises(ValueError, match="shape of the photograph, 160 x 90 pixels, got 90 x 90"):
        scene(pipe, DepthPrior(torch.ones(90, 90)), path())


@pytest.mark.usefixtures("without_shape_checker")
def test_a_bare_tensor_is_refused(pipe: Diff4SplatPipeline) -> None:
    with pytest.raises(TypeError, match="depth must be a DepthPrior or None, got Tensor"):
        scene(pipe, slope(), path())  # type: ignore[arg-type]


def test_estimators_see_the_upright_photograph(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), (255, 0, 0))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)

    def estimate(seen: Image.Image) -> tuple[torch.Tensor, str]:
        assert (seen.mode, seen.size) == ("RGB", (20, 40))
        return torch.full((seen.height, seen.width), 2.0), "metric"

    prior = estimate_depth(tmp_path / "a.jpg", estimate)  # type: ignore[arg-type]
    assert (tuple(prior.depth.shape), prior.kind) == ((40, 20), "metric")
    bright = torch.ones(3, 40, 20)
    assert estimate_depth(bright, estimate).kind == "metric"  # type: ignore[arg-type]


def test_scaled_cameras() -> None:
    cameras = path()
    twice = cameras.scale(2.0)
    torch.testing.assert_close(twice.positions, 2 * cameras.positions)
    assert torch.equal(twice.camera_to_world[..., :3, :3], cameras.camera_to_world[..., :3, :3])
    with pytest.raises(ValueError, match="factor must be a positive number, got 0"):
        replace(cameras).scale(0.0)
