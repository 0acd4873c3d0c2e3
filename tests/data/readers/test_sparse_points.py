"""Points of a COLMAP model, from files written by hand from the description of the format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.readers.model import POINTS, SEEN, place_in, write_binary, write_text

from diff4splat.cameras import load_cameras
from diff4splat.data import load_sparse_points
from diff4splat.geometry import project


@pytest.mark.parametrize("write", [write_binary, write_text])
def test_points_and_where_they_are_seen(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path / "sparse" / "0")
    points = load_sparse_points(tmp_path)
    ids = sorted(POINTS)
    np.testing.assert_allclose(points.positions, [POINTS[key][0] for key in ids], rtol=1e-7)
    assert points.colors.tolist() == [list(POINTS[key][1]) for key in ids]
    assert points.errors_px.tolist() == [0.25] * 3
    expected = [
        (frame, ids.index(point), *place_in(index, point))
        for frame, index in enumerate(SEEN)
        for point in SEEN[index]
        if point >= 0
    ]
    found = np.column_stack([points.frames, points.points, points.pixels])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("write", [write_binary, write_text])
def test_they_project_to_where_they_are_seen(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path)
    points, cameras = load_sparse_points(tmp_path), load_cameras(tmp_path)
    for frame, point, at in zip(points.frames, points.points, points.pixels, strict=True):
        lens, pose = cameras.intrinsics[frame], cameras.camera_to_world[frame]
        pixel, depth = project(points.positions[point][None], pose, lens)
        assert pixel[0].tolist() == pytest.approx(at.tolist(), abs=1e-4) and depth > 3


def test_a_model_without_points(tmp_path: Path) -> None:
    write_binary(tmp_path)
    (tmp_path / "points3D.bin").unlink()
    with pytest.raises(FileNotFoundError, match="no such file: .*points3D.bin"):
        load_sparse_points(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no COLMAP model"):
        load_sparse_points(tmp_path / "none")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    write_binary(tmp_path)
    file = tmp_path / "points3D.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match="points3D.bin is cut off"):
        load_sparse_points(tmp_path)
    record = (len(whole) - 8) // 3
    one = (1).to_bytes(8, "little")
    file.write_bytes(one + whole[8 : 8 + record])
    with pytest.raises(ValueError, match="images.bin must see points of points3D.bin, got 3, which it lacks"):
        load_sparse_points(tmp_path)
    file.write_bytes((2).to_bytes(8, "little") + 2 * whole[8 : 8 + record])
    with pytest.raises(ValueError, match="points3D.bin must hold each point once, got 7 twice"):
        load_sparse_points(tmp_path)
    write_text(tmp_path / "text")
    file = tmp_path / "text" / "points3D.txt"
    text = file.read_text()
    for new, line in (("nan", "must hold finite numbers"), ("x", "line 2 must be an id, a place, a colour")):
        file.write_text(text.replace("-0.9", new))
        with pytest.raises(ValueError, match=f"points3D.txt {line}"):
            load_sparse_points(tmp_path / "text")
    file.write_text(text.replace("200 10 0", "300 10 0"))
    with pytest.raises(ValueError, match="points3D.txt line 2"):
        load_sparse_points(tmp_path / "text")
    file.write_text(text)
    images = tmp_path / "text" / "images.txt"
    images.write_text(images.read_text()[:-4])
    with pytest.raises(ValueError, match="points of image frame_0.png must be triples"):
        load_sparse_points(tmp_path / "text")
