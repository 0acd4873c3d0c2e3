"""Procedural clips: complete, decided by their seeds, and moving as their scenes do."""

import pytest
import torch

from diff4splat.data import check_clip, make_clips, object_motion, sample_scenes

SEEDS = [3, 5]


@pytest.fixture(scope="module")
def clips() -> tuple[dict[str, torch.Tensor], list[str]]:
    return make_clips(SEEDS, num_frames=5, height=16, width=32)


def test_clips_hold_what_training_needs(clips) -> None:
    tensors, captions = clips
    assert len(captions) == 2 and all(captions)
    assert tensors["video"].shape == (2, 5, 3, 16, 32) and tensors["depth"].shape == (2, 2, 16, 32)
    assert (tensors["depth"] > 0).all() and tensors["video"].float().std() > 10
    for row in range(2):
        clip = {name: tensor[row] for name, tensor in tensors.items()}
        assert check_clip(clip, needs=["motion", *tensors]) is None


def test_the_seeds_decide(clips) -> None:
    again, captions = make_clips(SEEDS, num_frames=5, height=16, width=32)
    assert captions == clips[1]
    assert all(torch.equal(tensor, clips[0][name]) for name, tensor in again.items())
    alone, _ = make_clips([5], num_frames=5, height=16, width=32)
    assert torch.equal(alone["video"][0], clips[0]["video"][1])


def test_static_clips_do_not_move() -> None:
    motion = make_clips(SEEDS, num_frames=5, height=16, width=16, static=True)[0]["object_motion"]
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


def test_a_share_of_the_scenes_has_photographs() -> None:
    pytest.importorskip("skimage")
    seeds = range(101)
    plain, some, every = (
        sample_scenes(seeds, texture_size=8, photographs=share).surfaces.texels
        for share in (False, 0.4, True)
    )
    painted = (some != plain).flatten(1).any(1)
    assert 25 < painted.sum() < 56  # 40 expected, standard deviation 5
    assert torch.equal(some[painted], every[painted]) and (every != plain).flatten(1).any(1).all()
    again = sample_scenes(seeds[7:20], texture_size=8, photographs=0.4).surfaces.texels
    assert torch.equal(again, some[7:20]), "a scene does not depend on its batch"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 6}, r"num_frames must be 4k \+ 1 with k at least 1, got 6"),
        ({"num_frames": 1}, "num_frames must be .* got 1"),
        ({"photographs": 1.5}, r"photographs must be a share in \[0, 1\], got 1.5"),
        ({"still_camera": -0.5}, r"still_camera must be a share in \[0, 1\], got -0.5"),
    ],
)
def test_impossible_options_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_clips(SEEDS, height=16, width=16, **options)
