"""Clips that are drawn from recordings: which frames, and that nothing in them falls apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data.sampling.memory import MemorySource, moved, procedural_recording, wall

from diff4splat.data import ClipSampling, check_clip, sample_clip
from diff4splat.data.sampling import mean_distance
from diff4splat.training.targets import track_targets

SMALL = ClipSampling(frames=5, height=22, width=26, num_tracks=17, max_gap=3)
NEEDS = ["video", "camera_to_world", "intrinsics", "depth", "motion"]


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sample(recording, sampling=SMALL, seed: int = 0):
    return sample_clip(MemorySource([recording]), 0, sampling, draw(seed))[0]


def seen(clip, track: int, frame: int) -> tuple[np.ndarray, float]:
    """Pixel and z-depth of a track by the cameras of a clip, float64."""
    inverse = np.linalg.inv(clip["camera_to_world"][frame].double().numpy())
    local = inverse @ [*clip["tracks"][track, frame].double().tolist(), 1]
    column, row, _ = clip["intrinsics"][frame].double().numpy() @ local[:3] / local[2]
    return np.array([column, row]), local[2]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("changes", [{}, {"flip": 1.0}, {"reverse": 1.0}, {"crop": (0.4, 0.6)}])
def test_tracks_depth_and_colours_agree_in_every_frame(changes, seed) -> None:
    """A track lies on the wall that its frame shows, where the wall has the colour of its place."""
    clip = sample(wall(), replace(SMALL, **changes), seed)
    assert check_clip(clip, needs=NEEDS) is None
    assert clip["video"].shape == (5, 3, 22, 26) and clip["depth"].shape == (2, 22, 26)
    looked_at = 0
    for track in range(17):
        colors = []
        for frame in range(5):
            if not clip["visible"][track, frame]:
                continue
            pixel, distance = seen(clip, track, frame)
            assert 0 <= pixel[0] < 26 and 0 <= pixel[1] < 22, "what falls outside is not visible"
            column, row = pixel.astype(int)
            if frame % 4 == 0:
                assert abs(float(clip["depth"][frame // 4, row, column]) - distance) < 0.1
            if 1 < pixel[0] < 25 and 1 < pixel[1] < 21:
                colors.append(clip["video"][frame, :2, row, column].float())
            looked_at += 1
        for color in colors:  # the same place on the wall, seen from several cameras
            assert (color - colors[0]).abs().max() < 9, "less than half a pixel: 20 levels are a unit"
    assert looked_at > 4


def test_frames_are_equally_far_apart_and_only_they_are_read() -> None:
    source = MemorySource([wall(num_frames=17)])
    gaps, firsts = set(), set()
    for seed in range(60):
        clip, caption = sample_clip(source, 0, SMALL, draw(seed))
        (_, frames), source.asked = source.asked[-1], []
        steps = {after - before for before, after in zip(frames, frames[1:], strict=False)}
        assert len(frames) == 5 and len(steps) == 1 and caption == "a view of wall"
        shown = [round(value) for value in (clip["video"][:, 2].float().mean((1, 2)) / 10).tolist()]
        assert shown == frames, "blue tells the frame"
        gaps |= steps
        firsts.add(frames[0])
    assert gaps == {1, 2, 3} and {0, 12} <= firsts, "from the first frame to the last that fits"


def test_gaps_are_no_larger_than_the_recording_allows() -> None:
    source = MemorySource([wall(num_frames=9)])
    for seed in range(30):
        sample_clip(source, 0, replace(SMALL, max_gap=50), draw(seed))
    assert {frames[1] - frames[0] for _, frames in source.asked} == {1, 2}


@pytest.mark.parametrize(("dataset", "gaps"), [("spring", {1, 2, 3, 4, 5}), ("vkitti2", {1}), ("other", {1})])
def test_the_gap_is_that_of_the_dataset_unless_it_is_set(dataset, gaps) -> None:
    source = MemorySource([wall(num_frames=23, shift=0.01, dataset=dataset)])
    for seed in range(50):
        sample_clip(source, 0, replace(SMALL, max_gap=None), draw(seed))
    assert {frames[1] - frames[0] for _, frames in source.asked} == gaps


def test_a_clip_never_spans_frames_that_are_missing() -> None:
    whole = wall(num_frames=25, shift=0.01)
    numbers = [*range(7), *range(10, 17), *range(20, 25)]
    source = MemorySource([whole.select(numbers)])
    for seed in range(40):
        clip, _ = sample_clip(source, 0, replace(SMALL, max_gap=3), draw(seed))
        shown = (clip["video"][:, 2].float().mean((1, 2)) / 10).round()
        assert len(set(shown.diff().tolist())) == 1
    squares = MemorySource([replace(whole.select(range(6)), numbers=(0, 1, 4, 9, 16, 25))])
    with pytest.raises(ValueError, match="wall must have 5 frames in a row, got numbers .* missing"):
        sample_clip(squares, 0, SMALL, draw(0))


def test_a_camera_that_jumps_is_no_video() -> None:
    recording = wall(num_frames=11)
    poses = recording.cameras.camera_to_world.clone()
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]], dtype=torch.float64)
    poses[6:, :3, :3] = poses[6:, :3, :3] @ turn
    jumps = replace(recording, cameras=replace(recording.cameras, camera_to_world=poses))
    source = MemorySource([jumps])
    for seed in range(20):
        clip, _ = sample_clip(source, 0, replace(SMALL, motion="none", max_gap=1), draw(seed))
        frames = source.asked[-1][1]
        assert frames[-1] < 6 or frames[0] >= 6
    with pytest.raises(ValueError, match="got a turn by 90 degrees between two of 2 to 6, above 45"):
        only = MemorySource([jumps.select(range(2, 7))])
        sample_clip(only, 0, replace(SMALL, motion="none"), draw(0))
    sample_clip(only, 0, replace(SMALL, motion="none", max_turn_deg=91.0), draw(0))


def test_mirrored_and_reversed_clips_are_the_same_window() -> None:
    """Draws come in one order, so that the window of a seed does not depend on what is done to it."""
    recording = procedural_recording(num_frames=13)
    for seed in range(4):
        plain = sample(recording, replace(SMALL, num_tracks=61), seed)
        flip = sample(recording, replace(SMALL, num_tracks=61, flip=1.0), seed)
        back = sample(recording, replace(SMALL, num_tracks=61, reverse=1.0), seed)
        assert torch.equal(flip["video"], plain["video"].flip(-1))
        assert torch.equal(flip["depth"], plain["depth"].flip(-1))
        side = torch.tensor([-1.0, 1, 1])
        torch.testing.assert_close(flip["tracks"], plain["tracks"] * side, atol=1e-5, rtol=0, equal_nan=True)
        assert torch.equal(back["video"], plain["video"].flip(0))
        assert torch.equal(back["depth"], plain["depth"].flip(0))
        assert torch.equal(back["visible"], plain["visible"].flip(1))
        last = plain["camera_to_world"][-1].double().inverse()
        expected = last @ plain["camera_to_world"].flip(0).double()
        torch.testing.assert_close(back["camera_to_world"].double(), expected, atol=1e-5, rtol=0)
        moved_tracks = plain["tracks"].flip(1).double() @ last[:3, :3].T + last[:3, 3]
        torch.testing.assert_close(
            back["tracks"].double(), moved_tracks, atol=1e-5, rtol=1e-5, equal_nan=True
        )


@pytest.mark.parametrize("changes", [{}, {"flip": 1.0}, {"reverse": 1.0}])
def test_training_learns_the_motion_that_was_there(changes) -> None:
    """Targets of a wall at rest are no motion; those of a wall whose points all slide are that slide."""
    still = wall(num_frames=5)
    shift = torch.tensor([0.03, -0.05, 0.04])
    time = torch.arange(5.0)[:, None]
    slides = replace(still, tracks=still.tracks + time * shift, static=False, track_pixels=None)
    picks = torch.tensor([[1, 3]])
    for recording, step in ((still, torch.zeros(3)), (slides, shift)):
        clip = sample(recording, replace(SMALL, num_tracks=9, crop=(1.0, 1.0), **changes))
        batch = {key: value[None] for key, value in clip.items()}
        targets = track_targets(batch, picks, size=(22, 26))
        assert targets.known.sum() > 8 and bool(targets.moving.any()) == bool(step.any())
        # along the axes of every camera, which do not turn; the mirror and the way of time change signs
        axes = recording.cameras.camera_to_world[0, :3, :3].float().T
        expected = axes @ step
        if "flip" in changes:
            expected = expected * torch.tensor([-1.0, 1, 1])
        if "reverse" in changes:
            expected = -expected
        for when, target in enumerate(picks[0].tolist()):
            for key in range(2):
                known = targets.known[0, when, key]
                found = targets.displacement[0, when, key][:, known] * clip["depth"][key][known]
                moved_by = expected * (target - 4 * key)
                assert (found - moved_by[:, None]).abs().max() < 0.05 * float(step.norm() * 3) + 1e-5


def test_shares_of_changes_are_kept() -> None:
    recording = wall(num_frames=5)
    sampling = replace(SMALL, crop=(1.0, 1.0), motion="none", flip=0.25, reverse=0.5)
    flips = backs = 0
    for seed in range(200):
        clip = sample(recording, sampling, seed)
        backs += bool(clip["video"][0, 2].float().mean() > clip["video"][-1, 2].float().mean())
        flips += bool(clip["video"][0, 0, :, 0].float().mean() > clip["video"][0, 0, :, -1].float().mean())
    assert 25 <= flips <= 75 and 70 <= backs <= 130, "five standard deviations around 50 and 100"


def test_the_lens_tells_how_much_was_cut_out() -> None:
    """A window of a share s of the width has 1 / s times the focal length when it is brought to one size."""
    recording = wall(height=44, width=52, num_frames=5)
    shares, lefts, tops = [], [], []
    for seed in range(60):
        lens = sample(recording, replace(SMALL, height=44, width=52, motion="none"), seed)["intrinsics"][0]
        shares.append(50 / float(lens[0, 0]))
        lefts.append(24 - float(lens[0, 2]) * shares[-1])
        tops.append(17.5 - float(lens[1, 2]) * 47 / float(lens[1, 1]))
    assert 0.76 < min(shares) < 0.8 and 0.97 < max(shares) <= 1, "rounded to whole pixels"
    for places, side in ((lefts, 52), (tops, 44)):
        assert min(places) > -1e-3 and 0.12 * side < max(places) < 0.23 * side, "the place is drawn, too"
    tall = sample(recording, replace(SMALL, height=39, width=13, crop=(1.0, 1.0), motion="none"), 1)
    assert tall["video"].shape[-2:] == (39, 13)
    assert float(tall["intrinsics"][0, 0, 0]) == pytest.approx(50 * 13 / round(44 / 3))
    assert float(tall["intrinsics"][0, 1, 1]) == pytest.approx(47 * 39 / 44)


def test_lengths_are_divided_by_the_mean_distance() -> None:
    recording = procedural_recording(num_frames=9)
    plain = sample(recording, SMALL, 3)
    scaled = sample(recording, replace(SMALL, scale="mean distance"), 3)
    total, count = 0.0, 0
    for place, frame in enumerate((0, 4)):
        lens, pose = (plain[key][frame].double().numpy() for key in ("intrinsics", "camera_to_world"))
        for row in range(22):
            for column in range(26):
                ray = np.linalg.inv(lens) @ [column + 0.5, row + 0.5, 1]
                point = pose[:3, :3] @ (ray * float(plain["depth"][place, row, column])) + pose[:3, 3]
                total, count = total + np.linalg.norm(point), count + 1
    mean = total / count
    assert mean > 1.1
    torch.testing.assert_close(scaled["depth"], plain["depth"] / mean, rtol=1e-5, atol=0)
    torch.testing.assert_close(scaled["tracks"], plain["tracks"] / mean, rtol=1e-4, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(
        scaled["camera_to_world"][:, :3, 3], plain["camera_to_world"][:, :3, 3] / mean, rtol=1e-4, atol=1e-6
    )
    assert torch.equal(scaled["video"], plain["video"])
    whole = procedural_recording(num_frames=9)
    assert mean_distance(moved(whole)) == pytest.approx(mean_distance(whole), rel=1e-5)
    with pytest.raises(ValueError, match="scene-3 must have cameras and known depth, got none"):
        mean_distance(replace(whole, depth_mask=torch.zeros_like(whole.depth_mask)))


def test_one_state_of_the_generator_gives_one_clip() -> None:
    recording = procedural_recording(num_frames=13)
    sampling = replace(SMALL, flip=0.5, reverse=0.5)
    one, same, other = (sample(recording, sampling, seed) for seed in (7, 7, 8))
    for key in one:
        assert torch.equal(one[key].nan_to_num(), same[key].nan_to_num())
    assert not torch.equal(one["video"], other["video"])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"frames": 13}, "scene-3 must have at least 13 frames, got 9"),
        ({"cameras": None}, {}, "scene-3 must have cameras, got depth, dynamic_mask, tracks"),
        ({"depth": None, "depth_mask": None}, {"depth": "needed"}, "scene-3 must have depth, got cameras"),
        ({"depth": None, "depth_mask": None}, {"scale": "mean distance"}, "scene-3 must have depth, got"),
        ({}, {"motion": "dense"}, "scene-3 must be static for motion='dense'"),
        (
            {"tracks": None, "visible": None, "dynamic_mask": None},
            {},
            "scene-3 must have tracks, or depth with a dynamic mask or in a static scene, got cameras, depth",
        ),
    ],
)
def test_recordings_that_will_not_do_are_refused_without_reading_them(change, options, message) -> None:
    source = MemorySource([replace(procedural_recording(), **change)])
    with pytest.raises(ValueError, match=message):
        sample_clip(source, 0, replace(SMALL, **options), draw(0))
    assert source.asked == []


def test_what_is_found_when_reading_names_the_frames() -> None:
    recording = procedural_recording(num_frames=5)
    unseen = torch.zeros_like(recording.visible)
    hidden = MemorySource([replace(recording, visible=unseen, dynamic_mask=None)])
    with pytest.raises(ValueError, match="scene-3, frames 0 to 4: scene-3 must have tracks that are visible"):
        sample_clip(hidden, 0, SMALL, draw(0))


def test_a_recording_that_has_to_be_fetched_says_so() -> None:
    source = MemorySource([wall()])
    entry = source.entries[0]
    source.entries[0] = replace(entry, info=replace(entry.info, missing="fetch the video first"))
    with pytest.raises(ValueError, match="wall cannot be read: fetch the video first"):
        sample_clip(source, 0, SMALL, draw(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 8}, r"frames must be 4k \+ 1 with k at least 1, got 8"),
        ({"height": 0}, "height must be at least 1, got 0"),
        ({"max_gap": 0}, "max_gap must be at least 1, got 0"),
        ({"crop": (0.9, 0.8)}, r"crop must be two shares in \(0, 1\], the smaller one first"),
        ({"crop": (0.0, 0.8)}, "crop must be two shares"),
        ({"flip": 1.5}, r"flip must be a share in \[0, 1\], got 1.5"),
        ({"max_turn_deg": 0.0}, "max_turn_deg must be in"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        ClipSampling(**options)


def test_unknown_choices_are_refused(without_shape_checker) -> None:
    with pytest.raises(ValueError, match="scale must be one of none, mean distance, got 'metre'"):
        ClipSampling(scale="metre")
