import json

import pytest
import torch
from viewer.scenes import sideways

from diff4splat.cameras import load_cameras, trajectory
from diff4splat.viewer.live.keyframes import keyframes_json, keyframes_path


def keys(count: int = 3):
    path = sideways(5)
    return [path.select(index) for index in (1, 4, 0)][:count]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_file_is_the_path_that_is_followed(tmp_path, count) -> None:
    file = tmp_path / "keyframes.json"
    file.write_text(keyframes_json(keys(count), 11))
    read, path = load_cameras(file), keyframes_path(keys(count), 11)
    assert (read.num_frames, read.height, read.width) == (11, 180, 320)
    torch.testing.assert_close(read.camera_to_world.float(), path.camera_to_world, atol=1e-5, rtol=0)
    torch.testing.assert_close(read.intrinsics.float(), path.intrinsics, atol=1e-3, rtol=0)


def test_the_path_goes_through_the_keys_in_world_coordinates() -> None:
    path = keyframes_path(keys(), 5)
    for frame, key in zip((0, 2, 4), keys(), strict=True):
        torch.testing.assert_close(path.camera_to_world[frame], key.camera_to_world[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(path.intrinsics[0], keys()[0].intrinsics[0], atol=1e-3, rtol=0)


def test_the_file_can_be_read_by_a_person() -> None:
    content = json.loads(keyframes_json([trajectory.static(1, height=64, width=96)], 7))
    assert content["keyframes"] == [{"camera_to_world": torch.eye(4).tolist()}]
    assert (content["num_frames"], content["height"], content["width"]) == (7, 64, 96)


def test_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="keys must hold at least one camera"):
        keyframes_path([], 5)
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 5"):
        keyframes_json([], 5)
    with pytest.raises(ValueError, match="must be at least 1, got 3 and 0"):
        keyframes_json(keys(), 0)
