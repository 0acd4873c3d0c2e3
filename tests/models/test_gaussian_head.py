import numpy as np
import pytest
import torch
from models.parts import check_values_and_slope, stir, token_grids, weights_of
from reference import models_heads as reference
from torch import nn

from diff4splat.models import GaussianHead


@pytest.mark.parametrize("temporal", [1, 4])
@pytest.mark.parametrize("upsampling", [4, 8])
def test_deconvolution_gives_one_entry_per_pixel(temporal, upsampling) -> None:
    head = GaussianHead(
        7, upsampling=upsampling, temporal_upsampling=temporal, width=6, pixel_width=5
    ).double()
    maps, pixels = head(token_grids(1)[0])
    frames = 2 if temporal == 1 else 5
    assert maps.shape == (2, frames, 12, 3 * upsampling, 5 * upsampling)
    assert pixels.shape == (2, frames, 5, 3 * upsampling, 5 * upsampling)
    assert maps.dtype == torch.float64


def test_deconvolution_is_the_transposed_convolution_of_its_token() -> None:
    head = GaussianHead(7, upsampling=8, temporal_upsampling=3, width=6, pixel_width=5).double()
    tokens = token_grids(1)[0]
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
    tokens = token_grids(1)[0]
    image = torch.rand(2, 3, 12, 20, dtype=torch.float64)
    with_image, without = head(tokens, image)[0], head(tokens)[0]
    assert (with_image[:, 0] != without[:, 0]).any()
    assert torch.equal(with_image[:, 1:], without[:, 1:])


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("upsampling", "temporal"), [(8, 3), (20, 6), (32, 1)])
def test_gaussian_map_matches_the_loop_with_its_gradient(known, upsampling, temporal) -> None:
    head = GaussianHead(
        7, upsampling=upsampling, temporal_upsampling=temporal, width=6, pixel_width=5
    ).double()
    stir(head)
    generator = torch.Generator().manual_seed(3)
    columns = 2 if upsampling == 8 else 1
    size = (upsampling, columns * upsampling)
    leaves = [torch.randn(1, 2, 1, columns, 7, generator=generator, dtype=torch.float64)]
    if known:
        leaves.append(torch.rand(1, 3, *size, generator=generator, dtype=torch.float64))
    weights = weights_of(head)

    def by_loop(tokens: np.ndarray, image: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        image = None if image is None else image[0]
        return reference.gaussian_head(tokens[0], image, weights, temporal_upsampling=temporal)

    results = head(*[leaf.requires_grad_() for leaf in leaves])
    assert results[0].shape == (1, temporal + 1, 12, *size)
    check_values_and_slope(results, by_loop, leaves)


@pytest.mark.parametrize(
    ("upsampling", "temporal", "kernels"),
    [
        (8, 1, [(1, 2, 2), (1, 4, 4)]),
        (16, 4, [(4, 4, 4), (1, 4, 4)]),
        (32, 8, [(2, 2, 2), (4, 4, 4), (1, 4, 4)]),
        (20, 6, [(2, 1, 1), (3, 5, 5), (1, 4, 4)]),
        (64, 1, [(1, 4, 4), (1, 4, 4), (1, 4, 4)]),
    ],
)
def test_no_deconvolution_has_a_large_kernel(upsampling, temporal, kernels) -> None:
    head = GaussianHead(7, upsampling=upsampling, temporal_upsampling=temporal, width=6, pixel_width=5)
    found = [part for part in head.modules() if isinstance(part, nn.ConvTranspose3d)]
    assert sorted(part.kernel_size for part in found) == sorted(kernels)
    assert all(part.kernel_size == part.stride for part in found)


def test_upsampling_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="upsampling must be a multiple of 4, got 6"):
        GaussianHead(7, upsampling=6)
