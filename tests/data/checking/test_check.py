"""Which frames and recordings are looked at, and what a report says."""

import json
import math
from dataclasses import replace

import pytest
import torch
from data.checking.scenes import recording
from data.layouts import realestate10k
from data.layouts.scene import make_scene

from diff4splat.data.checking import (
    CheckReport,
    Finding,
    RecordingCheck,
    check_dataset,
    check_recording,
    pick_pairs,
    sample_frames,
)
from diff4splat.data.readers import open_dataset


def test_frames_are_spread_and_have_neighbours() -> None:
    assert sample_frames(5) == [0, 1, 2, 3, 4]
    frames = sample_frames(101)
    assert frames[:6] == [0, 1, 4, 5, 10, 11] and frames[-1] == 100 and len(frames) == 18
    assert all(max(sample_frames(count)) < count for count in range(1, 97))
    assert all(len(set(sample_frames(count))) == len(sample_frames(count)) for count in range(1, 97))


def test_pairs_overlap_and_are_not_the_same_twice() -> None:
    pairs = pick_pairs(recording())
    assert len(pairs) == 6 == len(set(pairs)) and all(first < second for first, second in pairs)
    assert pick_pairs(recording().select([3])) == []
    assert pick_pairs(replace(recording(), cameras=None)) == []
    hidden = replace(recording(), depth_mask=recording().depth_mask & False)
    assert pick_pairs(hidden) == []


def numbers(values: tuple[int, ...], steps: tuple[int, ...] = ()) -> tuple[str, float | None]:
    one = replace(recording().select(range(len(values))), numbers=values, depth=None, depth_mask=None)
    finding = check_recording(one, steps=steps).findings[0]
    assert finding.name == "frame numbers"
    return finding.verdict, finding.value


def test_frame_numbers() -> None:
    assert numbers((0, 1, 2)) == ("holds", None)
    assert numbers((0, 2, 2)) == ("fails", 1)
    assert numbers((5, 4, 6)) == ("fails", 1)
    assert numbers((0, 10, 40), (0, 1, 4)) == ("holds", 0)
    assert numbers((0, 1, 7), (0, 1, 2)) == ("cannot tell", 1)
    with pytest.raises(ValueError, match="steps must be one for each of 13 frames, got 2"):
        check_recording(recording(), steps=(1, 2))


def test_a_report_is_text_and_json() -> None:
    good = RecordingCheck("a", 7, (Finding("depth from frame to frame", "holds", "", 0.1, "at most 2", "%"),))
    bad = RecordingCheck("b", 0, (Finding("reading", "fails", "c is broken", math.inf),))
    unsure = RecordingCheck("c", 3, (Finding("frame numbers", "holds"),))
    assert (good.verdict, bad.verdict, unsure.verdict) == ("holds", "fails", "cannot tell")
    report = CheckReport("x", "X", "MIT", "/x", 9, (good, bad))
    assert "depth from frame to frame  holds  0.1 %  at most 2" in report.to_text()
    facts = json.loads(report.to_json())
    assert facts["verdict"] == "fails" and facts["recordings"][1]["findings"][0]["value"] is None
    assert replace(report, recordings=(good, unsure)).verdict == "holds"
    assert "remain unknown" in replace(report, recordings=(unsure,)).sentence()


def test_missing_frames_are_no_fault_of_conventions() -> None:
    good = RecordingCheck("a", 7, (Finding("tracks onto depth", "holds"),))
    absent = RecordingCheck("b", 0, (Finding("frames missing", "fails", "frames of 9 cameras: fetch x"),))
    bad = RecordingCheck("c", 7, (Finding("rotation determinant", "fails", "a reflection"),))
    report = CheckReport("x", "X", "MIT", "/x", 9, (absent,))
    assert report.verdict == "fails"  # a script should stop there
    assert report.sentence() == "frames of X are missing in 1 (1 recording looked at, 9 in all)"
    some = replace(report, recordings=(good, absent)).sentence()
    assert some == (
        "frames of X are missing in 1 (2 recordings looked at, 9 in all); conventions of the others hold"
    )
    assert replace(report, recordings=(bad, absent)).sentence() == (
        "conventions of X fail in 1 (2 recordings looked at, 9 in all): rotation determinant; frames are "
        "missing in 1"
    )


def test_a_folder_without_frames_says_what_to_fetch(tmp_path) -> None:
    realestate10k.write_poses(
        tmp_path / f"{realestate10k.IDS[0]}.txt", make_scene(3, 8, 12, torch.eye(3).numpy())
    )
    report = check_dataset(open_dataset(tmp_path))
    (finding,) = report.recordings[0].findings
    assert finding.name == "frames missing" and finding.words.startswith(
        "frames of 3 cameras: fetch https://"
    )
    assert report.sentence().startswith("frames of RealEstate10K are missing in 1")


def test_words_for_what_there_is_none_of() -> None:
    one = replace(recording(), tracks=None, visible=None, track_pixels=None)
    without_depth = replace(one, depth=None, depth_mask=None)
    words = [
        next(
            item.words for item in check_recording(each).findings if item.name == "depth from frame to frame"
        )
        for each in (replace(without_depth, cameras=None), without_depth, replace(one, cameras=None))
    ]
    assert words == ["there are no cameras and no depth", "there is no depth", "there are no cameras"]


def test_recordings_are_spread(tmp_path) -> None:
    for index in range(9):
        place = tmp_path / f"P{index:03d}"
        (place / "image_left").mkdir(parents=True)
        (place / "pose_left.txt").write_text("")
    told = []
    report = check_dataset(
        open_dataset(tmp_path), num_recordings=3, callback=lambda done, total: told.append((done, total))
    )
    assert [check.name for check in report.recordings] == ["P000/left", "P004/left", "P008/left"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert {check.findings[0].name for check in report.recordings} == {"reading"}
    assert "must hold frames" in report.to_text() and report.verdict == "fails"
    with pytest.raises(ValueError, match="num_recordings must be at least 1, got 0"):
        check_dataset(open_dataset(tmp_path), num_recordings=0)
