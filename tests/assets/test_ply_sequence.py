"""A folder of PLY files and the field that it is."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from assets.splat_scenes import (
    COUNT,
    NAMES,
    TIMES,
    assert_equal,
    decibels,
    from_numpy,
    moving_scene,
    still_scene,
)
from plyfile import PlyData
from reference.assets_splats import read_ply

from diff4splat.assets import load_ply_sequence, save_ply, save_ply_sequence
from diff4splat.assets import ply_sequence as module


@pytest.fixture
def folder(tmp_path):
    save_ply_sequence(moving_scene(), tmp_path / "frames")
    return tmp_path / "frames"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("degree", [0, 3])
def test_an_independent_reader_finds_every_moment(tmp_path, degree):
    field, steps = moving_scene(degree), []
    times = torch.linspace(0, 1, 7)
    save_ply_sequence(
        field, tmp_path / "frames", times=times, callback=lambda done, total: steps.append((done, total))
    )
    assert names(tmp_path / "frames") == [f"frame_{index:05d}.ply" for index in range(7)]
    assert steps == [(index, 7) for index in range(1, 8)]
    for index, time in enumerate(times):
        found = read_ply(tmp_path / "frames" / f"frame_{index:05d}.ply")
        assert_equal(found, field.at(float(time)), opacities=1e-6)
        assert decibels(from_numpy(found), field.at(float(time))) > 90


def test_it_comes_back_as_the_field_it_was(folder):
    field, loaded = moving_scene(), load_ply_sequence(folder)
    assert loaded.times.tolist() == [*TIMES] and loaded.metadata == field.metadata
    for name in NAMES:
        torch.testing.assert_close(getattr(loaded.canonical, name), getattr(field.canonical, name))
    for time in (0.0, 0.2, 0.375, 0.9, 1.0):
        actual, expected = loaded.at(time), field.at(time)
        for name in ("means", "scales"):
            torch.testing.assert_close(getattr(actual, name), getattr(expected, name), rtol=2e-5, atol=2e-6)
        torch.testing.assert_close(actual.covariances(), expected.covariances(), rtol=1e-4, atol=1e-6)
        assert decibels(actual, expected) > 80


def test_quaternions_are_on_the_side_of_those_before_however_far_apart(tmp_path):
    field = moving_scene()
    assert (field.at(0.0).quaternions * field.at(1.0).quaternions).sum(-1).max() < 0
    save_ply_sequence(field, tmp_path / "frames", times=[0.0, 1.0])
    first, last = (read_ply(path)["quaternions"] for path in sorted((tmp_path / "frames").iterdir()))
    assert (first * last).sum(-1).min() > 0


def test_delta_quaternions_are_on_the_side_of_those_before(tmp_path):
    save_ply_sequence(moving_scene(), tmp_path / "frames", times=torch.linspace(0, 1, 11))
    found = [read_ply(path)["quaternions"] for path in sorted((tmp_path / "frames").iterdir())]
    for before, after in zip(found[:-1], found[1:], strict=True):
        assert ((before * after).sum(-1) > 0).all()
    turns = load_ply_sequence(tmp_path / "frames").delta_quaternions
    assert (turns[1:] * turns[:-1]).sum(-1).min() > 0 and turns[..., 0].min() < 0, "past half a turn"


def test_a_sequence_of_another_program(tmp_path):
    for number, shift in ((2, 0.0), (10, 1.0), (9, 0.5)):  # in the order of numbers, not of names
        gaussians = still_scene(1)
        save_ply(replace(gaussians, means=gaussians.means + shift), tmp_path / f"run7_step{number}.PLY")
    (tmp_path / "cameras.json").write_text("{}")
    (tmp_path / ".hidden.ply").write_text("")
    field = load_ply_sequence(tmp_path)
    assert field.times.tolist() == [0.0, 0.5, 1.0]
    torch.testing.assert_close(field.delta_means[:, 5, 0], torch.tensor([0.0, 0.5, 1.0]))
    assert load_ply_sequence(tmp_path, times=[0.0, 0.1, 0.7]).times.tolist() == pytest.approx([0, 0.1, 0.7])
    with pytest.raises(ValueError, match="one time per file, 3, got 2"):
        load_ply_sequence(tmp_path, times=[0.0, 0.1])
    with pytest.raises(ValueError, match="times must ascend strictly"):
        load_ply_sequence(tmp_path, times=[0.0, 0.7, 0.1])
    (tmp_path / "run8_step010.ply").write_bytes((tmp_path / "run7_step2.PLY").read_bytes())
    with pytest.raises(ValueError, match="must not have the same number, 10"):
        load_ply_sequence(tmp_path)
    (tmp_path / "run8_step010.ply").rename(tmp_path / "last.ply")
    with pytest.raises(ValueError, match="last.ply must have a number in its name"):
        load_ply_sequence(tmp_path)


def test_one_file_is_a_field_that_holds_still(tmp_path):
    save_ply(still_scene(), tmp_path / "point_cloud.ply")
    field = load_ply_sequence(tmp_path)
    assert field.times.tolist() == [0.0] and not field.delta_means.any()


def test_appearance_that_changes_is_refused_or_averaged(tmp_path, without_shape_checker):
    first = still_scene(1)
    second = replace(first, opacities=first.opacities * 0.5, harmonics=first.harmonics + 0.25)
    for index, gaussians in enumerate((first, second)):
        save_ply(gaussians, tmp_path / f"{index}.ply")
    with pytest.raises(
        ValueError, match=r"1.ply: opacities or colours change over time, by up to 0\.\d+ since"
    ):
        load_ply_sequence(tmp_path)
    field = load_ply_sequence(tmp_path, appearance="mean")
    torch.testing.assert_close(field.canonical.opacities, first.opacities * 0.75)
    torch.testing.assert_close(field.canonical.harmonics, first.harmonics + 0.125)
    assert field.metadata["appearance"].startswith("mean over 2 files that differ by up to 0.")
    with pytest.raises(ValueError, match="appearance must be 'refuse' or 'mean', got 'last'"):
        load_ply_sequence(tmp_path, appearance="last")


def test_files_that_do_not_belong_together_are_named(folder):
    last = folder / "frame_00002.ply"
    whole = last.read_bytes()
    for gaussians, words in (
        (still_scene().select(slice(5)), "is incomplete or mixed: frame_00002.ply"),
        (still_scene(), "is incomplete or mixed"),
    ):
        save_ply(gaussians, last)
        with pytest.raises(ValueError, match=words):
            load_ply_sequence(folder)
    last.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="frame_00002.ply is truncated"):
        load_ply_sequence(folder)
    last.unlink()
    with pytest.raises(ValueError, match="not of a sequence of 2 files"):
        load_ply_sequence(folder)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="holds no .ply files"):
        load_ply_sequence(folder)
    for index, gaussians in enumerate((still_scene(1), still_scene(1).select(slice(5)))):
        save_ply(gaussians, folder / f"{index}.ply")
    with pytest.raises(
        ValueError, match=f"1.ply must hold the same Gaussians as 0.ply, {COUNT} of them, got 5"
    ):
        load_ply_sequence(folder)
    save_ply(still_scene(2), folder / "1.ply")
    with pytest.raises(ValueError, match="1.ply must have harmonics of degree 1, as 0.ply, got 2"):
        load_ply_sequence(folder)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_ply_sequence(folder / "missing")


def test_a_folder_is_no_frame_and_a_number_without_end_no_time(tmp_path, folder):
    (folder / "frame_00009.ply").mkdir()
    assert len(load_ply_sequence(folder).times) == 3
    lone = tmp_path / "lone"
    (lone / "frame_00000.ply").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no .ply files"):
        load_ply_sequence(lone)
    path = folder / "frame_00002.ply"
    content = path.read_bytes()
    for time, words in ((b"1" + b"0" * 400, None), (b"3.0", "times must ascend strictly")):
        path.write_bytes(content.replace(b'"time": 1.0', b'"time": ' + time, 1))
        if words is None:  # nothing that can be a time: evenly spaced
            torch.testing.assert_close(load_ply_sequence(folder).times, torch.tensor([0, 0.5, 1]))
            continue
        with pytest.raises(ValueError, match=words):
            load_ply_sequence(folder)


def test_an_earlier_sequence_is_replaced_whole(folder):
    (folder / ".DS_Store").write_text("hidden")
    save_ply_sequence(moving_scene(1), folder, times=[0.5])
    assert names(folder) == [".DS_Store", "frame_00000.ply"]
    assert load_ply_sequence(folder).canonical.sh_degree == 1


@pytest.mark.parametrize("name", ["frame_00009.ply", "notes.txt", "frame_00000.txt", "frame_1.ply"])
def test_files_of_others_are_never_touched(folder, name):
    (folder / name).write_text("ply\nof mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=f"or hold an earlier sequence; it holds {name}"):
        save_ply_sequence(moving_scene(), folder, times=[0.5])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_frame_that_was_given_a_name_is_not_lost(folder):
    (folder / "frame_00001.ply").rename(folder / "the good one.ply")
    with pytest.raises(ValueError, match="it holds the good one.ply"):
        save_ply_sequence(moving_scene(), folder)
    assert len(names(folder)) == 3


def test_a_plain_ply_of_our_own_is_not_taken_for_a_frame(tmp_path):
    save_ply(still_scene(), tmp_path / "frame_00000.ply")
    with pytest.raises(ValueError, match="it holds frame_00000.ply"):
        save_ply_sequence(moving_scene(), tmp_path)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("moment", ["write", "exchange"])
def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch, existing, moment):
    folder = tmp_path / "frames"
    if existing:
        save_ply_sequence(moving_scene(0), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()} if existing else None
    calls = []

    def fail_late(function):
        def wrapped(*arguments, **options):
            calls.append(1)
            if len(calls) == (3 if moment == "write" else 3 + 3 * existing - 1):
                raise OSError(28, "No space left on device")
            return function(*arguments, **options)

        return wrapped

    if moment == "write":
        monkeypatch.setattr(module, "save_ply", fail_late(save_ply))
    else:
        real = os.replace

        class Replacing:
            def __getattr__(self, name):
                return fail_late(real) if name == "replace" else getattr(os, name)

        monkeypatch.setattr(module, "os", Replacing())
    with pytest.raises(OSError, match="No space left"):
        save_ply_sequence(moving_scene(1), folder)
    monkeypatch.undo()
    assert len(calls) >= 2
    if existing:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    else:
        assert [*tmp_path.iterdir()] == []


def test_what_is_refused(tmp_path):
    field = moving_scene()
    for times in ([0.5, 0.5], [0.5, 0.2], [-0.1], [0.0, 1.1], [float("nan")]):
        with pytest.raises(ValueError, match="times must ascend strictly in"):
            save_ply_sequence(field, tmp_path / "frames", times=times)
    with pytest.raises(ValueError, match="at least one time"):
        save_ply_sequence(field, tmp_path / "frames", times=[])
    with pytest.raises(ValueError, match="no batch axes"):
        save_ply_sequence(field.batch(None), tmp_path / "frames")
    with pytest.raises(FileNotFoundError, match="missing does not exist"):
        save_ply_sequence(field, tmp_path / "missing" / "frames")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="must name a folder, got the file"):
        save_ply_sequence(field, tmp_path / "file")
    assert names(tmp_path) == ["file"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    save_ply_sequence(moving_scene(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and len(names(tmp_path / "real")) == 3


def test_a_frame_that_is_a_link_leaves_what_it_points_to(folder, tmp_path):
    outside = tmp_path / "outside.ply"
    (folder / "frame_00001.ply").rename(outside)
    (folder / "frame_00001.ply").symlink_to(outside)
    before = outside.read_bytes()
    save_ply_sequence(moving_scene(0), folder)
    assert outside.read_bytes() == before and not (folder / "frame_00001.ply").is_symlink()


def test_metadata_cannot_add_lines_to_the_header(folder):
    comments = PlyData.read(folder / "frame_00001.ply").comments
    assert sum("end_header" in comment for comment in comments) == 1
    assert np.array_equal(read_ply(folder / "frame_00001.ply")["means"].shape, (COUNT, 3))
