"""What moves by itself is found where flow or confidence tell, and nowhere else."""

from dataclasses import replace

import pytest
import torch
from data.checking.scenes import recording

from diff4splat.cameras import Cameras
from diff4splat.data import Recording, procedural_sample
from diff4splat.data.curation import (
    VideoFlow,
    camera_flow,
    dynamic_from_confidence,
    dynamic_from_flow,
    estimate_flow,
    find_dynamic_mask,
    remove_small_blobs,
    residual_flow,
)


def test_confidence_is_cut_between_its_least_and_most() -> None:
    maps = torch.full((3, 5, 7), 0.9)
    maps[0, 1, 2], maps[0, 3, 4] = 0.1, 0.43  # the limit is 0.1 + 0.4 * 0.8 = 0.42
    maps[1, 1, 2] = 0.75  # 0.81 > 0.9 - 0.1: all values are alike
    maps[2, 0, 0], maps[2, 0, 1] = torch.nan, 0.5
    found = dynamic_from_confidence(maps, height=5, width=7)
    assert found.nonzero().tolist() == [[0, 1, 2], [2, 0, 1]]
    other = dynamic_from_confidence(1 - maps, height=5, width=7, meaning="moving")
    assert torch.equal(other[:2], found[:2])


def test_small_maps_of_confidence_are_made_as_large_as_the_frame() -> None:
    maps = torch.ones(1, 3, 5)
    maps[0, 1, 3] = 0.0
    found = dynamic_from_confidence(maps, height=24, width=40)[0]
    assert found[8:16, 24:32].float().mean() > 0.3 and not found[:, :16].any()


def test_residual_flow_by_hand() -> None:
    # a wall 4 m away, a camera that goes 0.5 m to the right: 40 * 0.5 / 4 = 5 pixels to the left
    frames, height, width = 3, 11, 23
    poses = torch.eye(4).repeat(frames, 1, 1)
    poses[:, 0, 3] = 0.5 * torch.arange(frames)
    lens = torch.tensor([[40.0, 0, width / 2], [0, 40.0, height / 2], [0, 0, 1]]).repeat(frames, 1, 1)
    depth = torch.full((frames, height, width), 4.0)
    mask = torch.ones_like(depth, dtype=torch.bool)
    mask[1, 0] = False
    wall = Recording(
        "wall",
        "none",
        "MIT",
        torch.zeros(frames, 3, height, width, dtype=torch.uint8),
        cameras=Cameras(poses, lens, height, width),
        depth=depth,
        depth_mask=mask,
    )
    forward, backward = torch.zeros(2, 2, height, width), torch.zeros(2, 2, height, width)
    forward[:, 0], backward[:, 0] = -5, 5
    forward[:, 0, 3, 4], backward[:, 0, 3, 4] = -5 + 3, 5 - 3
    forward[:, 1, 5, 6] = 9  # one direction alone: hidden, not moving
    found = residual_flow(wall, VideoFlow(forward, backward))
    assert found[1, 3, 4] == pytest.approx(3) and found[1, 5, 6] == pytest.approx(0, abs=1e-5)
    assert found[0, 5, 6] == pytest.approx(9), "the first frame has one neighbour"
    assert torch.isnan(found[1, 0]).all() and torch.isfinite(found[0]).all()
    moving = dynamic_from_flow(wall, VideoFlow(forward, backward))
    assert moving[1].nonzero().tolist() == [[3, 4]] and not moving[1, 0].any()
    slower = dynamic_from_flow(wall, VideoFlow(forward, backward), min_share=0.2)  # 4.6 pixels
    assert not slower[1].any() and slower[0].nonzero().tolist() == [[5, 6]]


def procedural(seed: int) -> Recording:
    sample = procedural_sample(seed, num_frames=5, height=96, width=144)
    depth = sample["depth"][0]
    return Recording(
        "scene",
        "procedural",
        "MIT",
        (255 * sample["video"][0]).round().byte(),
        cameras=sample["cameras"].batch(0),
        depth=depth,
        depth_mask=depth > 0,
        dynamic_mask=sample["object_index"][0] > 0,
    )


def test_movers_of_a_scene_are_found_by_flow_alone() -> None:
    scene = procedural(5)
    flow = estimate_flow(scene.video, guess=camera_flow(scene))
    found = find_dynamic_mask(replace(scene, dynamic_mask=None), flow=flow)
    both, middle = found & scene.dynamic_mask, slice(1, -1)  # the ends have one neighbour
    assert both.sum() / found.sum() > 0.7
    assert both[middle].sum() / scene.dynamic_mask[middle].sum() > 0.4, "some parts move slowly"
    assert 0.05 < scene.dynamic_mask.float().mean() < 0.3


def test_a_scene_that_rests_has_nothing_to_find() -> None:
    one = recording()
    ego = camera_flow(one)
    exact = VideoFlow(ego.forward.nan_to_num(), ego.backward.nan_to_num())
    assert not find_dynamic_mask(replace(one, dynamic_mask=None), flow=exact).any()


def test_small_pieces_go_and_large_ones_stay_whole() -> None:
    mask = torch.zeros(2, 11, 13, dtype=torch.bool)
    mask[0, 2, 3], mask[0, 3, 4], mask[0, 4, 5] = True, True, True  # connected over corners
    mask[0, 8, 8:10] = True
    mask[1, 5:9, 5:9] = True
    kept = remove_small_blobs(mask, 3 / 143)
    assert kept[0].nonzero().tolist() == [[2, 3], [3, 4], [4, 5]]
    assert torch.equal(kept[1], mask[1]) and mask[0, 8, 8], "the input is left alone"
    assert torch.equal(remove_small_blobs(mask, 0.0), mask)
    assert not remove_small_blobs(torch.zeros_like(mask)).any()


def test_masks_are_joined_and_those_of_the_dataset_kept_whole() -> None:
    one = recording()
    own = torch.zeros_like(one.dynamic_mask)
    own[2, 7, 9] = True  # one pixel, which is a small piece
    maps = torch.ones(13, 107, 149)
    maps[:, 20:40, 30:60] = 0.0
    found = find_dynamic_mask(replace(one, dynamic_mask=own), confidence=maps)
    assert found[2, 7, 9] and found[:, 20:40, 30:60].all() and found.sum() == 13 * 600 + 1
    assert torch.equal(find_dynamic_mask(one), one.dynamic_mask)
    assert find_dynamic_mask(replace(one, dynamic_mask=None)) is None
    static = replace(one, dynamic_mask=None, static=True)
    assert not find_dynamic_mask(static, confidence=maps).any()
    assert torch.equal(find_dynamic_mask(replace(one, static=True)), one.dynamic_mask)


@pytest.mark.usefixtures("without_shape_checker")
def test_what_cannot_be_is_refused() -> None:
    maps, one = torch.ones(13, 3, 5), recording()
    with pytest.raises(ValueError, match="meaning must be one of"):
        dynamic_from_confidence(maps, height=5, width=7, meaning="dynamic")
    with pytest.raises(ValueError, match="share must lie between 0 and 1, got 1"):
        dynamic_from_confidence(maps, height=5, width=7, share=1.0)
    with pytest.raises(ValueError, match="confidence must have values"):
        dynamic_from_confidence(maps[:, :0], height=5, width=7)
    with pytest.raises(ValueError, match="confidence must have 13 frames, got 12"):
        find_dynamic_mask(one, confidence=maps[1:])
    with pytest.raises(ValueError, match="min_share must lie in"):
        remove_small_blobs(one.dynamic_mask, 1.5)
    zeros = torch.zeros(3, 2, 107, 149)
    with pytest.raises(ValueError, match="flow must have shape"):
        residual_flow(one, VideoFlow(zeros, zeros))
    with pytest.raises(ValueError, match="min_pixels and min_share must be at least 0"):
        dynamic_from_flow(one, VideoFlow(zeros, zeros), min_pixels=-1.0)
