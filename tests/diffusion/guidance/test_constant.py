"""The constant scale."""

import math

import pytest

from diff4splat.diffusion import ConstantGuidance


def test_scale_is_the_value_at_every_step() -> None:
    assert ConstantGuidance() == ConstantGuidance(7.5)
    assert [ConstantGuidance(2.5).scale(step, 3) for step in range(3)] == [2.5] * 3


@pytest.mark.parametrize(("value", "needed"), [(2.5, True), (0.0, True), (0.5, True), (1.0, False)])
def test_a_second_pass_is_needed_unless_the_scale_is_one(value, needed) -> None:
    assert ConstantGuidance(value).needs_unconditional(3, 7) is needed


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_value_must_be_finite(value) -> None:
    with pytest.raises(ValueError, match=f"value must be finite, got {value}"):
        ConstantGuidance(value)
