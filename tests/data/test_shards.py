"""Shards: written whole, read clip by clip, and never taken for those of other options."""

import pickle

import pytest
import torch

from diff4splat.data import ClipDataset, ShardClips, read_shard, shard_is_there, write_shard
from diff4splat.data.shards import ShardReader

CLIPS = {"video": torch.arange(2 * 3 * 5).reshape(2, 3, 5), "depth": torch.rand(2, 7)}
CAPTIONS = ["a ball", "ein Würfel"]


def numbered(folder, counts: list[int]) -> None:
    first = 0
    for shard, count in enumerate(counts):
        numbers = torch.arange(first, first + count)
        captions = [f"clip {number}" for number in numbers.tolist()]
        grid = numbers[:, None].expand(-1, 1009)
        write_shard(folder / f"{shard:06d}.safetensors", {"number": numbers, "grid": grid}, captions)
        first += count


def test_shards_come_back_as_they_were(tmp_path) -> None:
    path = tmp_path / "deep" / "000000.safetensors"
    write_shard(path, CLIPS, CAPTIONS)
    tensors, captions = read_shard(path)
    assert captions == CAPTIONS and set(tensors) == set(CLIPS)
    assert all(torch.equal(tensor, CLIPS[name]) for name, tensor in tensors.items())
    assert set(read_shard(path, ["depth"])[0]) == {"depth"}
    assert [file.name for file in path.parent.iterdir()] == ["000000.safetensors"]


def test_clips_without_captions_are_not_written(tmp_path) -> None:
    for captions in (["one"], [], ["one", "two", "three"]):
        with pytest.raises(ValueError, match="clips must have one row for each of"):
            write_shard(tmp_path / "a.safetensors", CLIPS, captions)
    assert list(tmp_path.iterdir()) == []


def test_the_origin_of_a_shard_is_told(tmp_path) -> None:
    path = tmp_path / "a.safetensors"
    assert not shard_is_there(path, {"size": 16})
    write_shard(path, CLIPS, CAPTIONS, origin={"size": 16, "vae": None})
    assert shard_is_there(path, {"size": 16, "vae": None}) and shard_is_there(path, {})
    with pytest.raises(
        ValueError, match="was made with size=16, these options say 32: choose another folder"
    ):
        shard_is_there(path, {"size": 32})
    with pytest.raises(ValueError, match="was made with vae=None, these options say x"):
        shard_is_there(path, {"vae": "x"})
    with pytest.raises(ValueError, match="does not say with which frames it was made"):
        shard_is_there(path, {"frames": 5})


def test_every_clip_is_read_by_its_number(tmp_path) -> None:
    numbered(tmp_path, [3, 5, 2])
    clips = ShardClips(tmp_path)
    assert isinstance(clips, ClipDataset) and len(clips) == 10
    for number in (9, 0, 3, 7, 2, 8):
        clip, caption = clips[number]
        assert clip["number"] == number and torch.equal(clip["grid"], torch.full((1009,), number))
        assert caption == f"clip {number}"
    assert [clips.name_of(number) for number in (0, 2, 3, 9)] == [
        *("000000.safetensors[0]", "000000.safetensors[2]", "000001.safetensors[0]", "000002.safetensors[1]")
    ]
    for number in (-1, 10):
        with pytest.raises(IndexError, match=r"index must be in \[0, 10\)"):
            clips[number]
    assert set(ShardClips(tmp_path, names=["number", "absent"])[4][0]) == {"number"}


def test_a_clip_is_alone_in_memory(tmp_path) -> None:
    numbered(tmp_path, [5])
    clip, _ = ShardClips(tmp_path)[1]
    assert clip["grid"].untyped_storage().nbytes() == 1009 * 8
    clip["grid"].zero_()
    assert ShardClips(tmp_path)[1][0]["grid"][0] == 1


def test_files_are_opened_late_and_closed_again(tmp_path) -> None:
    numbered(tmp_path, [2, 2, 2])
    clips = ShardClips(tmp_path, max_open=2)
    reader = clips._reader
    assert len(reader._files) == 0
    for number, opened in ((0, [0]), (3, [0, 1]), (1, [1, 0]), (5, [0, 2])):
        assert clips[number][0]["number"] == number
        assert [int(path.stem) for path in reader._files] == opened
    with pytest.raises(ValueError, match="max_open must be at least 1, got 0"):
        ShardReader(0)


def test_pickled_clips_are_the_same(tmp_path) -> None:
    numbered(tmp_path, [3, 2])
    clips = ShardClips(tmp_path, names=["number"])
    clips[4]
    again = pickle.loads(pickle.dumps(clips))
    assert len(again) == 5 and again[4][0].keys() == {"number"} and again[4][1] == "clip 4"


def test_clips_go_through_a_loader(tmp_path) -> None:
    numbered(tmp_path, [3, 2])
    loader = torch.utils.data.DataLoader(ShardClips(tmp_path, names=["number"]), batch_size=2)
    assert [clip["number"].tolist() for clip, _ in loader] == [[0, 1], [2, 3], [4]]


def test_damaged_files_are_bad_clips_and_the_others_are_read(tmp_path) -> None:
    numbered(tmp_path, [2, 3, 2])
    middle = tmp_path / "000001.safetensors"
    middle.write_bytes(middle.read_bytes()[:-5])
    clips = ShardClips(tmp_path)
    assert len(clips) == 6, "as many as the largest that can be read"
    assert clips[1][0]["number"] == 1 and clips[5][0]["number"] == 6
    for number in (2, 3):
        with pytest.raises(ValueError, match="000001.safetensors is damaged or no shard"):
            clips[number]
    middle.unlink()
    with pytest.raises(FileNotFoundError, match="000001.safetensors"):
        clips[2]


def test_folders_without_shards_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="folder must hold shards"):
        ShardClips(tmp_path)
    (tmp_path / ".000000.part.safetensors").touch()
    with pytest.raises(ValueError, match="folder must hold shards"):
        ShardClips(tmp_path)
    (tmp_path / "000000.safetensors").write_text("nothing")
    with pytest.raises(ValueError, match="folder must hold shards that can be read"):
        ShardClips(tmp_path)


def test_a_folder_was_made_with_what_its_shards_agree_on(tmp_path) -> None:
    for number, frames in enumerate((5, 9)):
        origin = {"size": 16, "frames": frames, "vae": "x"}
        write_shard(tmp_path / f"{number:06d}.safetensors", CLIPS, CAPTIONS, origin=origin)
    assert ShardClips(tmp_path).origin() == {"size": 16, "vae": "x"}
    write_shard(tmp_path / "000002.safetensors", CLIPS, CAPTIONS)
    assert ShardClips(tmp_path).origin() == {}
