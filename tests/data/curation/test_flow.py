"""Flow of a moving camera, against loops; classical flow of pictures that are shifted by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data.checking.scenes import recording
from data.readers.truth import make_truth

from diff4splat.cameras import Cameras
from diff4splat.data.curation import VideoFlow, camera_flow, ego_flow, estimate_flow

HEIGHT, WIDTH = 43, 61


def texture(shift: float) -> torch.Tensor:
    """Waves that are moved to the right, in float64."""
    x = torch.arange(WIDTH).double()[None] - shift
    y = torch.arange(HEIGHT).double()[:, None]
    return torch.sin(x / 4) * torch.cos(y / 5) + 0.5 * torch.sin(x / 2.7 + y / 3.1)


def shifted(shift: float) -> torch.Tensor:
    frames = [(128 + 60 * texture(frame * shift)).round().clamp(0, 255) for frame in range(3)]
    return torch.stack(frames)[:, None].expand(-1, 3, -1, -1).to(torch.uint8)


def test_ego_flow_is_that_of_the_loop() -> None:
    truth = make_truth()
    poses, lens = truth.camera_to_world, truth.intrinsics
    cameras = Cameras(
        torch.from_numpy(poses),
        torch.from_numpy(np.tile(lens, (5, 1, 1))),
        truth.height,
        truth.width,
    )
    depth = torch.from_numpy(truth.depth)
    found = ego_flow(depth[[0, 3]], cameras.select([0, 3]), cameras.select([2, 1])).numpy()
    compared = 0
    for pair, (first, second) in enumerate([(0, 2), (3, 1)]):
        for row in range(truth.height):
            for column in range(truth.width):
                z = truth.depth[first, row, column]
                if z == 0:
                    assert np.isnan(found[pair, :, row, column]).all()
                    continue
                pixel = np.array([column + 0.5, row + 0.5, 1])
                world = poses[first] @ np.append(z * (np.linalg.inv(lens) @ pixel), 1)
                local = lens @ (np.linalg.inv(poses[second]) @ world)[:3]
                expected = local[:2] / local[2] - pixel[:2]
                np.testing.assert_allclose(found[pair, :, row, column], expected, atol=1e-9)
                compared += 1
    assert compared > 500


def test_what_comes_to_lie_behind_the_camera_has_no_flow() -> None:
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[1, 2, 3] = 3.0
    lens = torch.tensor([[20.0, 0, 3.5], [0, 20.0, 2.5], [0, 0, 1]]).repeat(2, 1, 1)
    cameras = Cameras(poses, lens, 5, 7)
    depth = torch.full((1, 5, 7), 2.0)
    depth[0, 0, 0], depth[0, 1, 1] = 6.0, torch.inf
    flow = ego_flow(depth, cameras.select([0]), cameras.select([1]))
    assert torch.isfinite(flow).all(1).sum() == 1
    # at twice the size from half the distance: the pixel is 3 by 2 off the middle
    assert flow[0, :, 0, 0].tolist() == pytest.approx([-3.0, -2.0])


def test_a_camera_that_rests_gives_none_and_the_world_does_not_matter() -> None:
    one = recording()
    resting = replace(one, cameras=one.cameras.at_rest())
    assert camera_flow(resting).forward.abs().max() < 1e-4  # poses in float32
    moved = torch.tensor([[0.0, 0, 1, 5], [1, 0, 0, -2], [0, 1, 0, 3], [0, 0, 0, 1]])
    cameras = one.cameras.to(dtype=torch.float64)
    elsewhere = replace(cameras, camera_to_world=moved.double() @ cameras.camera_to_world)
    flow, other = camera_flow(replace(one, cameras=cameras)), camera_flow(replace(one, cameras=elsewhere))
    torch.testing.assert_close(other.forward, flow.forward, rtol=1e-6, atol=1e-6)
    assert flow.forward.abs().median() > 1


@pytest.mark.parametrize("method", ["tvl1", "ilk"])
def test_a_shift_is_found_in_both_directions(method: str) -> None:
    flow = estimate_flow(shifted(1.5), method=method)
    middle = (slice(None), slice(None), slice(9, -9), slice(9, -9))
    assert flow.forward.shape == (2, 2, HEIGHT, WIDTH)
    assert flow.forward[middle].mean((2, 3)).flatten().tolist() == pytest.approx([1.5, 0] * 2, abs=0.15)
    assert flow.backward[middle].mean((2, 3)).flatten().tolist() == pytest.approx([-1.5, 0] * 2, abs=0.15)


def test_a_guess_makes_a_large_shift_small() -> None:
    video = shifted(13.0)  # half a wave and more
    forward = torch.zeros(2, 2, HEIGHT, WIDTH)
    forward[:, 0] = 12.0
    forward[:, :, 3, 5] = torch.nan
    middle = (slice(None), 0, slice(9, -9), slice(20, -20))
    with_guess = estimate_flow(video, guess=VideoFlow(forward, -forward))
    assert (with_guess.forward[middle] - 13).abs().median() < 0.2
    assert (with_guess.backward[middle] + 13).abs().median() < 0.2
    assert (estimate_flow(video).forward[middle] - 13).abs().median() > 5


def test_what_leaves_the_frame_is_left_to_the_guess() -> None:
    forward = torch.zeros(2, 2, HEIGHT, WIDTH)
    forward[:, 0] = 13.0
    found = estimate_flow(shifted(13.0), guess=VideoFlow(forward, -forward))
    assert (found.forward[:, 0, :, -10:] - 13).abs().max() < 0.5
    assert (found.backward[:, 0, :, :10] + 13).abs().max() < 0.5


def test_the_camera_as_a_guess_leaves_little_of_what_rests() -> None:
    one = recording().select([0, 3, 6])
    ego, resting = camera_flow(one).forward, ~one.dynamic_mask[:-1]
    off = [
        (estimate_flow(one.video, guess=guess).forward - ego).norm(dim=1)[resting].median()
        for guess in (None, camera_flow(one))
    ]
    assert off[1] < 0.2 < off[0]


@pytest.mark.usefixtures("without_shape_checker")
def test_what_cannot_be_is_refused() -> None:
    video = shifted(1.0)
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        estimate_flow(video[:1])
    with pytest.raises(ValueError, match="guess must have shape"):
        zeros = torch.zeros(1, 2, HEIGHT, WIDTH)
        estimate_flow(video, guess=VideoFlow(zeros, zeros))
    with pytest.raises(ValueError, match="backward must have the shape of forward"):
        VideoFlow(torch.zeros(2, 2, 5, 7), torch.zeros(1, 2, 5, 7))
    one = recording()
    with pytest.raises(ValueError, match="source must have the size of depth"):
        ego_flow(one.depth[:2], one.cameras.select([0]), one.cameras.select([1, 2]))
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        camera_flow(one.select([4]))
    with pytest.raises(ValueError, match="cameras and depth, got one without"):
        camera_flow(replace(one, cameras=None))
