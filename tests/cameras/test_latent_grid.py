import numpy as np
import pytest
import torch
from models.parts import path
from reference import cameras_latent_grid as reference

from diff4splat.cameras import Cameras, latent_rays


@pytest.mark.parametrize(("frames", "stride"), [(1, 4), (9, 4), (7, 3), (5, 1)])
def test_rays_match_the_loop(frames, stride) -> None:
    cameras = path(2, frames, 35, 55)
    rays = latent_rays(cameras, height=5, width=11, temporal_stride=stride)
    assert rays.shape == (2, (frames - 1) // stride + 1, 6 * stride, 5, 11)
    for sample in range(2):
        expected = reference.latent_rays(
            cameras.camera_to_world[sample].numpy(),
            cameras.intrinsics[sample].numpy(),
            (35, 55),
            (5, 11),
            stride,
        )
        np.testing.assert_allclose(rays[sample].numpy(), expected, atol=1e-13)


def test_first_frame_is_repeated_so_that_all_latents_have_the_same_channels() -> None:
    rays = latent_rays(path(1, 9, 16, 16), height=2, width=2, temporal_stride=4)
    first = rays[0, 0].unflatten(0, (4, 6))
    assert (first == first[:1]).all()
    second = rays[0, 1].unflatten(0, (4, 6))
    assert not torch.allclose(second[0], second[3])


def test_batch_axes_are_free() -> None:
    cameras = path(1, 5, 16, 16)
    flat = Cameras(cameras.camera_to_world[0], cameras.intrinsics[0], 16, 16)
    rays = latent_rays(flat, height=2, width=3, temporal_stride=4)
    assert torch.equal(rays, latent_rays(cameras, height=2, width=3, temporal_stride=4)[0])


def test_rays_do_not_depend_on_the_resolution_of_the_images() -> None:
    cameras = path(2, 5, 16, 32)
    rays = latent_rays(cameras, height=2, width=4, temporal_stride=4)
    finer = latent_rays(cameras.resize(48, 96), height=2, width=4, temporal_stride=4)
    torch.testing.assert_close(rays, finer, atol=1e-13, rtol=0)


def test_gradients_reach_the_poses() -> None:
    cameras = path(1, 3, 8, 8)
    pose = cameras.camera_to_world.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: latent_rays(Cameras(p, cameras.intrinsics, 8, 8), height=1, width=2, temporal_stride=2),
        (pose,),
    )


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"k \* 4 \+ 1 frames for temporal_stride=4, got 7"):
        latent_rays(path(1, 7, 8, 8), height=1, width=1, temporal_stride=4)
    with pytest.raises(ValueError, match="temporal_stride must be at least 1, got 0"):
        latent_rays(path(1, 5, 8, 8), height=1, width=1, temporal_stride=0)
