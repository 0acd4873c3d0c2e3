"""Adaptive projected guidance against the loop."""

import math

import numpy as np
import pytest
import torch
from reference import diffusion_guidance as reference

from diff4splat.diffusion import AdaptiveProjectedGuidance, ConstantGuidance, guide


@pytest.mark.parametrize(("parallel", "norm_limit"), [(0.0, math.inf), (0.3, 2.0), (1.0, 1e6)])
def test_prediction_matches_reference(predictions, parallel, norm_limit) -> None:
    conditional, unconditional = predictions
    guidance = AdaptiveProjectedGuidance(ConstantGuidance(4.0), parallel=parallel, norm_limit=norm_limit)
    expected = reference.adaptive_projected(
        conditional.numpy(), unconditional.numpy(), 4.0, parallel, norm_limit
    )
    np.testing.assert_allclose(guidance.combine(*predictions, 4.0).numpy(), expected, atol=1e-12)


def test_narrow_types_are_rounded_once(predictions) -> None:
    narrow = [value.bfloat16() for value in predictions]
    guidance = AdaptiveProjectedGuidance(ConstantGuidance(4.0), parallel=0.3, norm_limit=2.0)
    expected = reference.adaptive_projected(*(value.double().numpy() for value in narrow), 4.0, 0.3, 2.0)
    result = guidance.combine(*narrow, 4.0).double().numpy()
    np.testing.assert_allclose(result, expected, rtol=2**-8, atol=1e-5)  # half a unit of bfloat16


def test_gradient_is_finite_where_the_predictions_agree(predictions) -> None:
    pair = [predictions[0].clone().requires_grad_() for _ in range(2)]
    guidance = AdaptiveProjectedGuidance(ConstantGuidance(4.0), norm_limit=2.0)
    guidance.combine(*pair, 4.0).sum().backward()
    assert pair[0].grad.isfinite().all() and pair[1].grad.isfinite().all()


def test_with_everything_kept_it_is_plain_guidance(predictions) -> None:
    guidance = AdaptiveProjectedGuidance(ConstantGuidance(4.0), parallel=1.0)
    torch.testing.assert_close(
        guidance.combine(*predictions, 4.0), guide(*predictions, 4.0), atol=1e-12, rtol=0
    )


def test_update_is_orthogonal_to_the_conditional_prediction(predictions) -> None:
    update = AdaptiveProjectedGuidance(ConstantGuidance(4.0)).combine(*predictions, 4.0) - predictions[0]
    assert update.norm() > 1
    assert (update * predictions[0]).flatten(1).sum(1).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm_limit": 0.0}, "norm_limit must be > 0, got 0.0"),
        ({"norm_limit": math.nan}, "norm_limit must be > 0, got nan"),
        ({"parallel": math.inf}, "parallel must be finite, got inf"),
    ],
)
def test_bad_options_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptiveProjectedGuidance(ConstantGuidance(2.0), **options)
