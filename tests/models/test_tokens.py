import numpy as np
import pytest
import torch

from diff4splat.models import LatentPoseTokens, PatchTokens


def test_patches_match_the_loop() -> None:
    tokens = PatchTokens(channels=3, embed_dim=5, patch_size=2, dim=7).double()
    maps = torch.randn(2, 3, 3, 4, 6, dtype=torch.float64)
    result = tokens(maps).detach().numpy()
    assert result.shape == (2, 3 * 2 * 3, 7)
    embed, embed_bias = (x.detach().numpy() for x in (tokens.embed.weight, tokens.embed.bias))
    join, join_bias = (x.detach().numpy() for x in (tokens.join.weight, tokens.join.bias))
    for sample in range(2):
        index = 0
        for frame in range(3):
            for row in range(2):
                for column in range(3):
                    places = [
                        embed @ maps[sample, frame, :, 2 * row + i, 2 * column + j].numpy() + embed_bias
                        for i in range(2)
                        for j in range(2)
                    ]
                    expected = join @ np.concatenate(places) + join_bias
                    np.testing.assert_allclose(result[sample, index], expected, atol=1e-13)
                    index += 1


@pytest.mark.parametrize("dim", [8, 11])
def test_latent_and_pose_tokens_have_one_length_and_are_joined_channel_by_channel(dim) -> None:
    both = LatentPoseTokens(latent_channels=3, ray_channels=24, embed_dim=5, patch_size=2, dim=dim)
    latents, rays = torch.randn(2, 3, 3, 4, 6), torch.randn(2, 3, 24, 4, 6)
    of_latents, of_rays = both.latent(latents), both.pose(rays)
    assert of_latents.shape[:2] == of_rays.shape[:2] == (2, 3 * 2 * 3)
    joint = both(latents, rays)
    assert joint.shape == (2, 18, dim)
    assert torch.equal(joint[..., : dim - dim // 2], of_latents)
    assert torch.equal(joint[..., dim - dim // 2 :], of_rays)


def test_a_patch_sees_nothing_but_itself() -> None:
    tokens = PatchTokens(channels=3, embed_dim=5, patch_size=2, dim=7)
    maps = torch.randn(1, 2, 3, 4, 6)
    changed = maps.clone()
    changed[0, 1, :, 2:4, 0:2] += 1
    different = (tokens(maps) != tokens(changed)).any(-1)[0]
    assert different.nonzero().flatten().tolist() == [6 + 3]


def test_gradients() -> None:
    both = LatentPoseTokens(latent_channels=2, ray_channels=3, embed_dim=3, patch_size=2, dim=5).double()
    latents = torch.randn(1, 1, 2, 2, 4, dtype=torch.float64, requires_grad=True)
    rays = torch.randn(1, 1, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(both, (latents, rays))


def test_sides_that_do_not_fit_are_refused() -> None:
    tokens = PatchTokens(channels=3, embed_dim=5, patch_size=2, dim=7)
    with pytest.raises(ValueError, match=r"multiples of patch_size=2, got 4 x 5\."):
        tokens(torch.randn(1, 2, 3, 4, 5))
