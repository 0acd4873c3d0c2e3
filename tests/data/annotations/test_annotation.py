"""The struct: shapes at construction, values on request, some of the frames."""

import pytest
import torch

from diff4splat.cameras import Cameras
from diff4splat.data import Annotation

MAP = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)) + 1
ALL = torch.ones(3, 5, 7, dtype=torch.bool)
LENS = torch.tensor([[9.0, 0, 3.5], [0, 9, 2.5], [0, 0, 1]]).expand(3, 3, 3)
POSES = torch.eye(4).expand(3, 4, 4)


def made(**given) -> Annotation:
    return Annotation("made", 3, 5, 7, **given)


def test_what_it_holds() -> None:
    pixels, seen = torch.ones(2, 3, 2), torch.ones(2, 3, dtype=torch.bool)
    assert made().holds == frozenset()
    assert made(depth=MAP, depth_mask=ALL, moving=ALL).holds == {"depth", "moving"}
    assert made(track_pixels=pixels, visible=seen, intrinsics=LENS).holds == {"tracks", "intrinsics"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"depth": MAP}, "depth and depth_mask must be given together"),
        ({"visible": torch.ones(2, 3, dtype=torch.bool)}, "track_pixels and visible must be given together"),
        ({"numbers": (1, 2)}, "numbers must be one for each of 3 frames, got 2"),
        ({"moving": ALL[:2]}, r"moving must have shape \[3, 5, 7\], got \[2, 5, 7\]"),
        ({"intrinsics": LENS[:2]}, r"intrinsics must have shape \[3, 3, 3\], got \[2, 3, 3\]"),
        ({"cameras": Cameras(POSES, LENS, 5, 8)}, "cameras must be 3 of 5 x 7 pixels, got"),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_shapes_are_checked(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(**given)


@pytest.mark.usefixtures("without_shape_checker")
def test_options_and_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="kind must be one of depth, disparity, got 'inverse'"):
        made(kind="inverse")
    with pytest.raises(ValueError, match="unit must be one of metre, unknown, got 'foot'"):
        made(unit="foot")
    with pytest.raises(ValueError, match=r"at least 1, got \[0, 5, 7\]"):
        Annotation("made", 0, 5, 7)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"depth": MAP * torch.nan, "depth_mask": ALL}, "depth must be finite and > 0 where known, got 105"),
        ({"depth": -MAP, "depth_mask": ALL, "kind": "disparity", "unit": "metre"}, "finite and > 0"),
        ({"depth": MAP / 0, "depth_mask": ALL, "kind": "disparity"}, "depth must be finite where known"),
        ({"intrinsics": -LENS}, "focal lengths > 0"),
        ({"cameras": Cameras(2 * POSES, LENS, 5, 7)}, "camera_to_world must have last row"),
        ({"static_confidence": MAP}, "static_confidence must be from 0 to 1"),
        ({"static_confidence": MAP * torch.nan}, "static_confidence must be from 0 to 1, got 105"),
        ({"covers": (0.0, 1.0)}, "covers must be parts above 0"),
        ({"covers": (1.0, 1.1)}, "covers must be parts above 0"),
        ({"numbers": (3, 1, 2)}, "numbers must ascend"),
        ({"numbers": (-1, 1, 2)}, "numbers must ascend from 0"),
    ],
)
def test_values_are_checked_on_request(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(**given).validate()


def test_values_that_may_be() -> None:
    hidden = ALL.clone()
    hidden[1, 2, 3] = False
    depth = MAP.clone()
    depth[1, 2, 3] = torch.nan
    made(depth=depth, depth_mask=hidden, cameras=Cameras(POSES, LENS, 5, 7)).validate()
    made(depth=-MAP, depth_mask=ALL, kind="disparity").validate()
    tracks = torch.full((2, 3, 2), torch.nan)
    made(track_pixels=tracks, visible=torch.zeros(2, 3, dtype=torch.bool)).validate()
    with pytest.raises(ValueError, match="track_pixels must be finite where visible, got 6"):
        made(track_pixels=tracks, visible=torch.ones(2, 3, dtype=torch.bool)).validate()


def test_select_keeps_everything_of_a_frame() -> None:
    whole = made(
        depth=MAP,
        depth_mask=ALL,
        static_confidence=MAP - 1,
        intrinsics=LENS * torch.arange(1.0, 4)[:, None, None],
        numbers=(2, 5, 11),
    )
    chosen = whole.select([0, 2])
    assert chosen.numbers == (2, 11) and torch.equal(chosen.depth, MAP[[0, 2]])
    assert torch.equal(chosen.static_confidence, MAP[[0, 2]] - 1)
    assert chosen.intrinsics[:, 2, 2].tolist() == [1, 3]
    assert made().select([1]).numbers == (1,)
    for frames in ([], [3], [-1]):
        with pytest.raises(ValueError, match="frames must be from 0 to 2"):
            whole.select(frames)
