"""Points that are followed through a scene of two moving walls, whose every position is known."""

from dataclasses import replace

import pytest
import torch

from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import project
from diff4splat.pipelines import gaussian_tracks, pixel_tracks

FRAMES, SIDE = 5, 48
SHIFT = torch.tensor([1.5, 0.0, 0.0])


def walls() -> DeformableGaussianField:
    """A wall at z = 4 that rests, and a square at z = 2 that crosses it from left to right."""

    def grid(reach: float, step: float, x: float, z: float) -> torch.Tensor:
        axis = torch.arange(-reach, reach + 1e-6, step)
        across, down = torch.meshgrid(axis, axis, indexing="xy")
        return torch.stack((across + x, down, torch.full_like(across, z)), dim=-1).reshape(-1, 3)

    back, front = grid(3.5, 0.1, 0.0, 4.0), grid(0.2, 0.04, -0.75, 2.0)
    means = torch.cat((back, front))
    count = len(means)
    scales = torch.cat((torch.full((len(back), 3), 0.06), torch.full((len(front), 3), 0.03)))
    scales[:, 2] = 1e-3
    gaussians = Gaussians(
        means,
        torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        scales,
        torch.full((count,), 0.98),
        torch.rand(count, 1, 3, generator=torch.Generator().manual_seed(0)),
    )
    field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
    motion = field.delta_means.clone()
    motion[1, len(back) :] = SHIFT
    return replace(field, delta_means=motion)


@pytest.fixture(scope="module")
def cameras() -> Cameras:
    return trajectory.upward(FRAMES, height=SIDE, width=SIDE, amplitude=0.1)


def pixel_of(point: list[float], cameras: Cameras, frame: int) -> torch.Tensor:
    camera = cameras.camera_to_world[frame], cameras.intrinsics[frame]
    return project(torch.tensor([point]), *camera)[0]


def test_pixels_are_followed_and_hidden_where_something_passes(cameras: Cameras) -> None:
    field = walls()
    pixels = torch.cat(
        (pixel_of([-0.75, 0.0, 2.0], cameras, 0), pixel_of([0.0, 0.0, 4.0], cameras, 0))
    )  # on the square, and on the wall where the square will be in the middle of the clip
    tracks = pixel_tracks(field, cameras, pixels=pixels)
    assert tracks.positions.shape == (FRAMES, 2, 3)
    times = torch.linspace(0, 1, FRAMES)[:, None]
    start = tracks.positions[0]
    assert start[:, 2].tolist() == pytest.approx([2, 4], abs=0.01)
    expected = torch.stack((start[0] + times * SHIFT, start[1].expand(FRAMES, 3)), dim=1)
    torch.testing.assert_close(tracks.positions, expected, rtol=0, atol=0.01)
    assert tracks.visible[:, 0].all()
    assert tracks.visible[:, 1].tolist() == [True, True, False, True, True]
    assert (tracks.pixels[0] - pixels).abs().max() <= 0.51, "of the middle of the nearest pixel"


def test_a_grid_leaves_edges_out_and_counts_from_the_query_frame(cameras: Cameras) -> None:
    tracks = pixel_tracks(walls(), cameras, stride=4, query_frame=FRAMES - 1)
    assert 80 < tracks.positions.shape[1] < 12 * 12, "all but those at the edge of the square"
    assert tracks.query_frame == FRAMES - 1 and tracks.visible[-1].all()
    depth = tracks.positions[-1, :, 2]
    assert (torch.minimum((depth - 2).abs(), (depth - 4).abs()) < 0.2).all(), "nothing between the walls"
    near = depth < 3
    assert near.sum() >= 2
    moved = tracks.positions[-1] - tracks.positions[0]
    torch.testing.assert_close(moved[near], SHIFT.expand(int(near.sum()), 3), rtol=0, atol=0.02)
    torch.testing.assert_close(moved[~near], torch.zeros(int((~near).sum()), 3), rtol=0, atol=0.02)


def test_gaussians_are_followed(cameras: Cameras) -> None:
    field = walls()
    count = field.num_gaussians
    tracks = gaussian_tracks(field, cameras, gaussians=torch.tensor([0, count - 1]))
    torch.testing.assert_close(tracks.positions[0], field.canonical.means[[0, count - 1]])
    torch.testing.assert_close(tracks.positions[-1, 1] - tracks.positions[0, 1], SHIFT)
    assert tracks.visible[:, 1].all() and not tracks.visible[:, 0].any(), "the corner is out of view"


def test_refuses_in_words(cameras: Cameras) -> None:
    field = walls()
    for options, words in (
        ({"query_frame": FRAMES}, "query_frame must be from 0 to 4, got 5"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"pixels": torch.tensor([[48.0, 3.0]])}, "pixels must lie inside of 48 x 48"),
    ):
        with pytest.raises(ValueError, match=words):
            pixel_tracks(field, cameras, **options)
    away = trajectory.static(2, height=SIDE, width=SIDE)
    behind = Cameras(
        away.camera_to_world @ torch.diag(torch.tensor([-1.0, 1, -1, 1])), away.intrinsics, SIDE, SIDE
    )
    with pytest.raises(ValueError, match="frame 0 must show a surface"):
        pixel_tracks(field, behind)
    with pytest.raises(ValueError, match="pixels must show a surface of the scene, got nothing at"):
        pixel_tracks(field, behind, pixels=torch.tensor([[3.0, 3.0]]))
    with pytest.raises(ValueError, match="at least one Gaussian"):
        gaussian_tracks(field, cameras, gaussians=slice(0, 0))
    with pytest.raises(ValueError, match="no batch axes"):
        pixel_tracks(field, cameras.batch(None))
