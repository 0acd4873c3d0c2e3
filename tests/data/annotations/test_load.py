"""Which annotator wrote what: by names and keys, with words where none or several could have."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data.annotations import written

from diff4splat.data import ANNOTATION_FORMATS, load_annotation
from diff4splat.data.annotations import find_annotation_format


def test_each_format_is_found(tmp_path: Path) -> None:
    depth, lens = np.ones((5, 7)), np.eye(3)
    torch.save((torch.zeros(1, 2, 3, 2), torch.ones(1, 2, 3)), tmp_path / "a.pt")
    places = {
        "video-depth-anything": written.save(tmp_path / "x_depths.npz", depths=depth[None]),
        "megasam": written.write_reconstruction(tmp_path / "reconstructions" / "x"),
        "vipe": written.write_vipe(tmp_path / "vipe"),
        "cotracker3": tmp_path / "a.pt",
        "unidepth": written.save(tmp_path / "u" / "0.npz", depth=depth, fov=50.0).parent,
        "moge": written.save(tmp_path / "m.npz", depth=depth, intrinsics=lens, mask=depth),
        "depth-pro": written.save(tmp_path / "d.npz", depth=depth, focallength_px=9.0),
    }
    assert {name: find_annotation_format(place) for name, place in places.items()} == {
        name: name for name in ANNOTATION_FORMATS
    }
    assert all(each.name == name and each.places for name, each in ANNOTATION_FORMATS.items())


def test_none_and_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written.save(tmp_path / "x.npz", points=np.ones(3))
    with pytest.raises(
        ValueError, match="x.npz must be what one of video-depth-anything, .* an npz of points"
    ):
        load_annotation(tmp_path / "x.npz")
    (tmp_path / "y.txt").write_text("")
    with pytest.raises(ValueError, match="got a file .txt"):
        load_annotation(tmp_path / "y.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="got nothing in it"):
        load_annotation(tmp_path / "empty")
    both = tmp_path / "both"
    written.write_reconstruction(both)
    written.save(both / "0.npz", depth=np.ones((5, 7)), fov=50.0)
    with pytest.raises(ValueError, match="format must be given, .*both could be of megasam or unidepth"):
        load_annotation(both)
    assert load_annotation(both, "unidepth").unit == "metre"
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*nothing"):
        load_annotation(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*nothing"):
        load_annotation(tmp_path / "nothing", "moge")
    with pytest.raises(ValueError, match="format must be one of video-depth-anything, .*, got 'vda'"):
        load_annotation(both, "vda")
    # a name that begins with a dash, relative to where one is
    written.save(tmp_path / "- a b.npz", depths=np.ones((2, 5, 7)))
    monkeypatch.chdir(tmp_path)
    assert load_annotation("- a b.npz").num_frames == 2


def test_options_are_refused_where_they_would_do_nothing(tmp_path: Path) -> None:
    file = written.save(tmp_path / "x.npz", depth=np.ones((5, 7)), fov=50.0)
    with pytest.raises(ValueError, match="unit must not be given for unidepth, .* got 'metre'"):
        load_annotation(file, unit="metre")
    with pytest.raises(ValueError, match="depth_factor must not be given for unidepth"):
        load_annotation(file, depth_factor=2.0)
    folder = written.write_reconstruction(tmp_path / "scene")
    with pytest.raises(ValueError, match="frame_size must not be given for megasam"):
        load_annotation(folder, frame_size=(22, 34))
    with pytest.raises(ValueError, match="depth_factor must be above 0, got 0"):
        load_annotation(folder, depth_factor=0.0)


@pytest.mark.usefixtures("without_shape_checker")
def test_options_that_are_none_are_refused(tmp_path: Path) -> None:
    depths = written.save(tmp_path / "a_depths.npz", depths=np.ones((2, 5, 7)))
    with pytest.raises(ValueError, match="frame_size must be rows and columns from 1, got"):
        load_annotation(depths, frame_size=(5, 0))
    with pytest.raises(ValueError, match="unit must be metre or unknown, got 'inch'"):
        load_annotation(depths, unit="inch")


def test_numbers_can_be_said(tmp_path: Path) -> None:
    file = written.save(tmp_path / "a_depths.npz", depths=np.ones((3, 5, 7)))
    assert load_annotation(file, numbers=[0, 5, 10]).numbers == (0, 5, 10)
    with pytest.raises(ValueError, match="numbers must be one for each of 3 frames of .*, got 2"):
        load_annotation(file, numbers=[0, 5])
    with pytest.raises(ValueError, match="a_depths.npz: numbers must ascend"):
        load_annotation(file, numbers=[0, 5, 5])
    with pytest.raises(ValueError, match="numbers must not be given for .*clip.npz, which says them"):
        load_annotation(written.write_vipe(tmp_path / "v"), numbers=range(5))
