import torch
from models.parts import latents, path

from diff4splat.cameras import latent_rays, pack_frames, pose_vectors
from diff4splat.models.latent_frames import join_neighbours, latent_cameras, spread_frames


def test_neighbours_in_time_stand_on_channels() -> None:
    values = latents(1, 3, 3, 4, 4)
    joined = join_neighbours(values, reach=1)
    assert torch.equal(joined[:, 1], values[:, [0, 1, 2]].flatten(1, 2))
    assert torch.equal(joined[:, 0], values[:, [0, 0, 1]].flatten(1, 2))
    assert torch.equal(joined[:, 2], values[:, [1, 2, 2]].flatten(1, 2))
    assert torch.equal(join_neighbours(values, reach=0), values)


def test_pixel_frames_take_the_tokens_of_their_latent_frame() -> None:
    grid = latents(1, 3, 2, 5, 7)
    spread = spread_frames(grid, temporal_stride=4)
    assert torch.equal(spread, grid[:, [0, 1, 1, 1, 1, 2, 2, 2, 2]])


def test_cameras_of_the_frames_of_a_latent_are_stacked() -> None:
    cameras, grid = path(2, 9, 32, 48), {"height": 3, "width": 5, "temporal_stride": 4}
    assert torch.equal(latent_cameras(cameras, encoding="plucker", **grid), latent_rays(cameras, **grid))
    vectors = latent_cameras(cameras, encoding="vectors", **grid)
    assert vectors.shape == (2, 3, 48, 3, 5)
    expected = pack_frames(pose_vectors(cameras)[..., None, None], temporal_stride=4)
    assert torch.equal(vectors, expected.expand(2, 3, 48, 3, 5))
