"""The procedural protocol: truth that fits its cameras, equal bytes every time, and resumed when killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diff4splat.cameras import load_cameras
from diff4splat.data import HELD_OUT_SEEDS, sample_cameras, sample_scenes
from diff4splat.evaluation import Manifest, load_clip, read_video, write_procedural_protocol
from diff4splat.files import folder_lock

SIZE = {"num_frames": 3, "height": 17, "width": 19, "supersample": 1}
NAMES = ["spiral", "forward", "backward", "upward", "downward", "closed", "closed-frozen"]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, the first being number 5."""
    folder = tmp_path_factory.mktemp("whole") / "a protocol"
    write_procedural_protocol(folder, num_scenes=3, first_scene=5, **SIZE)
    return folder


def test_all_that_a_method_needs_is_there(whole: Path) -> None:
    manifest = Manifest.load(whole)
    manifest.check_files(whole)
    assert (manifest.num_frames, manifest.height, manifest.width) == (3, 17, 19)
    names = [f"scene-{number:05d}/{name}" for number in (5, 6, 7) for name in NAMES]
    assert [clip.name for clip in manifest.clips] == names
    assert [clip.seed for clip in manifest.clips[::7]] == [5, 6, 7]
    captions = sample_scenes(list(HELD_OUT_SEEDS[5:8])).captions
    assert tuple(clip.prompt for clip in manifest.clips[::7]) == captions
    assert [clip.closed for clip in manifest.clips[:7]] == [False] * 5 + [True] * 2
    assert [clip.frozen for clip in manifest.clips[:7]] == [False] * 6 + [True]
    assert all(read_video(whole / clip.reference).shape == (3, 3, 17, 19) for clip in manifest.clips)
    found = load_clip(whole / "scenes", "scene-00006/closed", num_frames=3, height=17, width=19)
    assert found.problem == ""


def test_the_truth_is_seen_by_the_commanded_cameras(whole: Path) -> None:
    """A scene rendered from the cameras file of the clip, at the times of the clip, is the reference."""
    for clip in Manifest.load(whole).clips[7:14]:
        seed = HELD_OUT_SEEDS[clip.seed]
        cameras = load_cameras(whole / clip.cameras)
        lens = sample_cameras([seed], 1, height=17, width=19).intrinsics[0, 0]
        assert torch.allclose(cameras.intrinsics[1], lens)
        times = torch.zeros(3) if clip.frozen else torch.tensor([0.0, 0.5, 1.0])
        batch = type(cameras)(cameras.camera_to_world[None], cameras.intrinsics[None], 17, 19)
        seen = sample_scenes([seed]).render(batch, times)
        reference = read_video(whole / clip.reference)
        assert (reference.float() - 255 * seen.color[0]).abs().max() <= 0.501
        assert (reference[0].permute(1, 2, 0).numpy() == np.asarray(Image.open(whole / clip.image))).all()
        depth = np.load(whole / f"{clip.reference}-depth.npz")["depth"]
        assert np.allclose(depth, seen.depth[0].numpy(), rtol=5e-4)


def test_only_a_frozen_closed_clip_must_end_as_it_began(whole: Path) -> None:
    manifest = Manifest.load(whole)
    moved = []
    for clip in manifest.clips:
        frames = read_video(whole / clip.reference)
        assert not torch.equal(frames[0], frames[1])
        if clip.frozen:
            assert torch.equal(frames[0], frames[-1])
        elif clip.closed:
            moved.append(not torch.equal(frames[0], frames[-1]))
    assert any(moved)


def test_equal_arguments_give_equal_bytes(whole: Path, tmp_path: Path) -> None:
    write_procedural_protocol(tmp_path / "b", num_scenes=3, first_scene=5, **SIZE)
    assert contents(tmp_path / "b") == contents(whole)


def test_scenes_are_kept_added_and_mended(whole: Path, tmp_path: Path) -> None:
    folder, seen = tmp_path / "b", []

    def run(count: int) -> Manifest:
        seen.clear()
        return write_procedural_protocol(
            folder, num_scenes=count, first_scene=5, **SIZE, progress=lambda *step: seen.append(step)
        )

    run(2)
    assert seen == [(1, 2), (2, 2)]
    kept = folder / "scenes" / "scene-00005" / "image.png"
    before = kept.stat().st_mtime_ns
    broken = folder / "scenes" / "scene-00006" / "closed" / "0001.png"
    broken.write_bytes(broken.read_bytes()[:-7])
    manifest = run(3)
    assert contents(folder) == contents(whole) and manifest == Manifest.load(whole)
    assert kept.stat().st_mtime_ns == before
    assert manifest.fingerprint != run(2).fingerprint


def test_a_run_that_is_killed_leaves_no_half_scene(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from diff4splat.evaluation.protocol import procedural\n"
        "write = procedural.write_frames\n"
        "def slow(folder, frames):\n"
        "    if folder.name == 'upward' and 'scene-00006' in str(folder):\n"
        "        (folder / 'half').mkdir(parents=True)\n"
        "        print('in the middle', flush=True)\n"
        "        time.sleep(60)\n"
        "    write(folder, frames)\n"
        "procedural.write_frames = slow\n"
        f"procedural.write_procedural_protocol({str(folder)!r}, num_scenes=3, first_scene=5, **{SIZE!r})\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "in the middle\n"
        os.kill(process.pid, signal.SIGKILL)
    names = sorted(path.name for path in (folder / "scenes").iterdir())
    assert names[-1] == "scene-00005" and len(names) == 2 and names[0].startswith(".scene-00006.")
    assert not (folder / "manifest.json").exists()
    write_procedural_protocol(folder, num_scenes=3, first_scene=5, **SIZE)
    assert contents(folder) == contents(whole)


def test_folders_that_are_refused(whole: Path, tmp_path: Path) -> None:
    before = contents(whole)
    with pytest.raises(
        ValueError, match="same settings, got .*height of 17 and not 13, amplitude of 0.5 and not"
    ):
        write_procedural_protocol(whole, **(SIZE | {"height": 13}), amplitude=0.25)
    with folder_lock(whole), pytest.raises(ValueError, match="one run at a time"):
        write_procedural_protocol(whole, num_scenes=1, **SIZE)
    assert contents(whole) == before
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match="folder must be new, empty or one of this protocol, .*mine.txt"):
        write_procedural_protocol(tmp_path, num_scenes=1, **SIZE)
    for text in ("{", json.dumps([1])):
        folder = tmp_path / f"b{len(text)}"
        folder.mkdir()
        (folder / "settings.json").write_text(text)
        with pytest.raises(ValueError, match="settings"):
            write_procedural_protocol(folder, num_scenes=1, **SIZE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_scenes": 0}, "num_scenes must be at least 1"),
        ({"first_scene": -1}, "first_scene and num_scenes must stay within"),
        ({"num_frames": 2}, "num_frames must be at least 3"),
        ({"supersample": 0}, "supersample must be at least 1"),
        ({"height": 0}, "height"),
        ({"amplitude": float("nan")}, "amplitude must be finite"),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_procedural_protocol(tmp_path / "b", **(SIZE | {"num_scenes": 1} | change))
    assert not (tmp_path / "b").exists()
