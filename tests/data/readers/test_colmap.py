"""A COLMAP project, from files written by hand from the description of the format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from data.readers.model import FOCAL, HEIGHT, WIDTH, write_binary, write_text
from data.readers.wall import camera_to_world, picture, shades

from diff4splat.data.readers import find_datasets, load_sparse_points, open_dataset

INDICES = [0, 2, 10, 11]  # by number: as text, frame_10 would stand before frame_2


@pytest.fixture(params=[write_binary, write_text])
def project_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = tmp_path / "my project"
    request.param(root / "sparse" / "0")
    for index in INDICES:
        picture(root / "images" / f"frame_{index}.png", index, HEIGHT, WIDTH)
    return root


def test_images_meet_their_cameras(project_folder: Path) -> None:
    assert find_datasets(project_folder) == {"colmap": 1}, "its images alone would be a video"
    reader = open_dataset(project_folder)
    assert reader.names == ("sparse/0",)
    info = reader.info("sparse/0")
    assert (info.num_frames, info.height, info.width, info.unit) == (4, HEIGHT, WIDTH, "unknown")
    recording = reader.read("sparse/0")
    recording.validate()
    assert shades(recording.video.numpy()) == INDICES and recording.numbers == (0, 1, 2, 3)
    truth = np.stack([camera_to_world(index) for index in INDICES])
    np.testing.assert_allclose(recording.cameras.camera_to_world, truth, atol=5e-7)
    assert recording.cameras.intrinsics[0, 0].tolist() == [FOCAL, 0, WIDTH / 2]
    assert recording.facts["sparse_points"] == 3
    assert recording.facts["distortion"] == {} and recording.facts["distortion_px"] == 0


def test_the_reader_gives_the_points_of_the_model(project_folder: Path) -> None:
    points = open_dataset(project_folder).sparse_points("sparse/0")
    expected = load_sparse_points(project_folder)
    assert len(points.positions) == 3 and torch.equal(points.positions, expected.positions)
    assert torch.equal(points.frames, expected.frames) and torch.equal(points.points, expected.points)
    for file in (project_folder / "sparse" / "0").glob("points3D.*"):
        file.unlink()
    assert open_dataset(project_folder).sparse_points("sparse/0") is None


@pytest.mark.parametrize("inside", ["sparse", "sparse/0"])
def test_any_folder_around_the_model_will_do(project_folder: Path, inside: str) -> None:
    reader = open_dataset(project_folder / inside)
    assert shades(reader.read(reader.names[0], [2]).video.numpy()) == [10]


@pytest.mark.parametrize("place", ["images_2", "input", "."])
def test_other_places_of_the_pictures(project_folder: Path, place: str) -> None:
    """One is missing; those of images_2 are half as large, and so is their lens."""
    (project_folder / "images").rename(project_folder / "others")
    part = 2 if place == "images_2" else 1
    for index in (0, 2, 11):
        picture(project_folder / place / f"frame_{index}.png", index, HEIGHT // part, WIDTH // part)
    recording = open_dataset(project_folder).read("sparse/0")
    assert shades(recording.video.numpy()) == [0, 2, 11] and recording.numbers == (0, 1, 3)
    assert recording.facts["images_without_picture"] == 1
    np.testing.assert_allclose(recording.cameras.camera_to_world[2], camera_to_world(11), atol=5e-7)
    assert recording.cameras.intrinsics[0, 0, 0].item() == FOCAL / part


def test_the_largest_pictures_come_first(project_folder: Path) -> None:
    for index in INDICES:
        picture(project_folder / "images_8" / f"frame_{index}.png", index, 4, 5)
    assert open_dataset(project_folder).info("sparse/0").height == HEIGHT


@pytest.mark.parametrize("write", [write_binary, write_text])
def test_names_with_folders_and_spaces_and_lenses_that_bend(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    write(tmp_path / "sparse", "a camera/-{}.png", (0.1, 0.0, 0.0, 0.01))
    for index in INDICES:
        picture(tmp_path / "images" / "a camera" / f"-{index}.png", index, HEIGHT, WIDTH)
    facts = open_dataset(tmp_path).read("sparse", [1]).facts
    assert facts["distortion"] == {"k1": 0.1, "p2": 0.01}
    x, y = 20 / FOCAL, 15 / FOCAL  # the corner
    r2 = x * x + y * y
    shift = FOCAL * np.hypot(x * 0.1 * r2 + 0.01 * (r2 + 2 * x * x), y * 0.1 * r2 + 2 * 0.01 * x * y)
    assert facts["distortion_px"] == pytest.approx(shift, abs=1e-3)


def test_two_models_are_two_recordings(project_folder: Path) -> None:
    write_binary(project_folder / "sparse" / "1")
    assert open_dataset(project_folder).names == ("sparse/0", "sparse/1")


def test_what_is_wrong_is_named(project_folder: Path) -> None:
    reader = open_dataset(project_folder)
    for index in INDICES:
        picture(project_folder / "images" / f"frame_{index}.png", index, HEIGHT, HEIGHT)
    with pytest.raises(
        ValueError, match="images must hold pictures in the proportion of 40 x 30, .*got 30 x 30"
    ):
        reader.read("sparse/0")
    for file in (project_folder / "images").iterdir():
        file.unlink()
    assert "got none of its 4 images" in reader.info("sparse/0").missing
    with pytest.raises(FileNotFoundError, match="sparse/0 cannot be read: pictures of"):
        reader.read("sparse/0")
    model = project_folder / "sparse" / "0"
    images = next(model.glob("images.*"))
    images.write_bytes(images.read_bytes().replace(b"frame_10", b"frame_11"))
    with pytest.raises(ValueError, match="must name each image once, got frame_11.png twice"):
        reader.info("sparse/0")
    images.write_bytes(images.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"images\.(bin is cut off|txt line 2 must be an id)"):
        reader.info("sparse/0")
