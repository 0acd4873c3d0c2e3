"""Clips made ahead: by worker processes, once, in order, and never left waiting for in vain."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from diff4splat.backbones.compact import CausalVideoVAE
from diff4splat.data import ClipDataset, ShardClips, check_clip, make_clips
from diff4splat.hub import weights_hash
from diff4splat.training import Batches, ClipFactory

SMALL = {"num_frames": 5, "height": 16, "width": 24, "clips_per_shard": 3}
RENDERED = {"num_frames": 5, "height": 16, "width": 24}


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    torch.manual_seed(0)
    CausalVideoVAE(width=8, num_blocks=1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vae: Path):
    """A folder that two workers filled, and what was read meanwhile."""
    folder = tmp_path_factory.mktemp("made") / "cache"
    with ClipFactory(folder, 7, first_seed=11, vae=vae, num_workers=2, **SMALL) as factory:
        read = [factory[number] for number in range(7)]
        copy = pickle.loads(pickle.dumps(factory))
        assert (factory.make, copy.make) == (True, False) and len(copy) == 7
        assert torch.equal(copy[5][0]["video"], read[5][0]["video"])
        assert factory.num_ready == 7
    return folder, read


def test_clips_are_those_of_their_seeds(made, vae: Path) -> None:
    _, read = made
    expected, captions = make_clips(range(11, 18), **RENDERED)
    assert [caption for _, caption in read] == captions
    for number, (clip, _) in enumerate(read):
        assert all(torch.equal(clip[name], value[number]) for name, value in expected.items())
        assert set(clip) == {*expected, "latents"}
        assert check_clip(clip, needs=["motion", *clip]) is None
    with torch.no_grad():
        latents = CausalVideoVAE.from_pretrained(vae).encode(expected["video"].float() / 255)
    encoded = torch.stack([clip["latents"] for clip, _ in read])
    assert encoded.dtype == torch.float16
    torch.testing.assert_close(encoded.float(), latents, atol=0.05, rtol=0.05)  # encoded in bfloat16


def test_latents_are_known_by_the_values_of_the_autoencoder(vae: Path, tmp_path) -> None:
    """A bundle in half precision, and the same autoencoder saved again in full precision."""
    CausalVideoVAE.from_pretrained(vae).save_pretrained(tmp_path / "half", dtype=torch.float16)
    CausalVideoVAE.from_pretrained(tmp_path / "half").save_pretrained(tmp_path / "full")
    origins = [
        ClipFactory(tmp_path / "cache", 7, vae=folder, **SMALL)._recipe.origin["vae"]
        for folder in (tmp_path / "half", tmp_path / "full", vae)
    ]
    assert origins[0] == origins[1] == weights_hash(tmp_path / "full") != origins[2]
    known = ClipFactory(tmp_path / "cache", 7, vae=vae, known_hash="abc", **SMALL)
    assert known._recipe.origin["vae"] == "abc"


def test_finished_shards_are_used_again(made, vae: Path) -> None:
    folder, read = made
    names = [f"00000{shard}.safetensors" for shard in range(3)]
    assert sorted(path.name for path in folder.iterdir()) == names, "whole shards, nothing unfinished"
    times = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    with ClipFactory(folder, 7, first_seed=11, vae=vae, num_workers=2, **SMALL) as factory:
        assert isinstance(factory, ClipDataset) and (len(factory), factory.num_ready) == (7, 7)
        assert factory._workers == [], "nothing is left to do"
        assert torch.equal(factory[6][0]["latents"], read[6][0]["latents"])
    assert [path.stat().st_mtime_ns for path in sorted(folder.iterdir())] == times
    assert factory.name_of(5) == ShardClips(folder).name_of(5) == "000001.safetensors[2]"
    with pytest.raises(IndexError, match=r"index must be in \[0, 7\), got 7"):
        factory[7]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 32}, "made with width=24, these options say 32: choose another folder"),
        ({"static": True}, "made with static=False, these options say True"),
        ({"photographs": 0.5}, "made with photographs=False, these options say 0.5"),
        ({"first_seed": 12}, "made with first_seed=11, these options say 12"),
        ({"clips_per_shard": 2}, "made with clips_per_shard=3, these options say 2"),
        ({"vae": None}, "made with vae=[0-9a-f]+, these options say None"),
    ],
)
def test_a_folder_of_other_options_is_refused(made, vae: Path, changed, message: str) -> None:
    options = {**SMALL, "first_seed": 11, "vae": vae, **changed}
    with pytest.raises(ValueError, match=message):
        ClipFactory(made[0], 7, **options)


def test_this_process_makes_what_it_is_asked_for_when_there_are_no_workers(tmp_path: Path) -> None:
    factory = ClipFactory(tmp_path, 5, num_workers=0, **SMALL)
    assert factory.num_ready == 0
    clip, _ = factory[4]
    assert torch.equal(clip["video"], make_clips([4], **RENDERED)[0]["video"][0])
    assert factory.num_ready == 2 and [path.name for path in tmp_path.iterdir()] == ["000001.safetensors"]
    copy = pickle.loads(pickle.dumps(factory))
    assert copy[0][1] == make_clips([0], **RENDERED)[1][0] and factory.num_ready == 5
    again = ClipFactory(tmp_path, 2, num_workers=0, **SMALL)
    batch, captions = next(Batches([(again, 1.0)], 2, seed=0, needs=["video", "motion"]).from_step(0))
    assert batch["video"].shape == (2, 5, 3, 16, 24) and len(captions) == 2


def test_what_cannot_be_made_here_is_no_bad_clip(tmp_path: Path) -> None:
    factory = ClipFactory(tmp_path / "cache", 2, num_workers=0, **SMALL)
    (tmp_path / "cache").write_text("in the way of the folder")
    with pytest.raises(RuntimeError, match="shard 0 of .* cannot be made"):
        next(Batches([(factory, 1.0)], 1, seed=0, needs=["video"]).from_step(0))


def test_unfinished_files_are_removed_and_damaged_ones_told(tmp_path: Path) -> None:
    stale, fresh = tmp_path / ".000000.a1.safetensors", tmp_path / ".000001.b2.safetensors"
    for path in (stale, fresh):
        path.write_bytes(b"half")
    os.utime(stale, (time.time() - 1000,) * 2)
    with ClipFactory(tmp_path, 2, num_workers=0, **SMALL) as factory:
        assert factory.num_ready == 0
    assert not stale.exists() and fresh.exists(), "a fresh one may still be written by another process"
    (tmp_path / "000000.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="000000.safetensors is damaged or no shard"):
        ClipFactory(tmp_path, 2, num_workers=0, **SMALL)


def test_a_killed_worker_is_told(tmp_path: Path) -> None:
    with ClipFactory(tmp_path, 2, num_workers=1, **SMALL) as factory:
        os.kill(factory._workers[0][0].pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="clips-0 ended with exit code -9 before .*000000.safetensors"):
            factory[0]
    with pytest.raises(RuntimeError, match="no worker runs: read inside the factory's `with` block"):
        factory[0]


def test_the_error_of_a_worker_is_told(tmp_path: Path) -> None:
    CausalVideoVAE(width=8, num_blocks=1).save_pretrained(tmp_path / "vae")
    with ClipFactory(tmp_path / "cache", 2, vae=tmp_path / "vae", num_workers=1, **SMALL) as factory:
        (tmp_path / "vae" / "model.safetensors").unlink()
        with pytest.raises(RuntimeError, match=r"(?s)worker .* failed:.*Traceback.*model\.safetensors"):
            factory[0]


PARENT = """
import sys, time
from diff4splat.training import ClipFactory
if __name__ == "__main__":
    with ClipFactory(sys.argv[1], 10_000, num_frames=5, height=16, width=16, clips_per_shard=1) as factory:
        factory[0]
        print("working", flush=True)
        time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL, by which the parent dies here")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script, tmp_path / "cache"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "working\n"
    parent.kill()
    parent.communicate(timeout=60)  # returns when the worker, which has the same output, has ended too
    assert not list((tmp_path / "cache").glob(".*")), "it removed what it was writing"


def test_a_reader_waits_for_what_another_process_makes(tmp_path: Path) -> None:
    maker = ClipFactory(tmp_path, 3, num_workers=0, **SMALL)
    with ClipFactory(tmp_path, 3, make=False, **SMALL) as reader:
        batches = Batches([(reader, 1.0)], 3, seed=0, needs=["video"]).from_step(0)
        maker[0]
        assert next(batches)[0]["video"].shape[0] == 3
        assert reader._workers == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clips": 0}, "num_clips must be at least 1, got 0"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"clips_per_shard": 0}, "clips_per_shard must be at least 1, got 0"),
        ({"num_frames": 8}, r"num_frames must be 4k \+ 1 with k at least 1, got 8"),
        ({"still_camera": 2.0}, r"still_camera must be a share in \[0, 1\], got 2.0"),
        ({"first_seed": -1}, "first_seed and the seeds after it must lie in"),
        ({"first_seed": 2**40 - 1}, "first_seed and the seeds after it must lie in"),
        ({"vae": "anything", "width": 20}, "height and width must be multiples of 8 for a vae, got 128 x 20"),
    ],
)
def test_impossible_options_are_refused(tmp_path: Path, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipFactory(tmp_path / "cache", **{"num_clips": 3, **options})
    assert not (tmp_path / "cache").exists()
