import dataclasses

import numpy as np
import pytest
import torch
from models.parts import latents, path, small_ldrm
from reference import models_backdrop as reference

from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import project
from diff4splat.models.backdrop import append_static, backdrop_gaussians
from diff4splat.rendering import render


def scene(height: int = 26, width: int = 34) -> tuple[torch.Tensor, torch.Tensor]:
    """A red block at depth 2 before a green wall at depth 7."""
    image = torch.zeros(2, 3, height, width, dtype=torch.float64)
    image[:, 1] = 0.6
    image[..., 8:18, 10:24] = torch.tensor([0.9, 0.1, 0.1], dtype=torch.float64)[:, None, None]
    depth = torch.full((2, height, width), 7.0, dtype=torch.float64)
    depth[..., 8:18, 10:24] = 2.0
    return image, depth


@pytest.mark.parametrize("options", [{}, {"margin": 0.2, "behind": 1.4}])
@pytest.mark.parametrize("cells", [3, 5])
def test_backdrop_matches_the_loop(cells: int, options: dict[str, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 26, 34, generator=generator, dtype=torch.float64)
    depth = 1 + 5 * torch.rand(2, 11, 13, generator=generator, dtype=torch.float64)
    camera = path(2, 1, 26, 34, seed=3)
    backdrop = backdrop_gaussians(image, depth, camera, cells=cells, **options)
    for sample in range(2):
        expected = reference.backdrop(
            image[sample].numpy(),
            depth[sample].numpy(),
            camera.camera_to_world[sample, 0].numpy(),
            camera.intrinsics[sample, 0].numpy(),
            (26, 34),
            cells=cells,
            **options,
        )
        expected["harmonics"] = reference.harmonics(expected.pop("colors"))[:, None]
        for name, values in expected.items():
            np.testing.assert_allclose(
                getattr(backdrop, name)[sample].numpy(), values, atol=1e-12, err_msg=name
            )


def test_backdrop_lies_behind_everything_and_reaches_beyond_the_borders() -> None:
    image, depth = scene()
    camera = path(2, 1, 26, 34)
    backdrop = backdrop_gaussians(image, depth, camera, cells=8)
    assert backdrop.num_gaussians == 16 * 16
    pixels, distance = project(backdrop.means, camera.camera_to_world[:, 0], camera.intrinsics[:, 0])
    behind_the_block = (distance < 1.15 * 7 - 1e-9).double().mean()
    assert (distance >= 1.15 * 2 - 1e-9).all()
    assert behind_the_block < 0.05, "only amid the block is the wall not near"
    assert pixels[..., 0].min() < -0.4 * 34 and pixels[..., 0].max() > 1.4 * 34
    assert pixels[..., 1].min() < -0.4 * 26 and pixels[..., 1].max() > 1.4 * 26


@pytest.mark.parametrize(("cells", "margin"), [(3, 0.5), (5, 0.5), (8, 0.3), (10, 0.25), (7, 0.0)])
def test_backdrop_is_centred_on_the_image(cells: int, margin: float) -> None:
    image, depth = scene()
    camera = path(2, 1, 26, 34)
    backdrop = backdrop_gaussians(image, depth, camera, cells=cells, margin=margin)
    assert backdrop.num_gaussians == (cells + 2 * round(cells * margin)) ** 2
    pixels, _ = project(backdrop.means, camera.camera_to_world[:, 0], camera.intrinsics[:, 0])
    centre = pixels.new_tensor([17.0, 13.0]).expand(2, 2)
    torch.testing.assert_close((pixels.amin(1) + pixels.amax(1)) / 2, centre)


def test_backdrop_takes_the_colour_of_what_is_far() -> None:
    """Behind the red block the wall goes on; a plain blur of the image would be reddish there."""
    image, depth = scene()
    backdrop = backdrop_gaussians(image, depth, path(2, 1, 26, 34), cells=8)
    colors = backdrop.harmonics[..., 0, :] * 0.28209479177387814 + 0.5
    assert (colors[..., 1] > 0.5).all() and (colors[..., 0] < 0.15).all()


def test_backdrop_leaves_no_holes_where_nothing_else_is() -> None:
    image, depth = scene()
    camera = path(2, 1, 26, 34)
    backdrop = backdrop_gaussians(image, depth, camera, cells=8)
    pose = camera.camera_to_world.clone()
    pose[..., :3, 3] += 0.8
    moved = dataclasses.replace(camera, camera_to_world=pose)
    assert render(backdrop, moved, backend="reference").alpha.min() > 0.9


def test_backdrop_has_no_gradient_and_refuses_no_cells() -> None:
    image, depth = scene()
    backdrop = backdrop_gaussians(image, depth.requires_grad_(), path(2, 1, 26, 34), cells=3)
    assert not backdrop.means.requires_grad
    with pytest.raises(ValueError, match="cells must be at least 1, got 0"):
        backdrop_gaussians(image, depth, path(2, 1, 26, 34), cells=0)


def test_appended_gaussians_rest_and_leave_the_others_as_they_are() -> None:
    ldrm = small_ldrm()
    arguments = (latents(1, 2, 3, 4, 4), path(1, 5, 32, 32))
    with torch.no_grad():
        field = ldrm(*arguments)
        larger = small_ldrm(backdrop_cells=4)(*arguments)
    count = field.num_gaussians
    assert isinstance(larger, DeformableGaussianField)
    assert larger.num_gaussians == count + 8 * 8
    torch.testing.assert_close(larger.canonical.means[:, :count], field.canonical.means)
    assert (larger.delta_means[:, :, count:] == 0).all() and (larger.delta_scales[:, :, count:] == 0).all()
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert (larger.delta_quaternions[:, :, count:] == identity).all()
    again = append_static(field, larger.canonical.select(slice(count, None)))
    torch.testing.assert_close(again.canonical.means, larger.canonical.means)
