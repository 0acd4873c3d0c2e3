"""Every planted mistake is found, and named by the words that undo it."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from data.checking.scenes import recording

from diff4splat.data import Recording, procedural_sample
from diff4splat.data.checking import (
    CONVENTIONS,
    CameraScale,
    agreement,
    agreement_findings,
    check_recording,
    find_convention,
    pick_pairs,
)
from diff4splat.geometry import depth_to_distance

FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
LEFT = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))
NED = torch.tensor([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def poses(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Recording], Recording]:
    def plant(one: Recording) -> Recording:
        return replace(
            one, cameras=replace(one.cameras, camera_to_world=change(one.cameras.camera_to_world.clone()))
        )

    return plant


def lens(factor: float = 1.0, offset: float = 0.0) -> Callable[[Recording], Recording]:
    def plant(one: Recording) -> Recording:
        intrinsics = one.cameras.intrinsics.clone()
        intrinsics[:, :2] *= factor
        intrinsics[:, :2, 2] += offset
        return replace(one, cameras=replace(one.cameras, intrinsics=intrinsics))

    return plant


def depth(factor: float) -> Callable[[Recording], Recording]:
    return lambda one: replace(one, depth=one.depth * factor)


def distance(one: Recording) -> Recording:
    return replace(one, depth=depth_to_distance(one.depth, one.cameras.intrinsics))


def transposed(matrices: torch.Tensor) -> torch.Tensor:
    matrices[:, :3, :3] = matrices[:, :3, :3].mT.clone()
    return matrices


def shifted(step: int) -> Callable[[Recording], Recording]:
    """Pictures and depth with the cameras of other frames."""

    def plant(one: Recording) -> Recording:
        count = one.num_frames
        cameras = one.cameras.select(range(max(0, step), count + min(0, step)))
        kept = one.select(range(max(0, -step), count - max(0, step)))
        return replace(kept, cameras=cameras)

    return plant


MISTAKES = {
    "the poses were world-to-camera": poses(torch.linalg.inv),
    "the camera axes were OpenGL's (y up, z backward)": poses(lambda m: m @ FLIP),
    "the camera axes were PyTorch3D's (x left, y up)": poses(lambda m: m @ LEFT),
    "the camera axes were forward, right, down": poses(lambda m: m @ NED.T),
    "the poses were world-to-camera in OpenGL's axes": poses(lambda m: torch.linalg.inv(m @ FLIP)),
    "the poses were world-to-camera in PyTorch3D's axes": poses(lambda m: torch.linalg.inv(m @ LEFT)),
    "the poses were world-to-camera in axes forward, right, down": poses(
        lambda m: torch.linalg.inv(m @ NED.T)
    ),
    "the rotations were transposed": poses(transposed),
    "the depth were the distance along the ray": distance,
    "the depth had to be divided by 10": depth(10.0),
    "the depth had to be divided by 100": depth(100.0),
    "the depth had to be divided by 1000": depth(1000.0),
    "the depth had to be multiplied by 10": depth(0.1),
    "the depth had to be multiplied by 100": depth(0.01),
    "the depth had to be multiplied by 1000": depth(0.001),
    "the centre of the lens had to move by +0.5 pixels": lens(offset=-0.5),
    "the centre of the lens had to move by -0.5 pixels": lens(offset=0.5),
    "the lens were that of images of half the size": lens(0.5),
    "the lens were that of images of twice the size": lens(2.0),
    "the poses were those of one frame later": shifted(-1),
    "the poses were those of one frame earlier": shifted(1),
}


def without_tracks(one: Recording) -> Recording:
    return replace(one, tracks=None, visible=None, track_pixels=None)


def test_every_convention_is_tested() -> None:
    assert list(MISTAKES) == list(CONVENTIONS)


@pytest.mark.parametrize("words", MISTAKES)
def test_a_planted_mistake_is_named(words: str) -> None:
    check = check_recording(MISTAKES[words](without_tracks(recording(5))))
    assert check.verdict == "fails"
    assert [item.words for item in check.findings if item.name == "conventions"] == [f"as if {words}"]


@pytest.mark.parametrize(
    ("axes", "words"),
    [(FLIP, "OpenGL's axes"), (LEFT, "PyTorch3D's axes"), (NED, "axes forward, right, down")],
)
def test_a_reader_that_turns_the_axes_of_inverted_poses_is_named(axes: torch.Tensor, words: str) -> None:
    plant = poses(lambda m: torch.linalg.inv(m @ axes.T) @ axes)
    check = check_recording(plant(without_tracks(recording(5))))
    assert [item.words for item in check.findings if item.name == "conventions"] == [
        f"as if the poses were world-to-camera in {words}"
    ]


@pytest.mark.parametrize("words", [words for words in MISTAKES if "poses were those" not in words])
def test_the_convention_undoes_the_mistake(words: str) -> None:
    one = recording()
    back = CONVENTIONS[words](MISTAKES[words](one))
    assert torch.allclose(back.depth, one.depth, rtol=1e-5)
    assert torch.allclose(back.cameras.intrinsics.double(), one.cameras.intrinsics.double(), rtol=1e-5)
    assert torch.allclose(
        back.cameras.camera_to_world.double(), one.cameras.camera_to_world.double(), atol=1e-5
    )


@pytest.mark.parametrize("seed", [2, 3, 11])
def test_exact_scenes_hold(seed: int) -> None:
    check = check_recording(recording(seed))
    assert check.verdict == "holds"
    assert {item.verdict for item in check.findings} <= {"holds", "cannot tell"}
    assert next(item for item in check.findings if item.name == "depth from frame to frame").value < 0.1


def test_shuffled_poses_fail_without_a_name() -> None:
    check = check_recording(
        poses(lambda m: m[torch.tensor([7, 0, 11, 3, 9, 1, 12, 5, 2, 10, 4, 8, 6])])(recording())
    )
    assert check.verdict == "fails"
    assert not [item for item in check.findings if item.words.startswith("as if")]


def test_a_camera_that_stands_still_cannot_tell() -> None:
    one = without_tracks(recording())
    still = one.select([4] * 5)
    check = check_recording(replace(still, numbers=tuple(range(5))))
    found = {item.name: item for item in check.findings}
    assert found["depth from frame to frame"].verdict == "cannot tell"
    assert found["depth from frame to frame"].words == "the camera moves too little to tell"
    assert check.verdict == "cannot tell"


@pytest.mark.parametrize(
    ("seed", "factor", "reading", "verdict", "words"),
    [  # where the camera goes sideways only, f t / z is all that can be seen
        (2, 0.5, "the lens were that of images of twice the size", "fails", "multiplied by 2"),
        (0, 1.3, "the depth were the distance along the ray", "cannot tell", "divided by 1.3"),
    ],
)
def test_depth_in_another_unit_is_named_beside_or_instead_of_another_reading(
    seed: int, factor: float, reading: str, verdict: str, words: str
) -> None:
    sample = procedural_sample(seed, num_frames=17, height=96, width=128)
    depth = factor * sample["depth"][0]
    one = Recording(
        name="scene",
        dataset="procedural",
        licence="MIT",
        video=(255 * sample["video"][0]).round().byte(),
        cameras=sample["cameras"].batch(0),
        depth=depth,
        depth_mask=depth > 0,
        dynamic_mask=sample["object_index"][0] > 0,
    )
    assert find_convention(one, pick_pairs(one)) == reading
    found = {item.name: item for item in agreement_findings(one)[0]}
    assert found["conventions"].verdict == verdict
    assert found["one unit of depth and poses"].verdict == "fails"
    assert found["one unit of depth and poses"].words == f"as if the depth had to be {words}"


@pytest.mark.parametrize(
    ("scale", "variation", "verdict"),
    [(1.05, 0.04, "holds"), (1.12, 0.04, "cannot tell"), (1.25, 0.01, "fails"), (1.25, math.nan, "fails")],
)
def test_units_fail_only_where_their_ratio_is_sure(
    monkeypatch: pytest.MonkeyPatch, scale: float, variation: float, verdict: str
) -> None:
    found = CameraScale(scale, variation, 0.1, 6)
    monkeypatch.setattr(agreement, "camera_scale_from_depth", lambda *_, **__: found)
    units = [item for item in agreement_findings(recording())[0] if item.name.startswith("one unit")]
    assert [item.verdict for item in units] == [verdict]
