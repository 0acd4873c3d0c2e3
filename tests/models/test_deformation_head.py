import numpy as np
import pytest
import torch
from models.parts import check_values_and_slope, stir, token_grids, weights_of
from reference import models_heads as reference

from diff4splat.models import DeformationHead


def deformation(head: DeformationHead, times: torch.Tensor, frame_times: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(2, 2, 5, 12, 20, generator=generator, dtype=torch.float64)
    return head(token_grids(4), pixels, times.double(), frame_times.double())


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
    levels = [level.requires_grad_() for level in token_grids(4)]
    pixels = torch.randn(2, 2, 5, 12, 20, dtype=torch.float64, requires_grad=True)
    head(levels, pixels, TIMES.double(), FRAME_TIMES.double()).square().sum().backward()
    for values in (*levels, pixels):
        assert torch.isfinite(values.grad).all() and (values.grad != 0).any()


def test_a_single_token_is_enough() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    pixels = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64)
    levels = token_grids(4, height=1, width=1)
    assert head(levels, pixels, TIMES.double(), FRAME_TIMES.double()).shape == (2, 3, 2, 10, 4, 4)


def test_wrong_number_of_levels_is_refused() -> None:
    head = DeformationHead(7, width=6, pixel_width=5).double()
    pixels = torch.randn(2, 2, 5, 4, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="levels must have 4 grids, got 3"):
        head(token_grids(3), pixels, TIMES.double(), FRAME_TIMES.double())
