"""Folders of a recipe: shards of clips, shards of recordings, datasets as their authors lay them out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data.sampling.memory import procedural_recording, wall
from PIL import Image
from safetensors.torch import load_file
from training.parts import stage
from training.test_run import QUIET, SMALL

from diff4splat.data import (
    Recording,
    SampledClips,
    ShardClips,
    encode_sample,
    make_clips,
    write_shard,
    write_shards,
)
from diff4splat.training import Recipe, Source, train
from diff4splat.training.sources import open_folder, open_recordings

MAPS = {"depth": 1.0, "depth_slope": 0.5, "color": 0.5}
STILL = stage("ldrm", MAPS, batch=2, freeze=("ldrm.deformation_head",))
MOVING = stage("ldrm", {**MAPS, "motion": 8.0}, batch=2)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Shards of recordings: three that move, two at rest, one too short."""
    moving = [replace(procedural_recording(seed, size=(34, 38)), dataset="stereo4d") for seed in (3, 5, 7)]
    still = [wall(f"wall-{number}", dataset="dl3dv") for number in range(2)]
    return write(tmp_path / "shards", [*moving, *still, wall("short", dataset="dl3dv").select(range(3))])


def write(folder: Path, recordings: list[Recording]) -> Path:
    write_shards(((one.name, encode_sample(one, one.name, video="png")) for one in recordings), folder)
    return folder


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """TartanAir with two scenes, one of them in stereo: a wall 5 m ahead of a camera that moves right."""
    for place, sides in (("room/Easy/P000", ("left", "right")), ("room/Easy/P001", ("left",))):
        for side in sides:
            for kind in ("image", "depth"):
                (tmp_path / place / f"{kind}_{side}").mkdir(parents=True)
            rows = []
            for number in range(6):
                picture = np.full((480, 640, 3), 40 * number, np.uint8)
                Image.fromarray(picture).save(tmp_path / place / f"image_{side}" / f"{number:06d}_{side}.png")
                np.save(
                    tmp_path / place / f"depth_{side}" / f"{number:06d}_{side}_depth.npy",
                    np.full((480, 640), 5, np.float32),
                )
                rows.append([0, number / 10 + 0.25 * (side == "right"), 0, 0, 0, 0, 1.0])
            np.savetxt(tmp_path / place / f"pose_{side}.txt", np.array(rows))
    return tmp_path


def run(stages, tmp_path: Path, **options):
    recipe = Recipe("tiny", stages, ldrm=SMALL, precision="no", seed=5)
    return train(recipe, tmp_path / "run", watch=QUIET, cpu=True, num_workers=0, **options)


def logged(tmp_path: Path, name: str) -> list[dict[str, float]]:
    log = tmp_path / "run" / "stages" / name / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_folder_of_clips_is_taken_as_it_is(tmp_path: Path) -> None:
    clips, captions = make_clips([5, 6], num_frames=5, height=32, width=32)
    write_shard(tmp_path / "000000.safetensors", clips, captions)
    ((found, share),) = open_folder(Source(2.5, folder=str(tmp_path)), STILL)
    assert isinstance(found, ShardClips) and len(found) == 2 and share == 2.5
    with pytest.raises(ValueError, match="max_gap is for recordings, got it for the clips of"):
        open_folder(Source(folder=str(tmp_path), max_gap=3), STILL)


def test_recordings_become_clips_of_the_stage(shards) -> None:
    options = {"share": 3.0, "folder": str(shards), "draws": 4, "tracks": 19, "max_gap": 2}
    parts = open_folder(Source(**options), MOVING, seed=9)
    assert [type(clips) for clips, _ in parts] == [SampledClips, SampledClips]
    assert [share for _, share in parts] == [pytest.approx(1.5), pytest.approx(1.5)]
    assert [len(clips) for clips, _ in parts] == [12, 12], "dl3dv and stereo4d, four draws of three scenes"
    clip, caption = parts[1][0][0]
    assert clip["video"].shape == (5, 3, 32, 32) and clip["tracks"].shape == (19, 5, 3)
    assert caption in {procedural_recording(seed).caption for seed in (3, 5, 7)}
    sampling = parts[0][0].sampling
    assert (sampling.max_gap, sampling.depth, sampling.motion) == (2, "needed", "tracks")
    ((clips, share),) = open_folder(Source(folder=str(shards), only="static"), STILL)
    assert clips.sampling.motion == "none" and share == 1 and clips.source.entries[0].dataset == "dl3dv"
    paper = Source(folder=str(shards), only="dynamic", weights="paper")
    ((clips, _),) = open_folder(paper, MOVING)
    assert [entry.dataset for entry in clips.source.entries] == ["stereo4d"] * 3


def test_no_recording_for_a_stage_is_an_error_that_says_so(tmp_path: Path) -> None:
    one = procedural_recording(3, size=(34, 38))
    folder = write(tmp_path / "moving", [replace(one, dataset="stereo4d")])
    with pytest.raises(ValueError, match="folder must hold recordings for static stages, got none"):
        open_folder(Source(folder=str(folder), only="static"), STILL)
    folder = write(tmp_path / "mine", [replace(one, dataset="mine")])
    with pytest.raises(ValueError, match="mine: weights must not be 'paper' for mine"):
        open_folder(Source(folder=str(folder), weights="paper"), STILL)


def test_a_dataset_is_read_as_its_authors_lay_it_out(rooms: Path) -> None:
    (source,) = open_recordings(rooms)
    assert [entry.uid for entry in source.entries] == [
        "tartanair--room--Easy--P000--left",
        "tartanair--room--Easy--P000--right",
        "tartanair--room--Easy--P001--left",
    ]
    ((clips, _),) = open_folder(Source(folder=str(rooms)), STILL)
    assert len(clips.scenes) == 2
    clip, _ = clips[0]
    assert ((clip["depth"] - 5).abs() < 1e-6).all() and clip["video"].shape == (5, 3, 32, 32)
    for empty in (rooms / "room" / "Easy" / "P000" / "image_left" / "none", rooms / "nothing"):
        with pytest.raises(ValueError, match="folder must hold shards of clips .*, or a dataset"):
            open_recordings(empty)


@pytest.mark.parametrize("name", ["image_left.tar", "index.parquet"])
def test_a_dataset_beside_files_that_it_came_with(rooms: Path, name: str) -> None:
    (rooms / name).write_bytes(b"of the dataset")
    (source,) = open_recordings(rooms)
    assert len(source.entries) == 3


def test_shards_without_an_index_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="folder must hold shards with an index, .* index_shards"):
        open_recordings(tmp_path)


def test_a_stage_is_trained_on_recordings(rooms: Path, shards, tmp_path: Path) -> None:
    """At rest on a dataset as it is, then in motion on shards beside it, of which one recording is bad."""
    still = replace(STILL, name="still", steps=2, data=(Source(folder=str(rooms / "room"), draws=3),))
    data = (
        Source(folder=str(shards), draws=3, tracks=23),
        Source(folder=str(rooms / "room"), tracks=23, draws=2),
    )
    moving = replace(MOVING, name="moving", steps=3, batch=4, data=data)
    run((still, moving), tmp_path, max_bad_share=0.5)
    first, second = (logged(tmp_path, name) for name in ("1-still", "2-moving"))
    assert [len(lines) for lines in (first, second)] == [2, 3]
    assert all("depth" in line for line in first + second)
    assert all("motion" in line for line in second) and not any("motion" in line for line in first)
    stage_folder = tmp_path / "run" / "stages" / "2-moving"
    bad = (stage_folder / "bad_clips.jsonl").read_text().splitlines()
    names = {json.loads(line)["name"] for line in bad}
    assert names and all(name.startswith("short, draw ") for name in names)
    counts = json.loads((stage_folder / "done.json").read_text())
    assert counts["bad_clips"] == len(bad) < counts["clips"]


def test_a_run_that_goes_on_ends_as_one_that_was_not_stopped(shards, tmp_path: Path) -> None:
    data = (Source(folder=str(shards), only="dynamic", draws=4, tracks=23),)
    moving = replace(MOVING, name="moving", steps=3, data=data)
    run((moving,), tmp_path)
    folder = tmp_path / "run" / "stages" / "1-moving"
    (weights,) = (folder / "ldrm").glob("*.safetensors")
    whole, lines = load_file(weights), logged(tmp_path, "1-moving")
    last = max((folder / "checkpoints").iterdir())
    assert int(last.name) == 3
    shutil.rmtree(last)
    shutil.rmtree(folder / "ldrm")
    (folder / "done.json").unlink()
    run((moving,), tmp_path)
    again = logged(tmp_path, "1-moving")
    assert again[:2] == lines[:2], "the last step alone is done again"
    assert again[2]["loss"] == lines[2]["loss"]
    for name, value in load_file(weights).items():
        assert torch.equal(value, whole[name])


def test_clips_that_cannot_share_a_batch_are_refused(shards, tmp_path: Path) -> None:
    one = Source(folder=str(shards), tracks=23)
    for other, message in (
        (Source(clips=3), "stage 'moving': data must tell motion in one form, got procedural scenes"),
        (replace(one, tracks=11), "stage 'moving': data must have one number of tracks, got 11 and 23"),
    ):
        mixed = replace(MOVING, name="moving", data=(one, other))
        with pytest.raises(ValueError, match=message):
            run((mixed,), tmp_path)
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    lost = replace(STILL, name="still", data=(Source(folder=str(tmp_path / "none")),))
    with pytest.raises(ValueError, match="stage 'still': folder must hold shards of clips"):
        run((lost,), tmp_path)
    assert not (tmp_path / "run").exists()
