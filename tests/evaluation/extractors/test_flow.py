"""Optical flow of known shifts, and the motion of clips."""

import math

import pytest
import torch
from torch.nn import functional

from diff4splat.evaluation import DisFlow, clip_motion
from diff4splat.evaluation.extractors import ExtractorSpec, OpticalFlow


def texture(height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(1, 3, height // 7, width // 7, generator=torch.Generator().manual_seed(0))
    image = functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    return (image * 255).clamp(0, 255).byte()


def sliding(frames: int, across: int, down: int) -> torch.Tensor:
    """A window that moves over a picture; so the picture moves the other way."""
    picture = texture(151, 181)
    return torch.stack(
        [picture[:, down * i : down * i + 97, across * i : across * i + 113] for i in range(frames)]
    )


def test_a_shift_is_found_with_its_sign() -> None:
    first, second = sliding(2, 3, 2)
    flow = DisFlow()(first, second)
    assert flow.shape == (97, 113, 2)
    middle = flow[20:-20, 20:-20].flatten(0, 1).median(0).values
    torch.testing.assert_close(middle, torch.tensor([-3.0, -2.0]), atol=0.05, rtol=0)


def test_the_motion_of_a_clip_is_the_length_of_its_steps() -> None:
    motion = clip_motion(sliding(5, 3, 4))
    assert motion.pixels.shape == (4,)
    assert motion.mean_px == pytest.approx(5, rel=0.05)
    assert motion.mean_diagonals == pytest.approx(motion.mean_px / math.hypot(97, 113))


def test_a_frozen_clip_does_not_move() -> None:
    motion = clip_motion(sliding(3, 0, 0))
    assert motion.mean_px == 0 and motion.mean_diagonals == 0


class Given:
    """Flow that is 1 on the left half and NaN on the right."""

    spec = ExtractorSpec("given", "", "", "none", trained=False)

    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        flow = torch.full((*first.shape[1:], 2), math.nan)
        flow[:, : first.shape[2] // 2] = torch.tensor([1.0, 0.0])
        return flow


def test_other_flows_and_masks_can_be_given() -> None:
    frames = sliding(3, 1, 0)
    assert isinstance(Given(), OpticalFlow) and isinstance(DisFlow("fast"), OpticalFlow)
    assert math.isnan(clip_motion(frames, Given()).mean_px)
    mask = torch.zeros(3, 97, 113, dtype=torch.bool)
    mask[..., :50] = True
    assert clip_motion(frames, Given(), mask=mask).pixels.tolist() == [1.0, 1.0]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="frames must be at least 2, got 1"):
        clip_motion(sliding(1, 0, 0))
    with pytest.raises(ValueError, match="at least 16 pixels a side"):
        DisFlow()(*sliding(2, 1, 1)[..., :11])
    with pytest.raises(ValueError, match="preset must be one of"):
        DisFlow.__init__.__wrapped__(DisFlow.__new__(DisFlow), "slow")
    assert "preset fast" in str(DisFlow("fast").spec)
