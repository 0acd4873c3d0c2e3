"""What scale and shift make of a map."""

import json
import math

import pytest
import torch

from diff4splat.data.metric_depth import (
    Anchors,
    DepthAlignment,
    apply_alignment,
    check_on_map,
    metric_scale,
)

RELATIVE = torch.tensor([[0.5, 0.25, 0.0], [-0.2, 1.0, math.nan]], dtype=torch.float64)


def test_disparity_is_inverted_and_ends_at_the_limit() -> None:
    alignment = DepthAlignment(2.0, 0.1)
    depth = apply_alignment(RELATIVE, alignment)
    expected = [[1 / 1.1, 1 / 0.6, 10], [1000, 1 / 2.1, math.nan]]
    torch.testing.assert_close(depth, torch.tensor(expected).double(), equal_nan=True)
    assert float(apply_alignment(RELATIVE, alignment, min_disparity=0.01)[1, 0]) == pytest.approx(100)
    half = apply_alignment(RELATIVE.half(), alignment)
    assert half.dtype == torch.float16 and float(half[0, 2]) == pytest.approx(10, rel=1e-3)


def test_depth_is_the_line_itself() -> None:
    depth = apply_alignment(RELATIVE, DepthAlignment(2.0, 0.1, "depth"))
    torch.testing.assert_close(depth, 2 * RELATIVE + 0.1, equal_nan=True)


@pytest.mark.parametrize("space", ["disparity", "depth"])
def test_gradients(space: str) -> None:
    alignment = DepthAlignment(2.0, 0.3, space)
    relative = RELATIVE[:, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: apply_alignment(value, alignment), relative)
    apply_alignment(relative, alignment).sum().backward()
    assert (float(relative.grad[1, 0]) == 0) is (space == "disparity"), "none beyond the limit"


def test_pixels_behind_the_camera_reject() -> None:
    alignment = DepthAlignment(2.0, 0.1)
    checked = check_on_map(RELATIVE, alignment, min_positive=0.8)
    assert checked.accepted and checked.positive_share == 0.8
    checked = check_on_map(RELATIVE, alignment, min_positive=0.9)
    assert checked.reason == "80.0% of the pixels are in front, fewer than 90%"
    assert check_on_map(RELATIVE, alignment, mask=RELATIVE >= 0, min_positive=1.0).accepted
    nothing = check_on_map(RELATIVE, alignment, mask=torch.zeros_like(RELATIVE, dtype=torch.bool))
    assert nothing.reason == "no pixel of the map is known"
    rejected = DepthAlignment(math.nan, math.nan, reason="2 anchors are fewer than 3")
    assert check_on_map(RELATIVE, rejected) is rejected


def test_size_of_a_camera_unit_in_metres() -> None:
    depth = torch.tensor([1.0, 2.0, 4.0, 5.0, 8.0])
    relative = 1 / (1.5 * depth)
    relative[3] = 7.0
    numbers = torch.arange(5)
    anchors = Anchors(relative, depth, torch.ones(5), numbers, numbers)
    assert metric_scale(DepthAlignment(1.0, 0.0), anchors) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="anchors must give a factor above 0, got -"):
        metric_scale(DepthAlignment(-1.0, 0.0, "depth"), anchors)
    none = Anchors(relative[:0], depth[:0], torch.ones(0), numbers[:0], numbers[:0])
    with pytest.raises(ValueError, match="got nan from 0 of them"):
        metric_scale(DepthAlignment(1.0, 0.0), none)


def test_facts_are_json() -> None:
    facts = DepthAlignment(2.0, 0.1, reason="so").facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["scale"] == 2.0 and facts["residual"] is None and facts["reason"] == "so"


def test_bad_arguments_are_named(without_shape_checker: None) -> None:
    good = DepthAlignment(2.0, 0.1)
    with pytest.raises(ValueError, match="space must be one of disparity, depth, got 'log'"):
        DepthAlignment(2.0, 0.1, "log")
    with pytest.raises(ValueError, match="must have a scale and a shift, got none: 2 anchors"):
        apply_alignment(RELATIVE, DepthAlignment(math.nan, math.nan, reason="2 anchors are fewer than 3"))
    with pytest.raises(ValueError, match="min_disparity must be above 0, got 0"):
        apply_alignment(RELATIVE, good, min_disparity=0)
    with pytest.raises(ValueError, match="min_positive must be from 0 to 1, got 2"):
        check_on_map(RELATIVE, good, min_positive=2)
    with pytest.raises(ValueError, match=r"mask must have shape \[2, 3\], got \[1, 3\]"):
        check_on_map(RELATIVE, good, mask=RELATIVE[:1] > 0)
