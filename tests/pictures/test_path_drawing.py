import numpy as np
import pytest
import torch

from diff4splat.cameras import Cameras, trajectory
from diff4splat.pictures import path_picture
from diff4splat.pictures.path_geometry import path_geometry, round_length
from diff4splat.pictures.trails import time_bar, time_to_color

VIEWS = ["in space", "from above", "from the side", "from behind"]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["spiral", "forward", "orbit", "static"])
def test_sizes_are_exact_and_something_is_drawn(view, name):
    path = getattr(trajectory, name)(9, height=30, width=50)
    picture = path_picture(path, height=131, width=173, view=view)
    bar = time_bar(173, text_size=11)
    assert picture.shape == (3, 131 + bar.shape[1], 173) and torch.equal(picture[:, 131:], bar)
    assert 0 <= picture.min() and picture.max() <= 1
    start = time_to_color(torch.zeros(()))[:, None, None]
    assert ((picture[:, :131] - start).abs().amax(dim=0) < 0.1).sum() > 5


def test_a_path_to_the_right_goes_to_the_right_and_up_is_up():
    eyes = torch.tensor([[0.0, 0, 0], [1.0, -0.5, 0], [2.0, -1.0, 0]])  # y points down, so this climbs
    poses = torch.eye(4).repeat(3, 1, 1)
    poses[:, :3, 3] = eyes
    lens = torch.tensor([[[50.0, 0, 25], [0, 50, 15], [0, 0, 1]]]).expand(3, 3, 3)
    picture = path_picture(Cameras(poses, lens, 30, 50), height=200, width=300, view="from behind")[:, :200]
    places = []
    for time in (0.0, 1.0):
        color = time_to_color(torch.tensor(time))[:, None, None]
        near = ((picture - color).abs().amax(dim=0) < 0.06).nonzero().double()
        places.append(near.mean(dim=0))
    assert places[1][1] > places[0][1] + 100 and places[1][0] < places[0][0] - 50


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_one_place_and_few_cameras(frames):
    path = trajectory.static(frames, height=30, width=50)
    assert torch.isfinite(path_picture(path, height=16, width=16)).all()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_scale_of_the_world_does_not_matter(scale):
    path = trajectory.forward(9, height=30, width=50)
    small, large = path_geometry(path), path_geometry(path.scale(scale))
    np.testing.assert_allclose(large.reach, scale * small.reach, rtol=1e-4, atol=1e-6 * scale)
    picture = path_picture(path.scale(scale), height=100, width=150)
    assert torch.isfinite(picture).all()


def test_round_lengths():
    assert [round_length(side) for side in (1.0, 2.5, 13.0, 0.03)] == pytest.approx([0.2, 1.0, 5.0, 0.01])
    for side in np.geomspace(1e-6, 1e6, 301):
        assert 0.1 * side <= round_length(float(side)) <= 0.4 * side * (1 + 1e-9)


@pytest.mark.usefixtures("without_shape_checker")
def test_errors():
    path = trajectory.spiral(3, height=30, width=50)
    with pytest.raises(ValueError, match="view must be one of from above, .*, got 'below'"):
        path_picture(path, height=50, width=50, view="below")
    with pytest.raises(ValueError, match="height must be at least 16 pixels, got 15"):
        path_picture(path, height=15, width=50)
    with pytest.raises(ValueError, match="width must be at least 16 pixels, got 15"):
        path_picture(path, height=50, width=15)
    with pytest.raises(ValueError, match="without batch axes"):
        path_picture(path.batch(None), height=50, width=50)
