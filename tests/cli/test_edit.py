"""`diff4splat edit`: what each option does, in which order, what is kept in the file, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cli.shown import error_of
from editing.parts import assert_same_at, assert_same_bits, cameras, scene
from PIL import Image

from diff4splat.assets import load_field, load_field_cameras, save_field
from diff4splat.cli import main
from diff4splat.editing import floaters, freeze, gaussians_in_box, moving_gaussians, retime, travel_distances
from diff4splat.gaussians import concatenate_gaussians

TIMES = torch.linspace(0, 1, 5)


@pytest.fixture(scope="module")
def field():
    made = scene(53, times=tuple(TIMES.tolist()), dtype=torch.float32)
    return replace(made, metadata={"fps": 10, "prompt": "a boat"})


@pytest.fixture(scope="module")
def path():
    return cameras(5, height=24, width=32)


@pytest.fixture
def file(field, path, tmp_path: Path) -> Path:
    save_field(field, tmp_path / "scene.safetensors", cameras=path)
    return tmp_path / "scene.safetensors"


def edit(file: Path, *words: str) -> Path:
    output = file.with_name("edited.safetensors")
    assert main(["edit", str(file), "-o", str(output), *words]) == 0
    return output


BOX = ("-0.5,-9,-9,9,9,9", (-0.5, -9.0, -9.0), (9.0, 9.0, 9.0))
SELECTIONS = {
    "box": (("--keep-box", BOX[0]), lambda field: gaussians_in_box(field, *BOX[1:])),
    "no box": (("--drop-box", BOX[0]), lambda field: ~gaussians_in_box(field, *BOX[1:])),
    "box at a time": (
        ("--keep-box", BOX[0], "--box-time", "0.3"),
        lambda field: gaussians_in_box(field, *BOX[1:], time=0.3),
    ),
    "box at all times": (
        ("--keep-box", BOX[0], "--box-time", "all"),
        lambda field: gaussians_in_box(field, *BOX[1:], time="all"),
    ),
    "moving": (("--keep", "moving", "--motion", "0.7"), lambda field: moving_gaussians(field, 0.7)),
    "static": (("--keep", "static", "--motion", "0.7"), lambda field: ~moving_gaussians(field, 0.7)),
    "moving by default": (
        ("--keep", "moving"),
        lambda field: travel_distances(field) > 0.1 * travel_distances(field).max(),
    ),
    "opaque": (("--min-opacity", "0.4"), lambda field: field.canonical.opacities >= 0.4),
    "no floaters": (("--remove-floaters",), lambda field: ~floaters(field)),
    "budget": (("--budget", "17"), None),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_selection(name: str, file: Path, field, path, capsys: pytest.CaptureFixture[str]) -> None:
    words, choose = SELECTIONS[name]
    made = load_field(edit(file, *words))
    expected = field.limit(17, cameras=path) if choose is None else field.select(choose(field))
    assert_same_bits(made, expected)
    assert 0 < made.num_gaussians
    printed = capsys.readouterr().out
    assert f"{words[0]} " in printed.replace("\n", " \n") and "edited.safetensors" in printed
    assert f" 53  {made.num_gaussians:>5}" in printed


def white_left(file: Path, width: int, height: int) -> Path:
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[:, : width // 2] = 255
    Image.fromarray(picture).save(file)
    return file


def test_masks_are_those_of_a_recorded_frame(file: Path, field, path, tmp_path: Path) -> None:
    mask = white_left(tmp_path / "left.png", 64, 48)  # twice the size of the frames
    for frame in (0, 3):
        words = ("--mask-frame", str(frame)) if frame else ()
        kept = load_field(edit(file, "--keep-mask", str(mask), *words))
        dropped = load_field(edit(file, "--drop-mask", str(mask), *words))
        assert 0 < kept.num_gaussians < 53 and kept.num_gaussians + dropped.num_gaussians == 53
        eye = path.camera_to_world[frame, 0, 3]
        assert (kept.at(frame / 4).means[:, 0] <= eye + 1e-4).all()
    near = load_field(edit(file, "--keep-mask", str(mask), "--mask-depth", "0.05"))
    assert near.num_gaussians < load_field(edit(file, "--keep-mask", str(mask))).num_gaussians


def test_trim_takes_the_path_along(file: Path, field, path) -> None:
    output = edit(file, "--trim", "0.25,1")
    made, recorded = load_field(output), load_field_cameras(output)
    for time in (0.0, 0.4, 1.0):
        assert_same_at(made.at(time), field.at(0.25 + 0.75 * time), atol=1e-5)
    assert recorded.num_frames == 4
    torch.testing.assert_close(recorded.camera_to_world, path.camera_to_world[1:], atol=1e-6, rtol=0)


def test_reverse_and_boomerang_take_the_path_along(file: Path, field, path) -> None:
    output = edit(file, "--reverse", "--boomerang")
    made, recorded = load_field(output), load_field_cameras(output)
    for time, source in ((0.0, 1.0), (0.25, 0.5), (0.5, 0.0), (0.75, 0.5), (1.0, 1.0)):
        assert_same_at(made.at(time), field.at(source), atol=1e-5)
    order = [4, 3, 2, 1, 0, 1, 2, 3, 4]
    assert torch.equal(recorded.camera_to_world, path.camera_to_world[order])


def test_freeze_exaggerate_times_and_speed(file: Path, field, path) -> None:
    output = edit(file, "--freeze", "0.3", "--times", "1")
    made = load_field(output)
    assert made.num_times == 1
    assert_same_at(made.at(0.8), field.at(0.3), atol=1e-5)
    assert torch.equal(load_field_cameras(output).camera_to_world, path.camera_to_world)
    made = load_field(edit(file, "--exaggerate", "2"))
    torch.testing.assert_close(
        made.delta_means - made.delta_means[:1], 2 * (field.delta_means - field.delta_means[:1])
    )
    assert load_field(edit(file, "--times", "3")).times.tolist() == [0.0, 0.5, 1.0]
    made = load_field(edit(file, "--speed", "0.5"))
    assert made.metadata["fps"] == 5
    assert_same_bits(made, field)


def test_a_moved_scene_looks_the_same_along_its_path(file: Path, field, path) -> None:
    output = edit(file, "--rotate", "0,90,20", "--scale", "2.5", "--move", "1,-2,3")
    made, recorded = load_field(output), load_field_cameras(output)
    assert (made.canonical.means - field.canonical.means).abs().max() > 1
    before = field.render(path, TIMES, eps2d=0.0).color
    after = made.render(recorded, TIMES, eps2d=0.0).color
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)


def test_turn_and_growth_leave_the_middle_where_it_is(file: Path, field) -> None:
    middle = field.canonical.means.median(dim=0).values
    index = (field.canonical.means - middle).norm(dim=-1).argmin()
    made = load_field(edit(file, "--rotate", "0,0,180", "--scale", "2"))
    offset = 2 * torch.tensor([-1.0, -1.0, 1.0]) * (field.canonical.means[index] - middle)
    torch.testing.assert_close(made.canonical.means[index], middle + offset, atol=1e-5, rtol=0)


def test_merge(file: Path, field, path, tmp_path: Path) -> None:
    other = replace(scene(11, seed=3, times=(0.1, 0.9), dtype=torch.float32), metadata={"fps": 30})
    save_field(other, tmp_path / "other.safetensors", cameras=cameras(2, height=24, width=32))
    output = edit(file, "--merge", str(tmp_path / "other.safetensors"), "--freeze", "0.3")
    made = load_field(output)
    expected = concatenate_gaussians([freeze(field, 0.3).at(0.6), other.at(0.6)])
    assert_same_at(made.at(0.6), expected, atol=1e-5)
    assert made.metadata["fps"] == 10
    assert made.metadata["merged_from"] == [dict(field.metadata), {"fps": 30}]
    assert load_field_cameras(output).num_frames == 5
    save_field(field, tmp_path / "bare.safetensors")
    output = edit(tmp_path / "bare.safetensors", "--merge", str(tmp_path / "other.safetensors"))
    assert load_field_cameras(output).num_frames == 2, "a scene without a path takes that of the other"


def test_order_is_that_of_the_help_and_the_file_says_what_was_done(file: Path, field) -> None:
    words = ("--speed", "2", "--reverse", "--trim", "0,0.5", "--keep-box", BOX[0])
    output = edit(file, *words)
    made = load_field(output)
    half = retime(retime(field.select(gaussians_in_box(field, *BOX[1:])), (0.0, 0.5)), (1.0, 0.0))
    assert_same_at(made.at(0.3), half.at(0.3), atol=1e-5)
    done = [f"--keep-box {BOX[0]}", "--trim 0,0.5", "--reverse", "--speed 2"]
    assert made.metadata == {"fps": 20, "prompt": "a boat", "edits": done}
    again = file.with_name("again.safetensors")
    assert main(["edit", str(output), "-o", str(again), "--remove-floaters"]) == 0
    assert load_field(again).metadata["edits"] == [*done, "--remove-floaters"]
    assert json.dumps(load_field(again).metadata)


def test_without_output_nothing_is_written(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_bytes()
    assert main(["edit", str(file), "--min-opacity", "0.4"]) == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert [item.name for item in file.parent.iterdir()] == [file.name] and file.read_bytes() == before


def test_output_may_be_the_scene(file: Path, field) -> None:
    assert main(["edit", str(file), "-o", str(file), "--freeze", "0"]) == 0
    assert_same_at(load_field(file).at(1), field.at(0), atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "at least one edit must be given, such as --remove-floaters"),
        (
            ("--keep-box", "90,90,90,91,91,91"),
            "--keep-box must leave at least one Gaussian, got 0 of 53; they lie",
        ),
        (("--keep", "moving", "--motion", "1000"), "--keep must leave at least one Gaussian, got 0 of 53"),
        (("--drop-box", "-99,-99,-99,99,99,99"), "--drop-box must leave at least one Gaussian"),
        (("--keep-box", "1,2,3"), "--keep-box must be 6 numbers with commas between them, got '1,2,3'"),
        (("--keep-box", "0,0,0,1,1,nan"), "--keep-box must be 6 numbers"),
        (("--keep-box", "1,0,0,0,1,1"), "--keep-box must be the smallest x,y,z and then the largest"),
        (("--box-time", "any", "--reverse"), "--box-time is for --keep-box and --drop-box"),
        (("--keep-box", BOX[0], "--box-time", "2"), "--box-time must be from 0 to 1, got 2"),
        (("--keep-box", BOX[0], "--box-time", "soon"), "--box-time must be 1 numbers"),
        (("--motion", "1", "--reverse"), "--motion is for --keep, which was not given"),
        (("--mask-depth", "1", "--reverse"), "--mask-depth is for --keep-mask and --drop-mask"),
        (("--keep", "still"), "--keep must be one of moving, static, got 'still'"),
        (("--trim", "0.8,0.2"), "--trim must be two times from 0 to 1, the smaller one first"),
        (("--trim", "0.2"), "--trim must be 2 numbers"),
        (("--freeze", "1.5"), "--freeze must be from 0 to 1, got 1.5"),
        (("--freeze", "nan"), "--freeze must be from 0 to 1, got nan"),
        (("--freeze", "0.5", "--reverse"), "--reverse does nothing to a scene that --freeze holds still"),
        (("--speed", "100"), "--speed must leave 0.1 to 240 frames per second, got 1000"),
        (("--speed", "0"), "--speed must be from 0.001 to 1000, got 0"),
        (("--scale", "-1"), "--scale must be from 0.001 to 1000, got -1"),
        (("--times", "0"), "--times must be from 1 to 10000, got 0"),
        (("--budget", "0"), "--budget must be from 1 to 1000000000, got 0"),
        (("--min-opacity", "2"), "--min-opacity must be from 0 to 1, got 2"),
        (("--merge", "none.safetensors"), "no such file or folder: none.safetensors"),
        (("--keep-mask", "none.png"), "--keep-mask cannot be read: No such file or directory: none.png"),
        (("--keep-mask", "scene.safetensors"), "--keep-mask must be a picture"),
        (
            ("--keep-mask", "square.png"),
            "--keep-mask must be a picture of the shape of the recorded frames, 32x24",
        ),
        (("--keep-mask", "left.png", "--mask-frame", "5"), "--mask-frame must be from 0 to 4, got 5"),
    ],
)
def test_refused(
    words: tuple[str, ...],
    message: str,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(file.parent)
    white_left(Path("left.png"), 32, 24)
    white_left(Path("square.png"), 24, 24)
    before = sorted(file.parent.iterdir())
    assert main(["edit", file.name, "-o", "edited.safetensors", *words]) == 2
    assert message in error_of(capsys)
    assert sorted(file.parent.iterdir()) == before, "nothing is left behind"


def test_masks_need_cameras_and_merged_scenes_one_scale_space(
    file: Path, field, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, linear = file.with_name("bare.safetensors"), file.with_name("linear.safetensors")
    save_field(field, bare)
    mask = white_left(file.with_name("left.png"), 32, 24)
    assert main(["edit", str(bare), "--keep-mask", str(mask)]) == 2
    assert "--keep-mask needs the recorded cameras, which SCENE does not hold" in error_of(capsys)
    save_field(replace(field, scale_space="linear"), linear)
    assert main(["edit", str(bare), "--merge", str(linear)]) == 2
    assert "--merge must be a scene whose scales change in log space" in error_of(capsys)


@pytest.mark.parametrize("output", ["edited.ply", "none/edited.safetensors"])
def test_output_is_checked_before_the_work(
    output: str, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(file.parent)
    assert main(["edit", "missing.safetensors", "-o", output, "--reverse"]) == 2
    assert "--output must" in error_of(capsys)
