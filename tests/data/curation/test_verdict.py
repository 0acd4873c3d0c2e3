"""Clean clips are kept; what is planted in them is found, and its reason names numbers and limits."""

from dataclasses import replace

import pytest
import torch
from data.checking.scenes import recording

from diff4splat.cameras import Cameras
from diff4splat.data import Recording, procedural_sample
from diff4splat.data.checking import frame_agreement, pick_pairs
from diff4splat.data.curation import (
    METRICS,
    CurationThresholds,
    VideoFlow,
    camera_flow,
    estimate_flow,
    judge,
    judge_metrics,
    measure,
)


def bare(**changes) -> Recording:
    """The scene without tracks, which would be reasons of their own."""
    return replace(recording(), tracks=None, visible=None, track_pixels=None, **changes)


def reasons(one: Recording, limits: CurationThresholds | None = None, **options) -> str:
    verdict = judge(one, limits, **options)
    assert verdict.accepted == (not verdict.reasons)
    assert all(reason[0].isupper() and reason.endswith(".") for reason in verdict.reasons)
    return " ".join(verdict.reasons)


def swapped() -> list[int]:
    order = list(range(13))
    order[2], order[9] = 9, 2
    return order


def test_a_clean_clip_is_kept_and_measured() -> None:
    one = recording()
    verdict = judge(one)
    assert verdict.accepted and verdict.reasons == ()
    found = verdict.metrics
    assert set(found) == set(METRICS)
    assert found["num_frames"] == 13 and found["cut"] == "" and found["camera_fault"] == ""
    assert found["dynamic_share"] == pytest.approx(float(one.dynamic_mask.float().mean()))
    assert found["median_depth_m"] == pytest.approx(float(one.depth.median()))
    agreement = frame_agreement(one, pick_pairs(one), max_pixels=20_000)
    assert found["depth_error"] == agreement.error < 1e-3
    assert found["pixel_error"] == pytest.approx(agreement.pixel_error * 512 / 149)
    assert found["known_depth"] == 1.0 and found["wrong_depth"] == 0
    assert found["track_pixel_error"] < 0.1 and found["track_depth_error"] < 0.01
    assert found["visible_tracks"] == int((one.visible.sum(1) >= 2).sum())
    assert found["flow_error"] is found["unmasked_motion"] is found["anchors"] is None


def test_the_world_and_its_unit_do_not_matter() -> None:
    one = replace(recording(), unit="unknown")
    found, other = measure(one), measure(one.relative_to_first().scale(7.0))
    for name, value in found.items():
        if isinstance(value, float):
            assert other[name] == pytest.approx(value, rel=0.05, abs=2e-3), name
    assert found["median_depth_m"] is None


def test_depth_of_one_frame_that_is_scaled() -> None:
    depth = recording().depth.clone()
    depth[6] *= 1.2
    found = judge(bare(depth=depth))
    assert found.metrics["worst_frame"] == 6
    assert found.metrics["frame_depth_error"] == pytest.approx(1 - 1 / 1.2, rel=1e-2)
    words = "The error of depth carried to and from frame 6 is 0.1667, more than 0.1."
    assert found.reasons == (words,)
    assert reasons(bare(depth=depth), CurationThresholds(max_frame_depth_error=0.2)) == ""


def test_a_bad_frame_does_not_make_its_neighbours_bad() -> None:
    depth = recording().depth.clone()
    depth[1] *= 1.2  # the only neighbour that is next to frame 0
    assert judge(bare(depth=depth)).metrics["worst_frame"] == 1


def test_a_cut_to_another_scene_of_which_every_frame_has_a_good_neighbour() -> None:
    one, other = bare(), recording(5)
    video, depth, moving = (
        torch.cat((getattr(one, name)[:6], getattr(other, name)[6:]))
        for name in ("video", "depth", "dynamic_mask")
    )
    spliced = replace(one, video=video, depth=depth, dynamic_mask=moving)
    found = measure(spliced, CurationThresholds(max_color_change=None))
    assert found["cut"] == "" and found["worst_frame"] == 6
    assert found["frame_depth_error"] > 0.1 and found["frame_color_ratio"] > 3


def test_depth_that_grows_from_frame_to_frame() -> None:
    growing = 1 + 0.03 * torch.arange(13)[:, None, None]
    found = reasons(bare(depth=recording().depth * growing))
    assert "The error of depth carried between frames is" in found and "more than 0.05." in found


def test_depth_of_every_frame_that_is_shifted_to_the_side() -> None:
    frames = [recording().depth[frame].roll(37 * (frame % 2), 1) for frame in range(13)]
    assert "pixels with depth within 5 % is" in reasons(bare(depth=torch.stack(frames)))


def test_poses_of_other_kinds_and_of_other_frames() -> None:
    one = recording()
    inverted = replace(one.cameras, camera_to_world=torch.linalg.inv(one.cameras.camera_to_world))
    assert "The colour error by that without cameras is" in reasons(bare(cameras=inverted))
    assert "The colour error of one frame by the usual is" in reasons(
        bare(cameras=one.cameras.select(swapped()))
    )
    away = one.cameras.camera_to_world.clone()
    away[4, :3, :3] = away[4, :3, :3] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0]))  # looks back
    found = reasons(bare(cameras=replace(one.cameras, camera_to_world=away)))
    assert "at frame 4, the camera turns by 1" in found and "(limit 45.0)" in found
    assert "that falls into its neighbours is 0, less than 0.1." in found


def test_pictures_of_other_frames() -> None:
    assert "The colour error of one frame by the usual is" in reasons(
        bare(video=recording().video[swapped()])
    )


def test_motion_that_no_mask_covers() -> None:
    sample = procedural_sample(5, num_frames=5, height=96, width=144)
    depth = sample["depth"][0]
    scene = Recording(
        "scene",
        "procedural",
        "MIT",
        (255 * sample["video"][0]).round().byte(),
        cameras=sample["cameras"].batch(0),
        depth=depth,
        depth_mask=depth > 0,
        dynamic_mask=sample["object_index"][0] > 0,
    )
    flow = estimate_flow(scene.video, guess=camera_flow(scene))
    assert reasons(scene, flow=flow) == ""
    without = replace(scene, dynamic_mask=torch.zeros_like(scene.dynamic_mask))
    assert "The share of pixels that move without a mask is 0.1" in reasons(without, flow=flow)
    assert "more than 0.05." in reasons(replace(scene, dynamic_mask=None, static=True), flow=flow)
    assert reasons(without) == "", "nothing tells without flow"


def test_flow_that_is_not_that_of_the_camera() -> None:
    one = bare()
    ego = camera_flow(one)
    off = torch.tensor([0.0, 1.0])[:, None, None]  # one pixel of 149 is 3.4 of 512
    found = judge(one, flow=VideoFlow(ego.forward + off, ego.backward - off))
    assert found.metrics["flow_error"] == pytest.approx(512 / 149)
    assert found.metrics["unmasked_motion"] == 0
    assert found.reasons == ("The distance of observed and ego flow is 3.436 px, more than 2 px.",)


def test_shares_of_what_moves() -> None:
    mask = torch.zeros_like(recording().dynamic_mask)
    mask[:, :75] = True  # 75 of 107 rows
    assert reasons(bare(dynamic_mask=mask)) == "The share of pixels that move is 0.7009, more than 0.6."
    mask[:, 8:] = False
    assert reasons(bare(dynamic_mask=mask)) == ""
    assert "0.07477, more than 0.05." in reasons(bare(dynamic_mask=mask, static=True))
    everything = judge(bare(dynamic_mask=torch.ones_like(mask)))
    assert everything.metrics["depth_error"] is None and everything.metrics["overlap"] is None
    assert everything.reasons == ("The share of pixels that move is 1, more than 0.6.",)


@pytest.mark.parametrize("wrong", [0.0, -2.0, torch.inf, torch.nan])
def test_depth_that_is_none(wrong: float) -> None:
    depth = recording().depth.clone()
    depth[3] = wrong
    found = reasons(bare(depth=depth))
    assert "is not finite and above 0 in 15943 pixels." in found
    assert "The share of known depth in the frame with the least is 0, less than 0.01." in found
    assert measure(bare(depth=torch.full_like(depth, wrong)))["depth_error"] is None


def test_depth_in_another_unit_than_the_poses() -> None:
    exact = bare()
    assert judge(exact).metrics["unit_ratio"] == pytest.approx(1, abs=0.02)
    for factor in (0.5, 2.0):
        wrong = replace(exact, depth=exact.depth * factor)
        assert "The ratio of the units of depth and poses is " in reasons(wrong)


def test_marks_and_units_of_depth() -> None:
    depth = recording().depth
    marked = torch.where(depth > depth.quantile(0.9), 655.35, depth)
    assert "There is a mark in the depth:" in reasons(bare(depth=marked))
    large = bare().scale(500.0)
    assert "m, more than 1000 m." in reasons(large)
    assert reasons(replace(large, unit="unknown")) == ""


def test_cameras_that_are_none() -> None:
    poses = recording().cameras.camera_to_world
    scaled = replace(recording().cameras, camera_to_world=2 * poses)
    assert "The cameras are none: rotation orthonormal" in reasons(bare(cameras=scaled))
    broken = poses.clone()
    broken[5, 1, 3] = torch.nan
    found = judge(recording(), None)
    assert found.accepted
    nan = judge(bare(cameras=replace(recording().cameras, camera_to_world=broken)))
    assert nan.reasons == ("The cameras are none: cameras finite: 1 of 13 cameras hold NaN or infinity.",)
    assert nan.metrics["depth_error"] is None


def test_tracks_that_are_elsewhere() -> None:
    one = recording()
    assert "The distance of tracks from their pixels is" in reasons(replace(one, tracks=one.tracks + 1))
    near = one.cameras.positions + 0.8 * (one.tracks - one.cameras.positions)
    assert "tracks from the depth is 0.2" in reasons(replace(one, tracks=near))
    behind = replace(one, tracks=2 * one.cameras.positions - one.tracks, track_pixels=None)
    assert judge(behind).metrics["track_depth_error"] is None
    few = replace(one, tracks=one.tracks[:3], visible=one.visible[:3], track_pixels=one.track_pixels[:3])
    assert reasons(few) == "The number of tracks seen in two frames is 2, less than 10."


def test_pictures_that_are_dark_frozen_or_of_two_scenes() -> None:
    video = recording().video
    dark = video.clone()
    dark[7] = 3
    assert "The mean of the darkest frame is 0.01176, less than 0.02." in reasons(bare(video=dark))
    frozen = bare(video=video[:1].expand_as(video))
    assert "The share of frames that repeat the one before is 1, more than 0.5." in reasons(frozen)
    noise = torch.randint(0, 2, video.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    still = bare(video=video[:1].clamp(max=250).expand_as(video) + noise)
    assert measure(still)["frozen_share"] == 1.0, "what compression changes is no motion"
    mixed = torch.cat((video[:7], 255 - recording(5).video[:6]))
    assert "It is not one piece: at frame 7, colours change by" in reasons(bare(video=mixed))
    assert "at frame 9, frame 9 follows frame 3" in reasons(bare(numbers=(*range(4), *range(9, 18))))


def test_a_short_clip_and_a_single_frame() -> None:
    assert reasons(bare().select([2, 3, 4])) == "The number of frames is 3, less than 5."
    assert reasons(bare().select([2])) == "The number of frames is 1, less than 5."
    assert measure(bare().select([2]))["depth_error"] is None


def test_quality_of_metric_depth() -> None:
    facts = {"metric_depth": {"num_anchors": 40, "num_sources": 7, "scale_variation": 0.08}}
    found = reasons(bare(facts=facts))
    assert "The number of anchors of metric depth is 7, less than 8." in found
    assert "The variation of the metric scale is 0.08, more than 0.05." in found
    assert reasons(bare(facts=facts), CurationThresholds(min_anchors=None, max_scale_variation=None)) == ""


def test_what_is_missing_is_judged_only_where_it_is_required() -> None:
    video = replace(bare(), cameras=None, depth=None, depth_mask=None, dynamic_mask=None)
    found = judge(video)
    assert found.accepted and found.metrics["depth_error"] is found.metrics["dynamic_share"] is None
    strict = CurationThresholds(require=("cameras", "depth", "dynamic_mask"))
    assert judge(video, strict).reasons == (
        "Required and missing: cameras.",
        "Required and missing: depth.",
        "Required and missing: dynamic mask.",
    )
    assert "dynamic mask" not in reasons(replace(video, static=True), strict)


def test_a_camera_may_have_to_move() -> None:
    assert (
        reasons(bare(cameras=recording().cameras.at_rest()), CurationThresholds(min_camera_motion=0.01)) != ""
    )
    one = bare()
    extent = one.cameras.positions.amax(0) - one.cameras.positions.amin(0)
    assert measure(one)["camera_motion"] == pytest.approx(float(extent.norm() / one.depth.median()), rel=1e-5)
    assert reasons(one, CurationThresholds(min_camera_motion=0.01)) == ""


def test_numbers_can_be_judged_again_by_other_limits() -> None:
    metrics = measure(bare())
    again = judge_metrics(metrics, CurationThresholds(min_frames=20))
    assert again.reasons == ("The number of frames is 13, less than 20.",)
    assert judge_metrics({**metrics, "depth_error": float("nan")}).reasons, "NaN is within no limit"
    assert judge_metrics({}).accepted


def test_flow_of_other_frames_is_refused() -> None:
    zeros = torch.zeros(2, 2, 107, 149)
    with pytest.raises(ValueError, match="flow must have shape"):
        judge(recording(), flow=VideoFlow(zeros, zeros))


def test_cameras_are_enough_to_find_cuts() -> None:
    lens = torch.tensor([[60.0, 0, 74.5], [0, 60.0, 53.5], [0, 0, 1]]).repeat(13, 1, 1)
    poses = torch.eye(4).repeat(13, 1, 1)
    poses[:, 0, 3] = torch.tensor([0.0] * 6 + [9.0] * 7) + 0.1 * torch.arange(13)
    jumping = bare(cameras=Cameras(poses, lens, 107, 149), depth=None, depth_mask=None)
    assert "at frame 6, the camera turns by 0 degrees" in reasons(jumping)
    assert reasons(jumping, CurationThresholds(max_step_ratio=None)) == ""
