"""Clips of a list of recordings: each a function of its number, counted by scenes, taken by `Batches`."""

from dataclasses import replace

import pytest
import torch
from data.sampling.memory import MemorySource, procedural_recording, wall

from diff4splat.data import ClipDataset, ClipSampling, SampledClips
from diff4splat.training import Batches

SMALL = ClipSampling(frames=5, height=16, width=16, num_tracks=7, max_gap=2)
NEEDS = ["video", "camera_to_world", "intrinsics", "depth", "motion"]


def walls(count: int = 3) -> MemorySource:
    return MemorySource([wall(f"wall-{number}") for number in range(count)])


def same(one, other) -> bool:
    (a, caption), (b, other_caption) = one, other
    return caption == other_caption and all(torch.equal(a[k].nan_to_num(), b[k].nan_to_num()) for k in a)


def test_an_item_is_a_function_of_seed_and_number() -> None:
    clips = SampledClips(walls(), SMALL, seed=5, draws=4)
    assert isinstance(clips, ClipDataset) and len(clips) == 12
    first = [clips[number] for number in range(12)]
    again = SampledClips(walls(), SMALL, seed=5, draws=4)
    for number in reversed(range(12)):
        assert same(again[number], first[number]), "in any order"
    more = SampledClips(walls(), SMALL, seed=5, draws=9)
    assert same(more[7], first[7]), "more draws do not change the first ones"
    other = SampledClips(walls(), SMALL, seed=6, draws=4)
    assert sum(same(other[number], first[number]) for number in range(12)) == 0


def test_each_stretch_has_each_scene_once_and_draws_differ() -> None:
    source = walls()
    clips = SampledClips(source, SMALL, draws=6)
    windows = set()
    for number in range(18):
        clip, caption = clips[number]
        scene = number % 3
        assert caption == f"a view of wall-{scene}" and source.asked[-1][0] == scene
        assert clips.name_of(number) == f"wall-{scene}, draw {number // 3}"
        if scene == 0:
            windows.add((tuple(source.asked[-1][1]), round(float(clip["intrinsics"][0, 0, 0]), 3)))
    assert len(windows) == 6, "six draws of one scene are six windows"
    for wrong in (-1, 18):
        with pytest.raises(IndexError, match=rf"index must be in \[0, 18\), got {wrong}"):
            clips[wrong]


def test_cameras_of_a_scene_count_once_and_are_drawn() -> None:
    recordings = [wall("a-left"), wall("b"), wall("a-right", side=0.2), wall("a-top", side=0.4)]
    source = MemorySource(recordings, scenes=["a", "b", "a", "a"])
    clips = SampledClips(source, SMALL, draws=30)
    assert clips.scenes == ("a", "b") and len(clips) == 60
    for number in range(0, 60, 2):
        assert clips[number][1] == f"a view of {clips.name_of(number).split(',')[0]}"
    counts = [sum(index == camera for index, _ in source.asked) for camera in range(4)]
    assert counts[1] == 0 and min(counts[0], counts[2], counts[3]) >= 3


def test_cameras_without_what_is_needed_are_passed_over() -> None:
    left, right = procedural_recording(3), replace(procedural_recording(3), name="right")
    right = replace(right, tracks=None, visible=None, dynamic_mask=None)
    source = MemorySource([left, right], scenes=["one", "one"])
    clips = SampledClips(source, SMALL, draws=20)
    for number in range(20):
        clips[number]
    assert {index for index, _ in source.asked} == {0}
    resting = replace(right, dynamic_mask=left.dynamic_mask)  # says what rests, but not how things move
    source = MemorySource([resting, left], scenes=["one", "one"])
    for motion, drawn in (("tracks", {1}), ("none", {0, 1})):
        clips = SampledClips(source, replace(SMALL, motion=motion), draws=20)
        source.asked = []
        for number in range(20):
            clips[number]
        assert {index for index, _ in source.asked} == drawn
    SampledClips(MemorySource([resting]), SMALL)[0]
    alone = SampledClips(MemorySource([right]), SMALL, draws=2)
    with pytest.raises(ValueError, match="right must have tracks, or depth with a dynamic mask"):
        alone[1]


def test_a_run_that_goes_on_gets_the_batches_that_it_would_have_got() -> None:
    def batches() -> Batches:
        sources = [(SampledClips(walls(), SMALL, seed=1, draws=2), 2.0), (SampledClips(walls(2), SMALL), 1.0)]
        return Batches(sources, 3, seed=7, needs=NEEDS)

    whole = batches().from_step(0)
    steps = [next(whole) for _ in range(6)]
    whole.close()
    later = batches().from_step(4)
    for step in (4, 5):
        assert same(next(later), steps[step])
    later.close()
    assert not same(steps[0], steps[2])
    video = torch.cat([clips["video"] for clips, _ in steps[:3]])
    assert len({frame.numpy().tobytes() for frame in video}) == 9, "no clip twice in the first epoch"


def test_bad_recordings_are_counted_by_name(tmp_path) -> None:
    good = [wall(f"wall-{number}") for number in range(4)]
    bad = [
        wall("short").select(range(3)),
        replace(wall("blind"), cameras=None, tracks=None, visible=None, track_pixels=None),
        replace(wall("flat"), depth=None, depth_mask=None),
    ]
    clips = SampledClips(MemorySource(good + bad), replace(SMALL, depth="needed"), draws=1)
    batches = Batches(
        [(clips, 1.0)], 7, seed=0, needs=NEEDS, max_bad_share=0.5, bad_log=tmp_path / "bad.jsonl"
    )
    steps = batches.from_step(0)
    next(steps)
    steps.close()
    assert (batches.num_bad, batches.num_seen) == (3, 7)
    log = (tmp_path / "bad.jsonl").read_text()
    assert "short must have at least 5 frames, got 3." in log
    assert "blind must have cameras, got depth." in log
    assert "flat must have depth, got cameras, tracks." in log
    assert '"name": "short, draw 0 of source 0"' in log


@pytest.mark.parametrize(
    ("options", "message"),
    [({"draws": 0}, "draws must be at least 1, got 0"), ({"seed": -1}, "seed must be at least 0, got -1")],
)
def test_numbers_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        SampledClips(walls(), SMALL, **options)
    with pytest.raises(ValueError, match="source must hold recordings, got none"):
        SampledClips(MemorySource([]), SMALL)
