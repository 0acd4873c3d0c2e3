"""A recording becomes a clip that training reads, with the numbers of the scene that it shows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data.sampling.memory import moved, procedural_recording, wall

from diff4splat.data import check_clip, to_clip

NEEDS = ["video", "camera_to_world", "intrinsics", "depth", "motion"]


def to_first(recording) -> tuple[np.ndarray, np.ndarray]:
    """What brings the world to the first camera, and poses there; float64."""
    poses = recording.cameras.camera_to_world.double().numpy()
    inverse = np.linalg.inv(poses[0])
    return inverse, np.stack([inverse @ pose for pose in poses])


def test_a_clip_has_the_numbers_of_the_scene() -> None:
    recording = procedural_recording()
    unknown = recording.depth_mask.clone()
    unknown[:, 3, 5] = False
    recording = replace(recording, depth_mask=unknown)
    clip, caption = to_clip(recording, num_tracks=61)
    assert check_clip(clip, needs=NEEDS) is None and caption == recording.caption != ""
    inverse, poses = to_first(recording)
    np.testing.assert_allclose(clip["camera_to_world"], poses, atol=1e-5)
    np.testing.assert_array_equal(clip["camera_to_world"][0], np.eye(4, dtype=np.float32))
    assert torch.equal(clip["intrinsics"], recording.cameras.intrinsics)
    assert clip["video"] is recording.video or torch.equal(clip["video"], recording.video)
    for place, frame in enumerate((0, 4, 8)):
        known = recording.depth_mask[frame]
        assert torch.equal(clip["depth"][place][known], recording.depth[frame][known])
        assert clip["depth"][place, 3, 5] == 0
    # 61 tracks start in frame 0, a key frame: all that are seen there are kept, in their order
    seen = [track for track in range(len(recording.tracks)) if recording.visible[track, ::4].any()]
    assert len(seen) > 40
    for row, track in enumerate(seen):
        for frame in range(9):
            if recording.visible[track, frame]:
                place = inverse[:3, :3] @ recording.tracks[track, frame].double().numpy() + inverse[:3, 3]
                np.testing.assert_allclose(clip["tracks"][row, frame], place, atol=1e-5)
            else:
                assert clip["tracks"][row, frame].isnan().all() and not clip["visible"][row, frame]
    assert not clip["visible"][len(seen) :].any()


def test_every_clip_has_the_wanted_number_of_tracks() -> None:
    recording = procedural_recording()
    between = recording.visible.clone()
    between[:17, ::4], between[:17, 1] = False, True  # seen, but not in a key frame
    recording = replace(recording, visible=between)
    few, _ = to_clip(recording, num_tracks=7)
    many, _ = to_clip(recording, num_tracks=97)
    assert few["tracks"].shape == (7, 9, 3) and many["visible"].shape == (97, 9)
    assert few["visible"][:, ::4].any(1).all(), "each is seen in a key frame"
    assert check_clip(few, needs=NEEDS) is None and check_clip(many, needs=NEEDS) is None
    drawn = [
        to_clip(recording, num_tracks=7, generator=torch.Generator().manual_seed(seed))[0]["tracks"]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0].nan_to_num(), drawn[1].nan_to_num())
    assert not torch.equal(drawn[0].nan_to_num(), drawn[2].nan_to_num())


def test_a_static_scene_rests_in_either_form() -> None:
    recording = replace(wall(), tracks=None, visible=None, track_pixels=None).select(range(9))
    dense, _ = to_clip(recording, motion="dense")
    assert check_clip(dense, needs=NEEDS) is None and "tracks" not in dense
    assert dense["object_index"].dtype == torch.uint8 and not dense["object_index"].any()
    for frame in range(9):
        assert dense["object_motion"][0, frame].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    tracks, _ = to_clip(recording, num_tracks=53)
    assert check_clip(tracks, needs=NEEDS) is None and "object_index" not in tracks
    spread = tracks["tracks"].nan_to_num(-1e9).amax(1) - tracks["tracks"].nan_to_num(1e9).amin(1)
    assert (spread == 0).all(), "each point stays where it is"
    hidden = replace(wall(), visible=torch.zeros(9, 13, dtype=torch.bool)).select(range(9))
    rested, _ = to_clip(hidden, num_tracks=53)
    assert torch.equal(rested["visible"], tracks["visible"]), (
        "tracks of its own that nobody sees do not count"
    )
    bare, _ = to_clip(recording, motion="none")
    assert sorted(bare) == ["camera_to_world", "depth", "intrinsics", "video"]


def test_where_the_world_has_its_origin_does_not_matter() -> None:
    recording = procedural_recording()
    one, other = (to_clip(r, num_tracks=31)[0] for r in (recording, moved(recording)))
    for key, value in one.items():
        if value.is_floating_point():
            torch.testing.assert_close(other[key], value, atol=2e-5, rtol=1e-5, equal_nan=True)
        else:
            assert torch.equal(other[key], value)


def test_depth_is_left_out_where_there_is_none() -> None:
    recording = replace(procedural_recording(), depth=None, depth_mask=None)
    clip, _ = to_clip(recording)
    assert "depth" not in clip
    assert check_clip(clip, needs=NEEDS) == (
        "depth missing; there are camera_to_world, intrinsics, tracks, video, visible."
    )


def without_tracks(recording, **changes):
    return replace(recording, tracks=None, visible=None, track_pixels=None, **changes)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda r: r.select(range(7)), {}, r"scene-3 must have 4k \+ 1 frames with k at least 1, got 7"),
        (lambda r: r.select([0]), {}, "got 1"),
        (lambda r: replace(r, cameras=None), {}, "scene-3 must have cameras, got none"),
        (lambda r: without_tracks(r, dynamic_mask=None), {}, "scene-3 must have tracks, or depth with"),
        (lambda r: without_tracks(r, depth=None, depth_mask=None), {}, "scene-3 must have tracks, or depth"),
        (
            lambda r: replace(r, visible=torch.zeros_like(r.visible), dynamic_mask=None),
            {},
            "scene-3 must have tracks that are visible in a key frame, got none",
        ),
        (lambda r: r, {"motion": "dense"}, "scene-3 must be static for motion='dense'"),
        (lambda r: r, {"num_tracks": 0}, "num_tracks must be at least 1, got 0"),
    ],
)
def test_a_recording_that_cannot_be_a_clip_is_refused_by_name(change, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        to_clip(change(procedural_recording()), **options)


def test_cameras_that_are_none_are_refused_by_name() -> None:
    recording = procedural_recording()
    recording.cameras.camera_to_world[2, 0, 3] = torch.nan
    with pytest.raises(ValueError, match="scene-3: camera_to_world must be finite"):
        to_clip(recording)


def test_an_unknown_form_is_refused(without_shape_checker) -> None:
    with pytest.raises(ValueError, match="motion must be tracks, dense or none, got 'flow'"):
        to_clip(procedural_recording(), motion="flow")
