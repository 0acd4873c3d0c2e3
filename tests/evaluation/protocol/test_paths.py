"""Paths of the protocol: those of the paper, and one that comes back exactly."""

import math

import pytest
import torch

from diff4splat.cameras import trajectory
from diff4splat.evaluation import PAPER_TRAJECTORIES
from diff4splat.evaluation.protocol import loop, protocol_cameras

SIZE = {"height": 13, "width": 17}


@pytest.mark.parametrize("num_frames", [3, 7, 49])
@pytest.mark.parametrize("name", ["closed", "orbit"])
def test_closed_paths_end_where_they_began_bit_for_bit(name: str, num_frames: int) -> None:
    cameras = protocol_cameras(name, num_frames, **SIZE)
    assert torch.equal(cameras.camera_to_world[0], torch.eye(4))
    assert torch.equal(cameras.camera_to_world[-1], torch.eye(4))
    assert torch.equal(cameras.intrinsics[0], cameras.intrinsics[-1])
    cameras.validate()
    middle = cameras.camera_to_world[num_frames // 2, :3, 3]
    assert middle.norm() > 0.35


def test_the_loop_is_a_circle_that_looks_at_one_point() -> None:
    amplitude, depth, count = 0.7, 3.0, 12
    cameras = loop(count + 1, **SIZE, amplitude=amplitude, focus_depth=depth, field_of_view_deg=71.0)
    for index in range(count + 1):
        angle = 2 * math.pi * index / count
        expected = (amplitude / 2 * (1 - math.cos(angle)), amplitude / 2 * math.sin(angle), 0.0)
        pose = cameras.camera_to_world[index].double()
        assert pose[:3, 3].tolist() == pytest.approx(expected, abs=1e-6)
        ahead = torch.tensor([0.0, 0.0, depth]) - pose[:3, 3]
        assert torch.allclose(pose[:3, 2], ahead / ahead.norm(), atol=1e-6)
    focal = cameras.intrinsics[0, 0, 0].item()
    assert focal == pytest.approx(17 / 2 / math.tan(math.radians(71 / 2)), rel=1e-6)


@pytest.mark.parametrize("name", PAPER_TRAJECTORIES)
def test_the_paths_of_the_paper(name: str) -> None:
    assert trajectory.NAMES[:5] == PAPER_TRAJECTORIES
    cameras = protocol_cameras(name, 5, **SIZE, amplitude=0.3)
    assert torch.equal(cameras.camera_to_world[0], torch.eye(4))
    assert cameras.camera_to_world[-1, :3, 3].norm().item() == pytest.approx(0.3, rel=1e-5)


def test_errors() -> None:
    with pytest.raises(ValueError, match="name must be closed, spiral.*got 'sideways'"):
        protocol_cameras("sideways", 5, **SIZE)
    with pytest.raises(ValueError, match="num_frames must be at least 3"):
        loop(2, **SIZE)
    with pytest.raises(ValueError, match="amplitude must be finite"):
        loop(5, **SIZE, amplitude=math.nan)
    with pytest.raises(ValueError, match="focus_depth must be > 0"):
        loop(5, **SIZE, focus_depth=0.0)
    with pytest.raises(ValueError, match="field_of_view_deg"):
        loop(5, **SIZE, field_of_view_deg=180.0)
