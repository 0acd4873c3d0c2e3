"""What a recording takes from an annotation, and what it must not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from data.annotations.written import LARGE, TRUTH, recording
from data.readers.truth import FRAMES, check_cameras, check_depth

from diff4splat.cameras import Cameras
from diff4splat.data import Annotation, Recording, annotate, fit_annotation
from diff4splat.data.checking import check_recording


def cameras(truth=TRUTH) -> Cameras:
    lens = torch.from_numpy(truth.intrinsics).float().expand(FRAMES, 3, 3)
    return Cameras(torch.from_numpy(truth.camera_to_world).float(), lens, truth.height, truth.width)


def made(truth=TRUTH, **given) -> Annotation:
    """Everything that is true of the scene, in metres."""
    depth = torch.from_numpy(truth.depth).float()
    values = {
        "depth": depth,
        "depth_mask": depth > 0,
        "unit": "metre",
        "cameras": cameras(truth),
        "moving": torch.from_numpy(truth.moving),
        "facts": {"more": 1},
    }
    return Annotation("made", FRAMES, truth.height, truth.width, **{**values, **given})


def with_cameras(unit: str = "metre", **given) -> Recording:
    return recording(cameras=cameras(), unit=unit, **given)


def note(found: Recording) -> dict:
    return found.facts["annotations"][-1]


def test_a_video_takes_all_of_it() -> None:
    start = recording(facts={"url": "x"})
    found = annotate(start, made())
    check_cameras(found, TRUTH, list(range(FRAMES)))
    check_depth(found, TRUTH, list(range(FRAMES)), 1e-6)
    assert np.array_equal(found.dynamic_mask, TRUTH.moving) and found.unit == "metre"
    assert found.facts["url"] == "x" and start.depth is None and "annotations" not in start.facts
    assert note(found) == {
        "source": "made",
        "taken": ["cameras", "depth", "dynamic_mask"],
        "left": {},
        "facts": {"more": 1},
    }


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_another_size_keeps_the_scene(resampling: str) -> None:
    found = annotate(recording(LARGE), made(), resampling=resampling)
    check_cameras(found, LARGE, list(range(FRAMES)))
    both = found.depth_mask.numpy() & (LARGE.depth > 0) & (found.dynamic_mask.numpy() == LARGE.moving)
    assert both.sum() > 0.9 * (LARGE.depth > 0).sum()
    error = np.abs(found.depth.numpy() / np.where(both, LARGE.depth, 1) - 1)[both]
    assert error.max() < 0.05 and np.median(error) < (2e-3 if resampling == "nearest" else 2e-4)
    # the check of datasets, which knows nothing of annotations, finds the depth in agreement, too
    verdicts = {each.name: each.verdict for each in check_recording(found).findings}
    assert verdicts["depth from frame to frame"] == "holds", verdicts


def test_what_the_recording_has_is_kept_unless_parts_are_named() -> None:
    other = torch.full((FRAMES, 22, 34), 3.0)
    has = replace(with_cameras(), depth=other, depth_mask=other > 0, dynamic_mask=other > 9)
    moved = made(cameras=cameras().scale(2.0))
    found = annotate(has, moved)
    assert found.cameras is has.cameras and found.depth is other and not found.dynamic_mask.any()
    assert note(found)["taken"] == [] and set(note(found)["left"]) == {"cameras", "depth", "dynamic_mask"}
    named = annotate(has, moved, parts=["dynamic_mask", "cameras"])
    assert named.depth is other and named.dynamic_mask.any()
    assert torch.equal(named.cameras.camera_to_world, moved.cameras.camera_to_world)
    assert note(named)["left"] == {}


def test_depth_of_another_unit_is_not_put_beside_cameras() -> None:
    unknown = made(unit="unknown")
    for has, annotation in (
        (with_cameras("metre"), unknown),
        (with_cameras("unknown"), made()),
        (with_cameras("unknown"), unknown),
    ):
        found = annotate(has, annotation)
        assert found.depth is None and found.unit == has.unit and "unit" in note(found)["left"]["depth"]
        with pytest.raises(ValueError, match="depth of made cannot be taken for 'a scene/left': its unit"):
            annotate(has, annotation, parts=["depth"])
        both = annotate(has, annotation, parts=["depth", "cameras"])
        assert both.unit == annotation.unit and both.depth is not None
    assert annotate(with_cameras("metre"), made()).depth is not None


def test_cameras_of_another_unit_are_not_put_beside_depth() -> None:
    depth = torch.from_numpy(TRUTH.depth).float()
    for unit, annotation in (("metre", made(unit="unknown")), ("unknown", made())):
        has = recording(depth=depth, depth_mask=depth > 0, unit=unit)
        found = annotate(has, annotation)
        assert found.cameras is None and found.unit == unit and found.depth is depth
        assert "unit" in note(found)["left"]["cameras"]
        with pytest.raises(ValueError, match="cameras of made cannot be taken .* unit"):
            annotate(has, annotation, parts=["cameras"])
    has = recording(depth=depth, depth_mask=depth > 0, unit="metre")
    assert annotate(has, made()).cameras is not None


def test_cameras_are_not_replaced_under_tracks() -> None:
    points = torch.from_numpy(TRUTH.points).float().transpose(0, 1)
    seen = torch.from_numpy(TRUTH.visible.T)
    has = with_cameras(tracks=points, visible=seen)
    with pytest.raises(ValueError, match="tracks of the recording are in the world of its own cameras"):
        annotate(has, made(), parts=["cameras"])
    assert annotate(recording(tracks=points, visible=seen), made(unit="unknown")).depth is None


def test_motion_is_not_taken_for_a_dataset_at_rest() -> None:
    found = annotate(recording(static=True), made())
    assert found.dynamic_mask is None and "nothing moves" in note(found)["left"]["dynamic_mask"]
    assert annotate(recording(static=True), made(), parts=["dynamic_mask"]).dynamic_mask.any()


def test_two_annotators_follow_each_other() -> None:
    first = annotate(recording(), made(moving=None))
    second = annotate(first, made(cameras=None, depth=None, depth_mask=None))
    assert second.dynamic_mask.any() and torch.equal(second.depth, first.depth)
    assert [each["taken"] for each in second.facts["annotations"]] == [["cameras", "depth"], ["dynamic_mask"]]


def test_frames_go_by_place_in_the_recording_or_number_in_the_source() -> None:
    part = recording().select([1, 3])
    assert part.numbers == (1, 3)
    found = annotate(part, made(), first_number=0)
    check_depth(found, TRUTH, [1, 3], 1e-6)
    check_cameras(found, TRUTH, [1, 3])
    check_depth(annotate(part, made().select([1, 3]), first_number=0), TRUTH, [1, 3], 1e-6)
    alone = replace(made().select([1, 3]), numbers=None)
    check_depth(annotate(part, alone), TRUTH, [1, 3], 1e-6)
    with pytest.raises(
        ValueError, match="must be of the 2 frames of 'a scene/left', got 5 up to frame 4; first_number"
    ):
        annotate(part, made())
    with pytest.raises(
        ValueError, match="must be of the 2 frames of 'a scene/left', got 2 up to frame 3; first_number"
    ):
        annotate(part, made().select([1, 3]))
    with pytest.raises(ValueError, match="lacks 3 of 5, the first of them 2"):
        annotate(recording(), replace(made().select([1, 3]), numbers=None))
    with pytest.raises(ValueError, match="lacks 1 of 2, the first of them 3"):
        annotate(part, made().select([0, 1, 2]), first_number=0)


def test_sources_that_count_from_1_are_not_one_frame_late() -> None:
    counted = replace(recording(), numbers=(1, 2, 3, 4, 5)).select([1, 3])
    check_depth(annotate(counted, made(), first_number=1), TRUTH, [1, 3], 1e-6)
    with pytest.raises(ValueError, match="lacks 1 of 2, the first of them 0"):
        annotate(counted, made().select([1, 2]), first_number=2)


def test_frames_of_another_proportion_are_refused() -> None:
    with pytest.raises(
        ValueError, match="in the proportion of 34 x 22, as those of 'a scene/left', got 34 x 34"
    ):
        annotate(recording(), Annotation("made", FRAMES, 34, 34))
    fit_annotation(recording(), Annotation("made", FRAMES, 24, 34))  # rounded, each side by less than 1.51
    with pytest.raises(ValueError, match="got 34 x 25"):
        fit_annotation(recording(), Annotation("made", FRAMES, 25, 34))


@pytest.mark.usefixtures("without_shape_checker")
def test_options_are_checked() -> None:
    for option, words in (
        ({"parts": ["tracks"]}, "parts must be of cameras, depth, dynamic_mask, got 'tracks'"),
        ({"resampling": "cubic"}, "resampling must be one of nearest, bilinear, got 'cubic'"),
    ):
        with pytest.raises(ValueError, match=words):
            annotate(recording(), made(), **option)
    with pytest.raises(ValueError, match="depth of made cannot be taken .*: the annotation has none"):
        annotate(recording(), made(depth=None, depth_mask=None), parts=["depth"])


def test_a_fitted_annotation_fits_again_and_changes_no_more() -> None:
    once = fit_annotation(recording(LARGE), made())
    twice = fit_annotation(recording(LARGE), once)
    assert torch.equal(once.depth, twice.depth) and torch.equal(once.moving, twice.moving)
    assert torch.equal(once.cameras.intrinsics, twice.cameras.intrinsics) and twice.covers == (1.0, 1.0)
