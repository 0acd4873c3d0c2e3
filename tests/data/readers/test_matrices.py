"""Tables and matrices of text files: read, made exact, or refused with the line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts.scene import turned

from diff4splat.data.readers.matrices import cameras_from_world_to_camera, read_table

FILE = Path("some.txt")
LENS = np.tile(np.array([[30.0, 0, 17], [0, 30, 11], [0, 0, 1]]), (3, 1, 1))


def matrices() -> np.ndarray:
    found = np.tile(np.eye(4), (3, 1, 1))
    for row in range(3):
        found[row, :3, :3], found[row, :3, 3] = turned(0.3 * row, 0.2, -0.1 * row), [row, 2, -3]
    return found


def test_tables_come_back(tmp_path: Path) -> None:
    file = tmp_path / "a table.txt"
    file.write_text("frame cameraID moves\n0 1 True\n\n 1 1 False\r\n2\t-0 1e3\n", encoding="utf-8-sig")
    assert read_table(file, 3, header="frame").tolist() == [[0, 1, 1], [1, 1, 0], [2, 0, 1000]]
    with pytest.raises(ValueError, match="a table.txt, line 1, must hold 3 finite numbers, got 'frame cam"):
        read_table(file, 3)
    for text, line in (("1 2 3\n1 2 nan", 2), ("1 2\n", 1), ("1 2 3 4", 1)):
        file.write_text(text)
        with pytest.raises(ValueError, match=f"a table.txt, line {line}, must hold 3 finite numbers"):
            read_table(file, 3)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="line 1"):
        read_table(file, 3)
    file.write_text("\n")
    with pytest.raises(ValueError, match="a table.txt must hold rows of 3 numbers, got none"):
        read_table(file, 3)


def test_rotations_are_made_exact_within_a_tolerance() -> None:
    exact = matrices()
    rounded = exact + np.random.default_rng(0).uniform(-1e-3, 1e-3, exact.shape) * [1, 1, 1, 0]
    rounded[:, 3] = [0, 0, 0, 1]
    with pytest.raises(ValueError, match="some.txt must hold rigid world-to-camera matrices, got one in row"):
        cameras_from_world_to_camera(FILE, rounded, LENS, height=22, width=34, tolerance=1e-4)
    cameras = cameras_from_world_to_camera(FILE, rounded, LENS, height=22, width=34, tolerance=1e-2)
    found = cameras.camera_to_world.double()
    gram = found[:, :3, :3].mT @ found[:, :3, :3]
    torch.testing.assert_close(gram, torch.eye(3, dtype=torch.float64).expand(3, 3, 3), atol=1e-6, rtol=0)
    np.testing.assert_allclose(found.numpy(), np.linalg.inv(exact), atol=1e-2)
    given = cameras_from_world_to_camera(FILE, exact, LENS, height=22, width=34)
    np.testing.assert_allclose(given.camera_to_world.numpy(), np.linalg.inv(exact), atol=1e-6)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((1, 0, 3), np.inf, "must hold finite matrices, got others in row 1"),
        ((2, 3, 3), 0.01, "rigid world-to-camera matrices, got one in row 2 that is off by 0.99"),
        ((0, 0, 0), 2.0, "rigid world-to-camera matrices, got one in row 0"),
    ],
)
def test_what_is_no_camera_is_refused(place: tuple[int, ...], value: float, message: str) -> None:
    wrong = matrices()
    wrong[place] = value
    with pytest.raises(ValueError, match=f"some.txt .*{message}|some.txt {message}"):
        cameras_from_world_to_camera(FILE, wrong, LENS, height=22, width=34)


def test_mirrors_and_lenses_without_length_are_refused() -> None:
    mirrored = matrices() * np.array([1, -1, 1, 1])
    with pytest.raises(ValueError, match="some.txt must hold rigid .* determinant -1"):
        cameras_from_world_to_camera(FILE, mirrored, LENS, height=22, width=34)
    with pytest.raises(ValueError, match="some.txt: intrinsics must have focal lengths > 0, got 0"):
        cameras_from_world_to_camera(
            FILE, matrices(), LENS * np.array([0, 1, 1])[:, None], height=22, width=34
        )
