import pytest
import torch

from diff4splat.data import sample_scenes
from diff4splat.training.shards import ClipShards, make_clips, object_motion, read_shard, write_shard


@pytest.fixture(scope="module")
def clips() -> tuple[dict[str, torch.Tensor], list[str]]:
    return make_clips([3, 5], num_frames=5, height=16, width=32)


def test_clips_hold_what_training_needs(clips) -> None:
    tensors, captions = clips
    assert len(captions) == 2 and all(captions)
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}
    objects = shapes.pop("object_motion")
    assert objects[1:] == (5, 3, 4)
    assert shapes == {
        "video": (5, 3, 16, 32),
        "depth": (2, 16, 32),
        "object_index": (2, 16, 32),
        "camera_to_world": (5, 4, 4),
        "intrinsics": (5, 3, 3),
    }
    assert tensors["video"].dtype == tensors["object_index"].dtype == torch.uint8
    assert tensors["object_index"].max() < objects[0]
    assert torch.isfinite(tensors["depth"]).all() and (tensors["depth"] > 0).all()


def test_the_seeds_decide(clips) -> None:
    again, captions = make_clips([3, 5], num_frames=5, height=16, width=32)
    assert captions == clips[1]
    assert all(torch.equal(tensor, clips[0][name]) for name, tensor in again.items())
    alone, _ = make_clips([5], num_frames=5, height=16, width=32)
    assert torch.equal(alone["video"][0], clips[0]["video"][1])


def test_static_clips_do_not_move() -> None:
    motion = make_clips([3, 5], num_frames=5, height=16, width=16, static=True)[0]["object_motion"]
    identity = torch.eye(4)[:3]
    torch.testing.assert_close(motion, identity.expand_as(motion), atol=1e-5, rtol=0)


def test_object_motion_is_that_of_the_scene() -> None:
    scenes = sample_scenes([3, 5, 7])
    times = torch.tensor([0.0, 0.3, 1.0])
    motion = object_motion(scenes, times)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(3, 11, 3, generator=generator)
    index = scenes.object_index[:, torch.arange(11) % scenes.object_index.shape[1]]
    for number, time in enumerate(times):
        moved = scenes.move(points, index, torch.zeros(3, 11), time.expand(3, 11))
        rows = motion[torch.arange(3)[:, None], index, number]
        expected = (rows[..., :3] @ points[..., None])[..., 0] + rows[..., 3]
        torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0)
    assert (motion[:, :, 2] - motion[:, :, 0]).abs().max() > 0.05, "something moves"


def test_shards_come_back_as_they_were(clips, tmp_path) -> None:
    path = tmp_path / "deep" / "000000.safetensors"
    write_shard(path, *clips)
    tensors, captions = read_shard(path)
    assert captions == clips[1] and set(tensors) == set(clips[0])
    assert all(torch.equal(tensor, clips[0][name]) for name, tensor in tensors.items())
    assert set(read_shard(path, ["depth", "video"])[0]) == {"depth", "video"}
    assert [file.name for file in path.parent.iterdir()] == ["000000.safetensors"]


def numbered(folder, shards: int, clips: int) -> None:
    for shard in range(shards):
        numbers = torch.arange(shard * clips, (shard + 1) * clips)
        write_shard(
            folder / f"{shard:06d}.safetensors",
            {"number": numbers, "other": -numbers},
            [f"clip {number}" for number in numbers.tolist()],
        )


def first_batches(folder, count: int, **options) -> list[tuple[dict[str, torch.Tensor], list[str]]]:
    batches = iter(ClipShards(folder, **options))
    return [next(batches) for _ in range(count)]


def test_batches_hold_every_clip_once_in_mixed_order(tmp_path) -> None:
    numbered(tmp_path, shards=3, clips=5)
    batches = first_batches(tmp_path, 3, batch_size=5)
    numbers = torch.cat([clips["number"] for clips, _ in batches]).tolist()
    assert sorted(numbers) == list(range(15)) and numbers != list(range(15))
    for clips, captions in batches:
        assert captions == [f"clip {number}" for number in clips["number"].tolist()]
        assert torch.equal(clips["other"], -clips["number"])
    assert any(len({number // 5 for number in clips["number"].tolist()}) > 1 for clips, _ in batches)


def test_the_seed_orders_the_batches(tmp_path) -> None:
    numbered(tmp_path, shards=3, clips=5)
    orders = [
        [clips["number"].tolist() for clips, _ in first_batches(tmp_path, 7, batch_size=2, seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_shards_that_appear_later_are_used(tmp_path) -> None:
    numbered(tmp_path, shards=1, clips=2)
    batches = iter(ClipShards(tmp_path, batch_size=2, names=["number"]))
    assert set(next(batches)[0]) == {"number"}
    numbered(tmp_path, shards=2, clips=2)
    later = {number for _ in range(4) for number in next(batches)[0]["number"].tolist()}
    assert later == {0, 1, 2, 3}


def test_what_does_not_fit_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="folder must hold shards"):
        ClipShards(tmp_path, batch_size=2)
    numbered(tmp_path, shards=1, clips=2)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ClipShards(tmp_path, batch_size=0)
    with pytest.raises(ValueError, match="batch_size must be at most the clips of 1 shards, got 3"):
        first_batches(tmp_path, 1, batch_size=3)
