import inspect

import numpy as np
import pytest
import torch
from reference import cameras_plucker as reference
from reference.geometry_quaternion import to_matrix

from diff4splat.cameras import Cameras, PluckerEmbedding, plucker_rays

HEIGHT, WIDTH = 5, 7


def random_cameras(*shape, dtype=torch.float64):
    draw = np.random.default_rng(0)
    transforms, intrinsics = np.zeros((*shape, 4, 4)), np.zeros((*shape, 3, 3))
    for index in np.ndindex(*shape):
        transforms[index][:3, :3] = to_matrix(draw.normal(size=4))
        transforms[index][:3, 3] = draw.normal(size=3)
        transforms[index][3, 3] = 1
        intrinsics[index] = [[draw.uniform(5, 9), 0.2, 3.1], [0, draw.uniform(5, 9), 2.7], [0, 0, 1]]
    return Cameras(
        torch.tensor(transforms, dtype=dtype), torch.tensor(intrinsics, dtype=dtype), HEIGHT, WIDTH
    )


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_rays_match_the_loop(dtype, tolerance):
    cameras = random_cameras(2, 3, dtype=dtype)
    rays = plucker_rays(cameras)
    assert rays.shape == (2, 3, 6, HEIGHT, WIDTH) and rays.dtype == dtype
    for i, j in np.ndindex(2, 3):
        expected = reference.plucker_rays(
            cameras.camera_to_world[i, j].double().numpy(),
            cameras.intrinsics[i, j].double().numpy(),
            HEIGHT,
            WIDTH,
        )
        assert np.allclose(rays[i, j].double(), expected, atol=tolerance)


def test_moment_is_orthogonal_to_the_unit_direction():
    moment, direction = plucker_rays(random_cameras(3)).split(3, dim=-3)
    assert torch.allclose((moment * direction).sum(-3), torch.zeros(3, HEIGHT, WIDTH).double(), atol=1e-14)
    assert torch.allclose(direction.norm(dim=-3), torch.ones(3, HEIGHT, WIDTH).double(), atol=1e-14)


def test_sliding_a_camera_along_a_ray_keeps_that_ray():
    cameras = random_cameras(1)
    rays = plucker_rays(cameras)
    moved = cameras.camera_to_world.clone()
    moved[0, :3, 3] += 2.5 * rays[0, 3:, 2, 4]
    after = plucker_rays(Cameras(moved, cameras.intrinsics, HEIGHT, WIDTH))
    assert torch.allclose(after[0, :, 2, 4], rays[0, :, 2, 4], atol=1e-14)
    assert not torch.allclose(after[0, :, 0, 0], rays[0, :, 0, 0], atol=1e-3)


def test_gradients_reach_the_cameras():
    cameras = random_cameras(1)
    transforms = cameras.camera_to_world.clone().requires_grad_()
    intrinsics = cameras.intrinsics.clone().requires_grad_()

    def rays(transforms, intrinsics):
        return plucker_rays(Cameras(transforms, intrinsics, 2, 3))

    assert torch.autograd.gradcheck(rays, (transforms, intrinsics))


def test_embedding_starts_as_zero_and_can_learn():
    embedding = PluckerEmbedding(embed_dim=11, patch_size=3)
    rays = torch.randn(2, 5, 6, 6, 9, generator=torch.Generator().manual_seed(0))
    tokens = embedding(rays)
    assert tokens.shape == (2, 5, 2 * 3, 11)
    assert torch.count_nonzero(tokens) == 0
    tokens.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in embedding.parameters())


def test_embedding_sees_its_own_patch_in_row_major_order():
    embedding = PluckerEmbedding(embed_dim=7, patch_size=2).double()
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(embedding.projection.weight.shape, generator=generator, dtype=torch.float64)
    embedding.projection.weight.data.copy_(weight)
    rays = torch.randn(1, 3, 6, 4, 6, generator=generator, dtype=torch.float64)
    tokens = embedding(rays)
    for frame in range(3):
        for row in range(2):
            for column in range(3):
                patch = rays[0, frame, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                expected = torch.einsum("echw,chw->e", weight, patch)
                assert torch.allclose(tokens[0, frame, 3 * row + column], expected, atol=1e-12)


def test_embedding_is_saved_and_loaded(tmp_path):
    embedding = PluckerEmbedding(embed_dim=7, patch_size=2)
    torch.nn.init.normal_(embedding.projection.weight, generator=torch.Generator().manual_seed(1))
    embedding.save_pretrained(tmp_path)
    loaded = PluckerEmbedding.from_pretrained(tmp_path)
    assert loaded.config == {"embed_dim": 7, "patch_size": 2}
    assert torch.equal(loaded.projection.weight, embedding.projection.weight)


def test_embedding_errors():
    embedding = PluckerEmbedding(embed_dim=7, patch_size=4)
    with pytest.raises(ValueError, match=r"axes batch, frame, 6, .* got shape \(1, 6, 8, 8\); add one"):
        inspect.unwrap(PluckerEmbedding.forward)(embedding, torch.zeros(1, 6, 8, 8))
    with pytest.raises(ValueError, match="height must be a multiple of patch_size=4, got 6"):
        embedding(torch.zeros(1, 1, 6, 6, 8))
    with pytest.raises(ValueError, match="width must be a multiple of patch_size=4, got 7"):
        embedding(torch.zeros(1, 1, 6, 8, 7))
    with pytest.raises(ValueError, match="patch_size must be at least 1, got 0"):
        PluckerEmbedding(patch_size=0)


def test_an_empty_batch_has_no_tokens():
    tokens = PluckerEmbedding(5, 2)(torch.zeros(0, 3, 6, 4, 8))
    assert tokens.shape == (0, 3, 8, 5)


def test_rays_of_another_kind_are_refused(without_shape_checker):
    embedding = PluckerEmbedding(5, 2)
    for shape in ((2, 3, 12, 4, 8), (1, 2, 3, 6, 4, 8)):
        with pytest.raises(
            ValueError, match=r"rays must have the axes batch, frame, 6, .* got shape \([0-9, ]+\)\.$"
        ):
            embedding(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"got shape \(3, 6, 4, 8\); add one with rays\[None\]\.$"):
        embedding(torch.zeros(3, 6, 4, 8))
