import inspect

import numpy as np
import pytest
import torch
from models.parts import path

from diff4splat.cameras import pack_frames, plucker_rays, pool_maps, unshuffle_pixels


def maps(frames: int, channels: int = 5, height: int = 6, width: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, frames, channels, height, width, generator=generator, dtype=torch.float64)


def frames_of(latent: int, stride: int) -> list[int]:
    return [0] * stride if latent == 0 else list(range((latent - 1) * stride + 1, latent * stride + 1))


@pytest.mark.parametrize("order", ["frame", "channel"])
@pytest.mark.parametrize(("frames", "stride"), [(1, 4), (9, 4), (7, 3), (3, 1)])
def test_packing_matches_the_loop(frames, stride, order):
    values = maps(frames)
    packed = pack_frames(values, temporal_stride=stride, order=order)
    assert packed.shape == (2, (frames - 1) // stride + 1, 5 * stride, 6, 9)
    for latent in range(packed.shape[1]):
        for slot, frame in enumerate(frames_of(latent, stride)):
            for channel in range(5):
                place = slot * 5 + channel if order == "frame" else channel * stride + slot
                assert torch.equal(packed[:, latent, place], values[:, frame, channel])


@pytest.mark.parametrize(("frames", "stride"), [(1, 4), (9, 4), (7, 3)])
def test_pooling_matches_the_loop(frames, stride):
    values = maps(frames)
    pooled = pool_maps(values, temporal_stride=stride, spatial_stride=3)
    array = values.numpy()
    for latent in range(pooled.shape[1]):
        for row, column in np.ndindex(2, 3):
            block = array[:, frames_of(latent, stride), :, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
            np.testing.assert_allclose(
                pooled[:, latent, :, row, column].numpy(), block.mean((1, 3, 4)), atol=1e-14
            )


def test_unshuffling_matches_the_loop_and_torch():
    values = maps(3)
    blocks = unshuffle_pixels(values, 3)
    assert blocks.shape == (2, 3, 45, 2, 3)
    for channel, i, j in np.ndindex(5, 3, 3):
        assert torch.equal(blocks[:, :, channel * 9 + i * 3 + j], values[:, :, channel, i::3, j::3])
    assert torch.equal(blocks, torch.nn.functional.pixel_unshuffle(values, 3))


def test_the_input_of_the_wan_fun_adapter_has_its_channels():
    """Four frames of six numbers and blocks of 8 x 8 pixels: 1536 channels on the latent grid."""
    rays = plucker_rays(path(1, 9, 16, 24))
    folded = unshuffle_pixels(pack_frames(rays, temporal_stride=4, order="channel"), 8)
    assert folded.shape == (1, 3, 1536, 2, 3)
    # latent 1 holds frames 1 to 4: moment x of frame 3, pixel (row 2, column 5) of block (1, 2)
    assert folded[0, 1, (0 * 4 + 2) * 64 + 2 * 8 + 5, 1, 2] == rays[0, 3, 0, 8 + 2, 16 + 5]


def test_gradients():
    values = maps(4, 2, 2, 4).requires_grad_()

    def fold(leaf):
        packed = pack_frames(leaf, temporal_stride=3)
        return unshuffle_pixels(packed, 2), pool_maps(leaf, temporal_stride=3, spatial_stride=2)

    assert torch.autograd.gradcheck(fold, (values,))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"maps must have k \* 4 \+ 1 frames for temporal_stride=4, got 8"):
        pack_frames(maps(8), temporal_stride=4)
    with pytest.raises(ValueError, match="temporal_stride must be at least 1, got 0"):
        pack_frames(maps(8), temporal_stride=0)
    with pytest.raises(ValueError, match="width must be a multiple of spatial_stride=2, got 9"):
        pool_maps(maps(5), temporal_stride=4, spatial_stride=2)
    with pytest.raises(ValueError, match="height must be a multiple of factor=4, got 6"):
        unshuffle_pixels(maps(1), 4)
    with pytest.raises(ValueError, match=r"maps must have the axes frame, channel, .* got shape \(6, 9\)"):
        inspect.unwrap(pack_frames)(maps(1)[0, 0, 0], temporal_stride=4)


def test_missing_frames_and_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"maps must have k \* 1 \+ 1 frames for temporal_stride=1, got 0"):
        pack_frames(maps(3)[:, :0], temporal_stride=1)
    with pytest.raises(
        ValueError, match=r"maps must have the axes channel, height and width, got shape \(6, 9\)"
    ):
        inspect.unwrap(unshuffle_pixels)(maps(1)[0, 0, 0], 3)
