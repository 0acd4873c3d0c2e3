import numpy as np
import pytest
import torch
from models.parts import stir, weights_of
from reference import models_heads as reference
from reference.finite_differences import slope

from diff4splat.models import DeformationHead, GaussianHead


def grids(
    count: int, *, frames: int = 2, height: int = 3, width: int = 5, dim: int = 7
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, frames, height, width, dim, generator=generator, dtype=torch.float64)
        for _ in range(count)
    ]


@pytest.mark.parametrize("temporal", [1, 4])
@pytest.mark.parametrize("upsampling", [4, 8])
def test_deconvolution_gives_one_entry_per_pixel(temporal, upsampling) -> None:
    head = GaussianHead(
        7, upsampling=upsampling, temporal_upsampling=temporal, width=6, pixel_width=5
    ).double()
    maps, pixels = head(grids(1)[0])
    frames = 2 if temporal == 1 else 5
    assert maps.shape == (2, frames, 12, 3 * upsampling, 5 * upsampling)
    assert pixels.shape == (2, frames, 5, 3 * upsampling, 5 * upsampling)
    assert maps.dtype == torch.float64


def test_deconvolution_is_the_transposed_convolution_of_its_token() -> None:
    head = GaussianHead(7, upsampling=8, temporal_upsampling=3, width=6, pixel_width=5).double()
    tokens = grids(1)[0]
    volume = head.coarse(torch.zeros(1, 7, 2, 3, 5, dtype=torch.float64).copy_(tokens[:1].movedim(-1, 1)))
    weight, bias = head.coarse.weight, head.coarse.bias
    assert volume.shape == (1, 6, 6, 6, 10)
    for frame, row, column in ((0, 0, 0), (5, 3, 7), (4, 5, 9)):
        token = tokens[0, frame // 3, row // 2, column // 2]
        expected = token @ weight[:, :, frame % 3, row % 2, column % 2] + bias
        torch.testing.assert_close(volume[0, :, frame, row, column], expected, atol=1e-13, rtol=0)


def test_the_known_image_reaches_the_first_frame_alone() -> None:
    head = GaussianHead(7, upsampling=4, width=6, pixel_width=5).double()
    stir(head)
    tokens = grids(1)[0]
    image = torch.rand(2, 3, 12, 20, dtype=torch.float64)
    with_image, without = head(tokens, image)[0], head(tokens)[0]
    assert (with_image[:, 0] != without[:, 0]).any()
    assert torch.equal(with_image[:, 1:], without[:, 1:])


@pytest.mark.parametrize("known", [False, True])
def test_gaussian_map_matches_the_loop_with_its_gradient(known) -> None:
    head = GaussianHead(7, upsampling=8, temporal_upsampling=3, width=6, pixel_width=5).double()
    stir(head)
    generator = torch.Generator().manual_seed(3)
    leaves = [torch.randn(1, 2, 1, 2, 7, generator=generator, dtype=torch.float64)]
    if known:
        leaves.append(torch.rand(1, 3, 8, 16, generator=generator, dtype=torch.float64))
    weights = weights_of(head)

    def by_loop(tokens: np.ndarray, image: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        image = None if image is None else image[0]
        return reference.gaussian_head(tokens[0], image, weights, temporal_upsampling=3)

    results = head(*[leaf.requires_grad_() for leaf in leaves])
    assert results[0].shape == (1, 4, 12, 8, 16)
    check_values_and_slope(results, by_loop, leaves)


def check_values_and_slope(results, by_loop, leaves: list[torch.Tensor]) -> None:
    """Outputs of one sample are those of the loop, and their gradient is the loop's slope."""
    arrays = [leaf.detach().numpy() for leaf in leaves]
    expected = by_loop(*arrays)
    for result, values in zip(results, expected, strict=True):
        np.testing.assert_allclose(result[0].detach().numpy(), values, atol=1e-11)
    draw = np.random.default_rng(0)
    probes = [draw.normal(size=values.shape) for values in expected]
    directions = [draw.normal(size=array.shape) for array in arrays]
    sum((r[0] * torch.from_numpy(p)).sum() for r, p in zip(results, probes, strict=True)).backward()
    got = sum(
        float((leaf.grad * torch.from_numpy(d)).sum()) for leaf, d in zip(leaves, directions, strict=True)
    )
    difference = slope(
        lambda *arrays: sum(float(np.sum(v * p)) for v, p in zip(by_loop(*arrays), probes, strict=True)),
        arrays,
        directions,
    )
    assert got == pytest.approx(difference, rel=1e-7)


def test_upsampling_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="upsampling must be a multiple of 4, got 6"):
        GaussianHead(7, upsampling=6)


def deformation(head: DeformationHead, times: torch.Tensor, frame_times: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(2, 2, 5, 12, 20, generator=generator, dtype=torch.float64)
    return head(grids(4), pixels, times.double(), frame_times.double())


TIMES = torch.tensor([[0.0, 0.3, 1.0], [0.1, 0.5, 0.7]])
FRAME_TIMES = torch.tensor([[0.0, 1.0], [0.0, 0.7]])


def test_deformation_map_matches_the_loop_with_its_gradient() -> None:
    head = DeformationHead(7, width=6, pixel_width=5, time_dim=8).double()
    stir(head, 0.3)
    generator = torch.Generator().manual_seed(2)
    leaves = [torch.randn(1, 2, 2, 3, 7, generator=generator, dtype=torch.float64) for _ in range(4)]
    leaves.append(torch.randn(1, 2, 5, 8, 12, generator=generator, dtype=torch.float64))
    times, frame_times = torch.tensor([[0.0, 0.3, 0.9]]).double(), torch.tensor([[0.2, 0.7]]).double()
    weights = weights_of(head)

    def by_loop(*arrays: np.ndarray) -> list[np.ndarray]:
        levels, pixels = [level[0] for level in arrays[:4]], arrays[4][0]
        return [
            reference.deformation_head(
                levels, pixels, times[0].tolist(), frame_times[0].tolist(), weights, time_dim=8
            )
        ]

    for leaf in leaves:
        leaf.requires_grad_()
    check_values_and_slope([head(leaves[:4], leaves[4], times, frame_times)], by_loop, leaves)


def test_fresh_head_moves_nothing_and_has_ten_channels() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    maps = deformation(head, TIMES, FRAME_TIMES)
    assert maps.shape == (2, 3, 2, 10, 12, 20)
    assert (maps == 0).all()


def test_a_pixel_does_not_move_at_its_own_time() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    stir(head)
    maps = deformation(head, TIMES, FRAME_TIMES)
    assert (maps[0, 0, 0] == 0).all() and (maps[0, 2, 1] == 0).all() and (maps[1, 2, 1] == 0).all()
    others = torch.ones(2, 3, 2, dtype=torch.bool)
    others[0, 0, 0] = others[0, 2, 1] = others[1, 2, 1] = False
    assert (maps.abs().amax((-3, -2, -1)) > 0)[others].all()


def test_a_target_time_is_decoded_alike_alone_and_among_others() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    stir(head)
    maps = deformation(head, TIMES, FRAME_TIMES)
    for index in range(3):
        alone = deformation(head, TIMES[:, index : index + 1], FRAME_TIMES)
        torch.testing.assert_close(alone[:, 0], maps[:, index], atol=1e-12, rtol=0)


def test_every_depth_is_read() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    stir(head)
    levels = [level.requires_grad_() for level in grids(4)]
    pixels = torch.randn(2, 2, 5, 12, 20, dtype=torch.float64, requires_grad=True)
    head(levels, pixels, TIMES.double(), FRAME_TIMES.double()).square().sum().backward()
    for values in (*levels, pixels):
        assert torch.isfinite(values.grad).all() and (values.grad != 0).any()


def test_a_single_token_is_enough() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    pixels = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64)
    levels = grids(4, height=1, width=1)
    assert head(levels, pixels, TIMES.double(), FRAME_TIMES.double()).shape == (2, 3, 2, 10, 4, 4)


def test_wrong_number_of_levels_is_refused() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    pixels = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="levels must have 4 grids, got 3"):
        head(grids(3), pixels, TIMES.double(), FRAME_TIMES.double())
