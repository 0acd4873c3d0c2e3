"""Length of optical flow against a loop, and its unit."""

import math

import pytest
import torch

from diff4splat.evaluation import flow_magnitude


def test_length_matches_the_loop() -> None:
    flow = torch.randn(2, 5, 7, 2, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(1)) < 0.6
    found = flow_magnitude(flow, mask=mask)
    for number in range(2):
        lengths = [
            math.hypot(*flow[number, row, column].tolist())
            for row in range(5)
            for column in range(7)
            if mask[number, row, column]
        ]
        assert found[number].item() == pytest.approx(sum(lengths) / len(lengths))


def test_a_step_of_three_and_four_pixels_is_five() -> None:
    flow = torch.tensor([3.0, 4.0]).expand(30, 40, 2)
    assert flow_magnitude(flow).item() == 5
    assert flow_magnitude(flow, share_of_diagonal=True).item() == pytest.approx(0.1)


def test_what_is_masked_may_be_anything_and_nothing_left_is_nan() -> None:
    flow = torch.ones(5, 7, 2)
    flow[0] = math.nan
    mask = torch.ones(5, 7, dtype=torch.bool)
    assert flow_magnitude(flow).isnan()  # never dropped unasked
    mask[0] = False
    assert flow_magnitude(flow, mask=mask).item() == pytest.approx(math.sqrt(2))
    assert flow_magnitude(flow, mask=torch.zeros_like(mask)).isnan()


def test_flow_and_masks_of_other_shapes_are_refused(without_shape_checker) -> None:
    # pitfall: a transposed mask changed the number, and one of 1 x 1 multiplied it by the number of pixels
    flow = torch.ones(2, 3, 5, 2)
    for mask in (torch.ones(2, 5, 3), torch.ones(2, 1, 1), torch.ones(3, 5)):
        with pytest.raises(ValueError, match=r"mask must have shape \(2, 3, 5\)"):
            flow_magnitude(flow, mask=mask.bool())
    with pytest.raises(TypeError, match="mask must be boolean"):
        flow_magnitude(flow, mask=torch.ones(2, 3, 5))
    # pitfall: networks give x and y first; the lengths were then those of rows
    with pytest.raises(ValueError, match=r"flow must have shape .* 2\), got \(2, 2, 3, 5\)"):
        flow_magnitude(flow.movedim(-1, 1))
