"""Truth of held-out scenes: independent of the batch, never trained on, and exact motion."""

import pytest
import torch

from diff4splat.data import HELD_OUT_SEEDS
from diff4splat.evaluation import held_out_scenes
from diff4splat.evaluation.held_out.generation import DIRECTIONS, generation_scenes
from diff4splat.evaluation.held_out.scenes import pixel_motion, seed_batches
from diff4splat.geometry import unproject

SIZE = {"num_frames": 3, "height": 17, "width": 19}


@pytest.fixture(scope="module")
def pair():
    return held_out_scenes(HELD_OUT_SEEDS[:2], num_novel=2, **SIZE)


def test_a_scene_does_not_depend_on_its_batch(pair) -> None:
    alone = held_out_scenes(HELD_OUT_SEEDS[1:2], num_novel=2, **SIZE)
    assert torch.equal(alone.novel_times[0], pair.novel_times[1])
    torch.testing.assert_close(alone.novel_cameras.camera_to_world[0], pair.novel_cameras.camera_to_world[1])
    torch.testing.assert_close(alone.image[0], pair.image[1], atol=1e-5, rtol=0)


def test_novel_views_are_at_unseen_times() -> None:
    times = held_out_scenes(HELD_OUT_SEEDS[:2], num_frames=4, height=2, width=2, num_novel=97).novel_times
    gap = 1 / 3
    # a quarter of a gap at least, and anywhere in each of the three middle halves
    away = (times[..., None] - torch.linspace(0, 1, 4)).abs().amin(-1)
    assert away.min() >= 0.25 * gap - 1e-6 and away.max() <= 0.5 * gap + 1e-6
    inside = (times / gap).floor()
    assert (inside[..., None] == torch.arange(3)).float().mean((0, 1)).min() > 0.2
    assert (times / gap - inside).min() < 0.3 and (times / gap - inside).max() > 0.7


def test_the_input_is_the_first_frame_of_the_path(pair) -> None:
    assert torch.equal(pair.image, pair.frames.color[:, 0])
    identity = torch.eye(4).expand(2, 4, 4)
    torch.testing.assert_close(pair.cameras.camera_to_world[:, 0], identity, atol=1e-6, rtol=0)


def test_motion_is_that_of_the_scenes(pair) -> None:
    start, later = torch.tensor([0.0, 0.5]), torch.tensor([0.3, 1.0])
    motion, moving = pixel_motion(pair.scenes, pair.frames, pair.cameras, 1, torch.tensor([0.5, 0.5]), later)
    depth, index = pair.frames.depth[:, 1], pair.frames.object_index[:, 1].flatten(1)
    points = unproject(depth, pair.cameras.camera_to_world[:, 1], pair.cameras.intrinsics[:, 1]).flatten(1, 2)
    now = torch.full(index.shape, float(start[1]))
    origin = pair.scenes.move(points, index, now, torch.zeros_like(now))
    for step, time in enumerate(later.tolist()):
        expected = pair.scenes.move(points, index, now, torch.full_like(now, time)) - origin
        torch.testing.assert_close(motion[:, step].flatten(1, 2), expected, atol=1e-4, rtol=0)
    assert moving.any() and not moving.flatten(1)[index == 0].any()


def test_batches_cover_the_scenes_once() -> None:
    batches = list(seed_batches(7, 3, first_scene=5))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    seeds = [seed for batch in batches for seed in batch]
    assert seeds == list(HELD_OUT_SEEDS[5:12])
    assert min(seeds) >= 2**40, "training stays below"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_scenes": 0, "batch_size": 3}, "num_scenes must be at least 1, got 0"),
        ({"num_scenes": 3, "batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"num_scenes": 3, "batch_size": 3, "first_scene": -1}, "must stay within 1048576 held-out scenes"),
        ({"num_scenes": 2**20 + 1, "batch_size": 3}, "must stay within 1048576 held-out scenes"),
    ],
)
def test_counts_that_do_not_fit_are_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        list(seed_batches(**arguments))


def test_novel_views_are_needed() -> None:
    with pytest.raises(ValueError, match="num_novel must be at least 1, got 0"):
        held_out_scenes(HELD_OUT_SEEDS[:1], num_novel=0, **SIZE)


def test_between_frames_needs_two_of_them() -> None:
    with pytest.raises(ValueError, match="num_frames must be at least 2, got 1"):
        held_out_scenes(HELD_OUT_SEEDS[:1], **{**SIZE, "num_frames": 1})


def test_straight_paths_take_turns_and_end_at_the_candidates() -> None:
    scenes = generation_scenes(HELD_OUT_SEEDS[5:7], amplitude=0.3, **SIZE)
    assert scenes.commanded.tolist() == [5, 0]
    expected = 0.3 * torch.tensor([DIRECTIONS["right"], DIRECTIONS["forward"]])
    torch.testing.assert_close(scenes.cameras.camera_to_world[:, -1, :3, 3], expected)
    torch.testing.assert_close(scenes.cameras.camera_to_world[:, 1, :3, 3], expected / 2)
    assert scenes.ends.shape == (2, 6, 3, 17, 19)
