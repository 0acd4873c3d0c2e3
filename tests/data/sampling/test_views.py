"""What several cameras see at one time."""

from dataclasses import replace

import pytest
import torch
from data.sampling.memory import MemorySource, wall

from diff4splat.data import read_views, synchronized
from diff4splat.geometry import project, unproject


def rig() -> MemorySource:
    cameras = [wall("left"), wall("other", shift=0.3), wall("right", side=0.4)]
    return MemorySource(cameras, scenes=["rig", "alone", "rig"])


def test_views_of_one_time_show_one_world() -> None:
    source = rig()
    assert synchronized(source, "rig") == [0, 2] and synchronized(source, "alone") == [1]
    views = read_views(source, "rig", 4)
    assert source.asked == [(0, [4]), (2, [4])], "one frame of each camera of the scene"
    views.validate()
    assert views.numbers == (4, 4) and views.static and views.facts["views"] == ["left", "right"]
    for place, camera in enumerate((0, 2)):
        assert torch.equal(views.video[place], source.recordings[camera].video[4])
    poses, lenses = views.cameras.camera_to_world, views.cameras.intrinsics
    # the points that one camera sees, as the other one sees them: on the wall, at its depth there
    points = unproject(views.depth[0].double(), poses[0], lenses[0])[5:28:3, 20:40:3].reshape(1, -1, 3)
    pixels, distance = project(points, poses[1:], lenses[1:])
    column, row = pixels[0].long().unbind(-1)
    inside = (column >= 0) & (column < 51) & (row >= 0) & (row < 33)
    assert inside.sum() > 20
    error = views.depth[1][row[inside], column[inside]] - distance[0][inside]
    assert error.abs().max() < 0.04, "within a pixel of the slanted wall"


def test_what_not_all_views_have_is_left_out() -> None:
    source = rig()
    source.recordings[2] = replace(source.recordings[2], depth=None, depth_mask=None)
    views = read_views(source, "rig", 0)
    assert views.depth is None and views.cameras is not None
    source.recordings[2] = replace(source.recordings[2], cameras=None, tracks=None, visible=None,
                                   track_pixels=None)  # fmt: skip
    assert read_views(source, "rig", 0).cameras is None


def test_views_that_do_not_go_together_are_refused() -> None:
    source = rig()
    with pytest.raises(ValueError, match="scene must be one of a recording, got 'none'"):
        synchronized(source, "none")
    source.recordings[2] = wall("right").select(range(1, 13))
    with pytest.raises(ValueError, match="right must have the frames of left, got number 5 in the"):
        read_views(source, "rig", 4)
    source.recordings[2] = wall("right").resize(11, 17)
    with pytest.raises(ValueError, match="right must have the size of left, 33 x 51, got 11 x 17"):
        read_views(source, "rig", 4)
