"""Consistency of the frames of a clip."""

import math

import pytest
import torch
from reference import evaluation_distributions as reference

from diff4splat.evaluation import masked_frames, temporal_consistency


def turned(*degrees: float) -> torch.Tensor:
    """Unit vectors in a plane."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack((angles.cos(), angles.sin()), -1)


def test_consistency_by_hand() -> None:
    # frame 2: cos 60 twice; frame 3: cos 30 to the one before, cos 90 to the first
    expected = (0.5 + (math.sqrt(3) / 2 + 0) / 2) / 2
    assert temporal_consistency(turned(0, 60, 90)) == pytest.approx(expected, rel=1e-12)


def test_both_cosines_are_clamped_each_by_itself() -> None:
    """Pitfall: clamped after their mean, or not at all, opposite frames would pull a clip down."""
    # frame 2 is opposite to the first: 0. frame 3: 0 to the first, cos 60 to the one before
    assert temporal_consistency(turned(0, 180, 120)) == pytest.approx((0 + 0.5 / 2) / 2)
    # frame 3 is the first again: 1 to the first, 0 and not -1 to the one before
    assert temporal_consistency(turned(0, 180, 0)) == pytest.approx((0 + 0.5) / 2)


def test_consistency_matches_loops() -> None:
    features = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) + 0.3
    found = temporal_consistency(features)
    assert found == pytest.approx(reference.consistency(features.double().numpy()), rel=1e-12)
    lengths = torch.rand(7, 1, generator=torch.Generator().manual_seed(1)) + 0.1
    assert temporal_consistency(lengths * features) == pytest.approx(found, rel=1e-6)
    assert temporal_consistency(features.flip(0)) != pytest.approx(found, rel=1e-3)  # another frame is first


def test_a_frozen_clip_is_perfect() -> None:
    """Pitfall: it says nothing about a clip alone; the flow of a clip belongs beside it."""
    assert temporal_consistency(torch.tensor([[0.3, -2.0, 5.0]]).expand(7, 3)) == pytest.approx(
        1.0, abs=1e-15
    )


def test_a_set_is_weighed_by_clips() -> None:
    """Pitfall: weighed by frames, as VBench does it, long clips would count for more."""
    long, short = turned(*[0] * 9), turned(0, 90)
    per_clip = [temporal_consistency(long), temporal_consistency(short)]
    assert sum(per_clip) / 2 == pytest.approx(0.5)
    by_frames = (8 * per_clip[0] + 1 * per_clip[1]) / 9
    assert by_frames == pytest.approx(8 / 9)


def test_bad_features_are_named() -> None:
    with pytest.raises(ValueError, match="features must be of at least 2 frames, got 1"):
        temporal_consistency(torch.ones(1, 3))
    with pytest.raises(ValueError, match="features must be finite and not zero"):
        temporal_consistency(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="features must be finite and not zero"):
        temporal_consistency(torch.tensor([[1.0, 0.0], [math.nan, 0.0]]))


def test_masked_frames_keep_what_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, 5, 7), generator=generator, dtype=torch.uint8)
    before = frames.clone()
    mask = torch.rand(2, 5, 7, generator=generator) > 0.5
    grey, mean = masked_frames(frames, mask), masked_frames(frames, mask, fill="mean")
    for filled in (grey, mean):
        assert filled.dtype == torch.uint8
        for t, y, x in mask.nonzero().tolist():
            assert filled[t, :, y, x].tolist() == frames[t, :, y, x].tolist()
    outside = (~mask).nonzero().tolist()
    kept = [frames[t, :, y, x].double() for t, y, x in mask.nonzero().tolist()]
    colour = (sum(kept) / len(kept)).round().tolist()
    assert all(grey[t, :, y, x].tolist() == [128] * 3 for t, y, x in outside)
    assert all(mean[t, :, y, x].tolist() == colour for t, y, x in outside)
    assert torch.equal(frames, before)
    assert torch.equal(masked_frames(frames, torch.ones_like(mask)), frames)
    assert (masked_frames(frames, torch.zeros_like(mask)) == 128).all()


def test_bad_masks_are_named() -> None:
    frames, nothing = torch.zeros(2, 3, 5, 7, dtype=torch.uint8), torch.zeros(2, 5, 7, dtype=torch.bool)
    with pytest.raises(ValueError, match="mask must hold somewhere"):
        masked_frames(frames, nothing, fill="mean")
    plain = getattr(masked_frames, "__wrapped__", masked_frames)
    with pytest.raises(
        ValueError, match=r"mask must be one for each pixel.*\(2, 5, 7\).*got shape \(2, 5, 5\)"
    ):
        plain(frames, nothing[..., :5])
    with pytest.raises(ValueError, match="fill must be one of grey, mean, got 'black'"):
        plain(frames, nothing, fill="black")


def test_features_that_are_not_one_vector_per_frame_are_refused(without_shape_checker) -> None:
    # pitfall: maps of 1 x 1 gave a number, for cosines were taken over their last axis
    for shape in ((5,), (5, 7, 1, 1)):
        with pytest.raises(ValueError, match="features must be one vector per frame, got shape"):
            temporal_consistency(torch.ones(shape))


def test_masked_frames_are_bytes(without_shape_checker) -> None:
    # pitfall: grey was 128 among colours from 0 to 1
    frames, mask = torch.rand(2, 3, 4, 5), torch.zeros(2, 4, 5)
    with pytest.raises(TypeError, match=r"frames must be uint8 .* torch\.float32 and torch\.bool"):
        masked_frames(frames, mask.bool())
    with pytest.raises(TypeError, match=r"mask boolean, got torch\.uint8 and torch\.float32"):
        masked_frames(frames.byte(), mask)
