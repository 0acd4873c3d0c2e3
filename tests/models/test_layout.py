import numpy as np
import pytest
import torch
from models.parts import latents, path, small_ldrm
from reference import models_layout as reference

from diff4splat.models.layout import GuidedSampler, Layout, adaptive_layout, pixel_layout


def picture(height: int, width: int) -> torch.Tensor:
    """Flat on the left, noise on the right."""
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image[..., : width // 2] = 0.3
    return image


def painted(layout: Layout, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How often each pixel is covered, and the colours of the blocks."""
    covered, image = torch.zeros(height, width), torch.zeros(3, height, width, dtype=torch.float64)
    for (x, y), size, color in zip(layout.pixels[0], layout.sizes[0], layout.colors[0], strict=True):
        rows = slice(round(float(y - size / 2)), round(float(y + size / 2)))
        columns = slice(round(float(x - size / 2)), round(float(x + size / 2)))
        covered[rows, columns] += 1
        image[:, rows, columns] = color[:, None, None]
    return covered, image


def test_pixel_layout_is_the_image() -> None:
    image = torch.rand(2, 3, 5, 7)
    layout = pixel_layout(image)
    assert layout.pixels[1, :2].tolist() == [[0.5, 0.5], [1.5, 0.5]]
    assert layout.pixels[0, -1].tolist() == [6.5, 4.5]
    assert (layout.sizes == 1).all()
    assert torch.equal(layout.colors, image.flatten(-2).mT)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (13, 19)])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.7])
def test_blocks_cover_every_pixel_once_within_the_budget(height, width, share) -> None:
    image = picture(height, width)
    budget = int(share * height * width) + height + width
    layout = adaptive_layout(image, max_gaussians=budget)
    covered, means = painted(layout, height, width)
    assert (covered == 1).all()
    assert layout.sizes.shape[1] <= budget
    for (x, y), size, color in zip(layout.pixels[0], layout.sizes[0], layout.colors[0], strict=True):
        top, left, side = round(float(y - size / 2)), round(float(x - size / 2)), round(float(size))
        block = image[0, :, top : top + side, left : left + side]
        torch.testing.assert_close(color, block.mean((-2, -1)))
    assert (means - image[0]).abs().max() < 1


@pytest.mark.parametrize(("height", "width"), [(3, 3), (1, 17), (64, 2), (37, 53)])
def test_images_smaller_than_a_block_and_budgets_below_the_blocks_of_four(height, width) -> None:
    budget = max(1, height * width // 100)
    covered, _ = painted(adaptive_layout(picture(height, width), max_gaussians=budget), height, width)
    assert (covered == 1).all()


@pytest.mark.parametrize("budget", [1, 4, 20, 100, 1000])
def test_blocks_grow_as_the_budget_asks(budget) -> None:
    layout = adaptive_layout(picture(64, 64), max_gaussians=budget)
    assert layout.pixels.shape[1] <= budget
    assert (painted(layout, 64, 64)[0] == 1).all()


def test_flat_areas_share_gaussians_first() -> None:
    layout = adaptive_layout(picture(16, 32), max_gaussians=16 * 16 + 16)
    large = layout.sizes[0] > 1
    assert (layout.sizes[0][large] == 4).all() and int(large.sum()) == 16
    assert (layout.pixels[0, large, 0] < 16).all()
    _, means = painted(layout, 16, 32)
    torch.testing.assert_close(means, picture(16, 32)[0])


def test_no_cover_of_as_many_blocks_is_better() -> None:
    """The tree is the cheapest at its price, found by trying; so none of its size has a smaller error."""
    image = picture(8, 16)
    layout = adaptive_layout(image, max_gaussians=70)
    _, means = painted(layout, 8, 16)
    error = float((means - image[0]).square().sum())
    count = layout.sizes.shape[1]
    for price in np.geomspace(1e-4, 10, 60):
        trees = [
            reference.cheapest_cover(image[0].numpy(), row, column, 4, price)
            for row in (0, 4)
            for column in (0, 4, 8, 12)
        ]
        # cost = error + price * blocks, and the reference's is the smallest there is
        assert error + price * count >= sum(cost for cost, _ in trees) - 1e-9
    assert 60 <= count <= 70


def test_gradient_of_colours() -> None:
    image = picture(8, 12).requires_grad_()
    layout = adaptive_layout(image, max_gaussians=60)
    (layout.colors * layout.sizes[..., None] ** 2).sum().backward()
    torch.testing.assert_close(image.grad, torch.ones_like(image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_gaussians": 0}, "max_gaussians must be at least 1, got 0"),
        ({"max_gaussians": 9, "max_size": 3}, "max_size must be a power of two, got 3"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        adaptive_layout(picture(8, 8), **options)


def test_guided_sampling_matches_the_loop_with_its_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    positions = torch.rand(2, 23, 2, generator=generator, dtype=torch.float64)
    colors = torch.rand(2, 23, 3, generator=generator, dtype=torch.float64)
    map_colors = torch.rand(2, 3, 5, 7, generator=generator, dtype=torch.float64)
    maps = torch.randn(2, 11, 5, 7, generator=generator, dtype=torch.float64)
    values = GuidedSampler(positions, colors, map_colors, sigma=0.3)(maps)
    assert values.shape == (2, 11, 23)
    for sample in range(2):
        for point in range(23):
            expected = reference.guided_value(
                maps[sample].numpy(),
                map_colors[sample].numpy(),
                *positions[sample, point].tolist(),
                colors[sample, point].numpy(),
                0.3,
            )
            np.testing.assert_allclose(values[sample, :, point].numpy(), expected, atol=1e-12)
    sampler = GuidedSampler(positions, colors, map_colors, sigma=0.3)
    assert torch.autograd.gradcheck(sampler, (maps[:, :2].clone().requires_grad_(),))


def test_guided_sampling_keeps_to_its_side_of_an_edge() -> None:
    map_colors = torch.zeros(1, 3, 1, 2)
    map_colors[..., 1] = 1.0
    depth = torch.tensor([[[[2.0, 10.0]]]])
    positions = torch.full((1, 2, 2), 0.5)
    colors = torch.tensor([[[0.0] * 3, [1.0] * 3]])
    near, far = GuidedSampler(positions, colors, map_colors)(depth)[0, 0].tolist()
    assert near == pytest.approx(2, abs=0.02) and far == pytest.approx(10, abs=0.02)


@pytest.mark.parametrize("budget", [900, 4000])
def test_first_frame_takes_what_the_others_leave_and_nine_tenths_at_least(budget) -> None:
    model, noise = small_ldrm(), torch.rand(1, 3, 64, 96, dtype=torch.float64)
    field = model(
        latents(1, 3, 3, 4, 6), path(1, 9, 32, 48), image=noise, times=torch.zeros(1), max_gaussians=budget
    )
    first = field.num_gaussians - 2 * 16 * 24
    others = int((field.canonical.opacities[0, first:] > 0).sum())
    room = max(budget - others, 0.9 * budget)
    assert (room > 0.9 * budget) == (budget == 4000)
    assert room - 9 < first <= room


def test_budget_of_the_model() -> None:
    model = small_ldrm()
    cameras, z = path(1, 9, 32, 48), latents(1, 3, 3, 4, 6)
    image = picture(64, 96)
    later = 2 * 16 * 24
    whole = model(z, cameras, image=image)
    field = model(z, cameras, image=image, max_gaussians=4000)
    assert whole.num_gaussians == 64 * 96 + later
    # half of the picture is noise, 3072 pixels; the other half is at least 192 blocks
    assert 3072 + 192 + later <= field.num_gaussians <= 4000 + later
    field.validate()
    assert model(z, cameras, image=image, max_gaussians=9999).num_gaussians == whole.num_gaussians
    with pytest.raises(ValueError, match="max_gaussians needs the image"):
        model(z, cameras, max_gaussians=4000)
    with pytest.raises(ValueError, match="max_gaussians needs one clip at a time, got 2"):
        model(
            latents(2, 3, 3, 4, 6), path(2, 9, 32, 48), image=image.expand(2, -1, -1, -1), max_gaussians=4000
        )
