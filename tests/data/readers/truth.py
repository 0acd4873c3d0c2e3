"""A small scene whose depth, tracks and masks are computed by hand, and whether a recording holds them.

The scene is that of `data.layouts.scene`: a slanted wall under a sky, and a panel that slides to the right.
"""

import numpy as np
import torch
from data.layouts.files import cut, write_png
from data.layouts.scene import DISTANCE, PANEL, SLOPE, Scene, make_scene

from diff4splat.data.recordings import Recording
from diff4splat.geometry import unproject

__all__ = ["FRAMES", "check_cameras", "check_depth", "check_tracks", "cut", "make_truth", "write_png"]

FRAMES = 5


def make_truth(
    height: int = 22,
    width: int = 34,
    focal: tuple[float, float] = (30.0, 30.0),
    centre: tuple[float, float] | None = None,
    baseline: float = 0.0,
) -> Scene:
    """Five frames of one colour each, as seen by a camera `baseline` metres to the right of its path."""
    cx, cy = centre or (width / 2, height / 2)
    lens = np.array([[focal[0], 0, cx], [0, focal[1], cy], [0, 0, 1]])
    scene = make_scene(FRAMES, height, width, lens, baseline=baseline, plain=True)
    visible, moving = scene.visible, scene.moving
    assert visible.any(0).any() and not visible.all() and moving.any(), "a scene with something to see"
    return scene


def check_cameras(recording: Recording, truth: Scene, frames: list[int], tolerance: float = 1e-5) -> None:
    """Cameras are those of the scene, and rigid."""
    recording.validate()
    np.testing.assert_allclose(
        recording.cameras.camera_to_world.numpy(), truth.camera_to_world[frames], atol=tolerance
    )
    np.testing.assert_allclose(
        recording.cameras.intrinsics.numpy(),
        np.tile(truth.intrinsics, (len(frames), 1, 1)),
        rtol=1e-6,
        atol=1e-4,
    )
    rotations = recording.cameras.camera_to_world[:, :3, :3].double()
    gram = rotations.mT @ rotations
    assert torch.allclose(gram, torch.eye(3, dtype=torch.float64).expand_as(gram), atol=1e-6)


def check_depth(recording: Recording, truth: Scene, frames: list[int], tolerance: float) -> None:
    """Depth is known but in the sky, right within metres, and with the cameras lies on the wall."""
    known = truth.depth[frames] > 0
    assert np.array_equal(recording.depth_mask.numpy(), known)
    error = np.abs(recording.depth.numpy() - truth.depth[frames])[known].max()
    assert error <= tolerance, error
    points = unproject(recording.depth, recording.cameras.camera_to_world, recording.cameras.intrinsics)
    wall = torch.from_numpy(known & ~truth.moving[frames])
    off = (points[..., 2] - SLOPE * points[..., 0] - DISTANCE).abs()[wall].max().item()
    assert off <= 2 * tolerance + 1e-5, off
    panel = torch.from_numpy(known & truth.moving[frames])
    assert (points[..., 2] - PANEL[0]).abs()[panel].max().item() <= 2 * tolerance + 1e-5


def check_tracks(recording: Recording, truth: Scene, frames: list[int], metres: float, pixels: float) -> None:
    """Tracks that are seen in these frames, and no others, are where they should be."""
    seen = truth.visible[frames]
    kept = seen.any(0)
    assert np.array_equal(recording.visible.numpy(), seen[:, kept].T)
    where = recording.visible.numpy()
    expected = truth.points[frames][:, kept].swapaxes(0, 1)
    assert np.abs(recording.tracks.numpy() - expected)[where].max() <= metres
    expected = truth.pixels[frames][:, kept].swapaxes(0, 1)
    assert np.abs(recording.track_pixels.numpy() - expected)[where].max() <= pixels
