"""A mirrored recording is one that could have been taken: of the mirrored world."""

from dataclasses import replace

import torch
from data.sampling.memory import procedural_recording, wall

from diff4splat.data.sampling import mirrored
from diff4splat.geometry import project, unproject


def test_pixels_points_and_tracks_change_sides_together() -> None:
    recording = wall()
    recording.cameras.intrinsics[:, 0, 1] = 3.0  # slanted axes, too
    image = mirrored(recording)
    image.validate()
    assert (torch.linalg.det(image.cameras.camera_to_world[:, :3, :3]) > 0).all()
    assert torch.equal(image.video, recording.video.flip(-1))
    before, after = (
        unproject(r.depth.double(), r.cameras.camera_to_world, r.cameras.intrinsics)
        for r in (recording, image)
    )
    side = torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(after, before.flip(2) * side, atol=1e-9, rtol=0)
    pixels, _ = project(
        image.tracks.double().transpose(0, 1), image.cameras.camera_to_world, image.cameras.intrinsics
    )
    ahead, _ = project(
        recording.tracks.double().transpose(0, 1),
        recording.cameras.camera_to_world,
        recording.cameras.intrinsics,
    )
    torch.testing.assert_close(pixels[..., 0], 51 - ahead[..., 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(pixels[..., 1], ahead[..., 1], atol=1e-4, rtol=0)
    torch.testing.assert_close(image.track_pixels[..., 0], 51 - recording.track_pixels[..., 0])


def test_twice_is_not_at_all() -> None:
    recording = procedural_recording()
    back = mirrored(mirrored(recording))
    for name in ("video", "depth", "depth_mask", "dynamic_mask", "tracks", "visible"):
        assert torch.equal(getattr(back, name), getattr(recording, name))
    torch.testing.assert_close(back.cameras.camera_to_world, recording.cameras.camera_to_world)
    torch.testing.assert_close(back.cameras.intrinsics, recording.cameras.intrinsics)
    bare = replace(recording, cameras=None, depth=None, depth_mask=None, tracks=None, visible=None)
    assert torch.equal(mirrored(bare).video, recording.video.flip(-1))
