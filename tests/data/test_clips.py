"""Clips: good ones pass, and of bad ones the reason is told."""

import pytest
import torch
from torch import Tensor

from diff4splat.data import check_clip

FRAMES, KEYS, HEIGHT, WIDTH = 5, 2, 7, 11


def good_clip() -> dict[str, Tensor]:
    """A clip with every key, and motion in both forms."""
    depth = torch.full((KEYS, HEIGHT, WIDTH), 3.0).half()
    depth[0, 0, 0], depth[1, 2, 3] = torch.nan, 0
    tracks, visible = torch.randn(13, FRAMES, 3), torch.zeros(13, FRAMES, dtype=torch.bool)
    visible[3, 4] = True
    tracks[5, 1] = torch.nan  # not visible there
    return {
        "video": torch.zeros(FRAMES, 3, HEIGHT, WIDTH, dtype=torch.uint8),
        "camera_to_world": torch.eye(4).repeat(FRAMES, 1, 1),
        "intrinsics": torch.eye(3).repeat(FRAMES, 1, 1),
        "depth": depth,
        "object_index": torch.full((KEYS, HEIGHT, WIDTH), 2, dtype=torch.uint8),
        "object_motion": torch.randn(3, FRAMES, 3, 4),
        "tracks": tracks,
        "visible": visible,
        "latents": torch.randn(KEYS, 8, 1, 2).half(),
    }


KEYS_OF_ALL = tuple(good_clip())


def test_a_good_clip_passes() -> None:
    clip = good_clip()
    assert check_clip(clip, needs=[*KEYS_OF_ALL, "motion"]) is None
    for absent in (("tracks", "visible"), ("object_index", "object_motion")):
        kept = {key: value for key, value in clip.items() if key not in absent}
        assert check_clip(kept, needs=["video", "motion"]) is None


def without(*keys: str) -> dict[str, Tensor]:
    return {key: value for key, value in good_clip().items() if key not in keys}


def test_missing_keys_are_named() -> None:
    reason = check_clip(without("depth", "latents"), needs=["video", "depth", "latents"])
    assert reason is not None and reason.startswith("depth, latents missing; there are camera_to_world, ")
    reason = check_clip(without("object_index", "visible"), needs=["video", "motion"])
    assert reason is not None and reason.startswith("motion is missing: neither object_index")
    assert check_clip({}, needs=["speed"]) == "speed missing; there are no keys."


def test_what_is_not_needed_is_not_looked_at() -> None:
    clip = {**good_clip(), "depth": torch.full((1, 2, 3), torch.nan)}
    assert check_clip(clip, needs=["video", "camera_to_world"]) is None
    assert check_clip(clip, needs=["video", "depth"]) is not None


def changed(key: str, place: tuple[int, ...], value: float) -> Tensor:
    tensor = good_clip()[key].clone()
    tensor[place] = value
    return tensor


BAD = [
    (
        "video",
        torch.zeros(6, 3, HEIGHT, WIDTH).byte(),
        "video must have 4k + 1 frames with k at least 1, got 6",
    ),
    (
        "video",
        torch.zeros(1, 3, HEIGHT, WIDTH).byte(),
        "video must have 4k + 1 frames with k at least 1, got 1",
    ),
    (
        "video",
        torch.zeros(FRAMES, 3, HEIGHT, WIDTH),
        "video must be uint8 [frame 3 height width], got float32",
    ),
    ("video", torch.zeros(FRAMES, HEIGHT, WIDTH, 3).byte(), "video must be uint8"),
    ("video", torch.zeros(FRAMES, 3, HEIGHT, 0).byte(), "video must be uint8"),
    (
        "camera_to_world",
        torch.eye(4).repeat(9, 1, 1),
        "camera_to_world must be float [frame=5 4 4], got float32 [9, 4",
    ),
    ("camera_to_world", torch.eye(4).repeat(FRAMES, 1, 1).int(), "camera_to_world must be float"),
    ("camera_to_world", changed("camera_to_world", (3, 1, 3), torch.nan), "camera_to_world must be finite"),
    ("intrinsics", changed("intrinsics", (0, 0, 2), torch.inf), "intrinsics must be finite"),
    ("intrinsics", changed("intrinsics", (4, 1, 1), 0.0), "intrinsics must have focal lengths above 0"),
    (
        "depth",
        torch.ones(FRAMES, HEIGHT, WIDTH),
        "depth must be float [key_frame=2 height=7 width=11], got float32 [5",
    ),
    (
        "depth",
        torch.ones(KEYS, WIDTH, HEIGHT),
        "depth must be float [key_frame=2 height=7 width=11], got float32 [2, 11",
    ),
    ("depth", torch.full((KEYS, HEIGHT, WIDTH), torch.nan), "depth must be known somewhere"),
    ("depth", torch.zeros(KEYS, HEIGHT, WIDTH), "depth must be known somewhere"),
    ("depth", changed("depth", (1, 0, 0), -1.0), "depth must be at least 0 and finite"),
    ("depth", changed("depth", (1, 0, 0), torch.inf), "depth must be at least 0 and finite"),
    (
        "object_index",
        changed("object_index", (0, 0, 0), 3),
        "object_index must be below the 3 objects of object_motion, got 3",
    ),
    ("object_index", torch.zeros(KEYS, HEIGHT, WIDTH).long(), "object_index must be uint8"),
    ("object_motion", changed("object_motion", (0, 0, 0, 0), torch.nan), "object_motion must be finite"),
    ("object_motion", torch.zeros(3, 9, 3, 4), "object_motion must be float [object frame=5 3 4]"),
    ("visible", torch.zeros(13, FRAMES).bool(), "visible must hold for some track in some key frame"),
    ("visible", torch.zeros(17, FRAMES).bool(), "visible must be bool [track=13 frame=5], got bool [17, 5]"),
    ("visible", torch.zeros(13, FRAMES), "visible must be bool"),
    ("tracks", changed("tracks", (3, 4, 2), torch.nan), "tracks must be finite where visible"),
    ("latents", changed("latents", (1, 2, 0, 0), torch.inf), "latents must be finite"),
    ("latents", torch.zeros(3, 8, 1, 2), "latents must be float [key_frame=2 channel"),
]


@pytest.mark.parametrize(("key", "value", "reason"), BAD)
def test_bad_clips_are_told_apart(key: str, value: Tensor, reason: str) -> None:
    told = check_clip({**good_clip(), key: value}, needs=KEYS_OF_ALL)
    assert told is not None and told.startswith(reason)


def test_visible_between_key_frames_only_is_not_enough() -> None:
    visible = torch.zeros(13, FRAMES, dtype=torch.bool)
    visible[:, 1:4] = True
    reason = check_clip({**without("tracks"), "visible": visible}, needs=["visible"])
    assert reason == "visible must hold for some track in some key frame, got none."


def test_sizes_agree_without_a_video_to_measure_by() -> None:
    clip = without("video", "camera_to_world", "intrinsics")
    clip["object_motion"] = torch.zeros(3, 9, 3, 4)
    reason = check_clip(clip, needs=["depth", "object_motion"])
    assert reason == "object_motion must have 4k + 1 frames for 2 key frames, got 9."


def test_what_is_no_tensor_is_told(without_shape_checker) -> None:
    clip = {**good_clip(), "video": good_clip()["video"].numpy()}
    assert check_clip(clip, needs=["video"]) == "video must be a tensor, got ndarray."
