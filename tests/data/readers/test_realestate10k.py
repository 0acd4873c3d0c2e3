"""RealEstate10K, from files written by hand from the description of the format."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts import realestate10k
from data.readers.wall import camera_to_world, picture, shades, video, wall_scene

from diff4splat.data.readers import RealEstate10K, find_datasets, open_dataset

ID = realestate10k.IDS[0]
NAME = f"train/{ID}"
HEIGHT, WIDTH = 36, 64
FX, FY = 0.474812461, 0.844111024
SCENE = wall_scene(range(7), HEIGHT, WIDTH, (FX * WIDTH, FY * HEIGHT), fps=5)
TIMES = [400_000 + 200_000 * index for index in range(7)]

REAL = (
    "158692025 0.474812461 0.844111024 0.500000000 0.500000000 0.000000000 0.000000000 "
    "0.780003667 0.059620168 -0.622928321 0.726968666 -0.062449891 0.997897983 0.017311305 "
    "0.217967188 0.622651041 0.025398925 0.782087326 -1.002211444"
)


def write_poses(place: Path, order: list[int]) -> Path:
    return realestate10k.write_poses(place / f"{ID}.txt", SCENE, order)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lines out of order, one camera without its picture, one picture without a camera."""
    root = tmp_path / "my houses"
    realestate10k.write(root, SCENE, without=[3])
    write_poses(root / "train", [3, 0, 1, 2, 6, 5, 4])
    picture(root / "train" / ID / "123.png", 9, HEIGHT, WIDTH)
    return root


def test_pictures_meet_their_cameras(folder: Path) -> None:
    assert find_datasets(folder) == {"realestate10k": 1}
    reader = open_dataset(folder)
    info = reader.info(NAME)
    assert (info.num_frames, info.height, info.width, info.fps) == (6, HEIGHT, WIDTH, pytest.approx(5))
    assert info.holds == {"cameras"} and info.unit == "unknown" and not info.missing
    recording = reader.read(NAME)
    recording.validate()
    assert recording.numbers == (0, 1, 2, 4, 5, 6)
    assert shades(recording.video.numpy()) == [0, 1, 2, 4, 5, 6]
    truth = np.stack([camera_to_world(index) for index in recording.numbers])
    np.testing.assert_allclose(recording.cameras.camera_to_world, truth, atol=2e-8 + 2**-23)
    lens = recording.cameras.intrinsics[0]
    assert lens[:2].flatten().tolist() == pytest.approx([FX * 64, 0, 32, 0, FY * 36, 18], abs=1e-5)
    assert recording.facts["timestamps_us"] == TIMES and recording.facts["cameras_without_frame"] == 1
    assert recording.facts["pixel_aspect"] == 1
    some = reader.read(NAME, [3])
    assert some.numbers == (4,) and torch.equal(some.video[0], recording.video[3])


@pytest.mark.parametrize("inside", ["train", f"train/{ID}"])
def test_any_folder_around_it_will_do(folder: Path, inside: str) -> None:
    reader = open_dataset(folder / inside)
    recording = reader.read(reader.names[0], [2])
    assert shades(recording.video.numpy()) == [2] and recording.numbers == (2,)


@pytest.mark.parametrize("place", [".", "train", "train/videos", "videos"])
def test_a_video_is_sought_by_time(tmp_path: Path, place: str) -> None:
    """25 frames a second: frame 10 + 5 n is shown at 0.4 + 0.2 n seconds."""
    file = write_poses(tmp_path / "train", list(range(7)))
    video(tmp_path / place / "-pWPZxTDoE_.mp4", 43, HEIGHT, WIDTH, fps=25)
    reader = RealEstate10K(tmp_path)
    assert reader.info(NAME).num_frames == 7 and reader.info(NAME).height == HEIGHT
    recording = reader.read(NAME, [0, 1, 6])
    assert shades(recording.video.numpy()) == [10, 15, 40]
    assert recording.facts["largest_time_error_us"] == 0
    np.testing.assert_allclose(recording.cameras.camera_to_world[2], camera_to_world(6), atol=2e-7)
    last = file.read_text().splitlines()[-1]
    file.write_text(file.read_text() + last.replace(str(TIMES[6]), "60000000") + "\n")
    with pytest.raises(ValueError, match=r"-pWPZxTDoE_.mp4 must have a frame at 60.000 s, got none: is it"):
        RealEstate10K(tmp_path).read(NAME)


def test_times_between_frames_take_the_nearest(tmp_path: Path) -> None:
    """At 24 frames a second 0.6 s is frame 14.4 and 0.8 s is frame 19.2, which are shown up to 1/60 s off."""
    write_poses(tmp_path, [0, 1, 2])
    video(tmp_path / "-pWPZxTDoE_.mp4", 43, HEIGHT, WIDTH, fps=24)
    recording = RealEstate10K(tmp_path).read(ID)
    assert shades(recording.video.numpy()) == [10, 14, 19]
    assert recording.facts["largest_time_error_us"] == pytest.approx(1e6 / 60, abs=2)


def test_a_real_line(tmp_path: Path) -> None:
    """World-to-camera, so the camera stands at -R^T t; rows of the rotation are its axes in the world."""
    (tmp_path / f"{ID}.txt").write_text(f"https://www.youtube.com/watch?v=QShWPZxTDoE\n{REAL}\n")
    picture(tmp_path / ID / "158692025.png", 0, 90, 160)
    camera = RealEstate10K(tmp_path).read(ID).cameras.camera_to_world[0]
    assert camera[:3, 2].tolist() == pytest.approx([0.622651041, 0.025398925, 0.782087326])
    assert camera[:3, 3].tolist() == pytest.approx([0.0706, -0.2354, 1.2329], abs=1e-4)


def test_poses_without_frames(tmp_path: Path) -> None:
    file = write_poses(tmp_path, [0, 1])
    reader = RealEstate10K(tmp_path)
    info = reader.info(ID)
    assert info.num_frames == 0 and info.holds == {"cameras"}
    words = "frames of 2 cameras: fetch https://www.youtube.com/watch\\?v=-pWPZxTDoE_"
    assert info.missing.startswith(words.replace("\\", ""))
    with pytest.raises(FileNotFoundError, match=f"cannot be read: {words}"):
        reader.read(ID)
    picture(tmp_path / ID / "00001.png", 0, HEIGHT, WIDTH)
    assert "got 1 pictures of other names" in reader.info(ID).missing
    file.write_text("https://www.youtube.com/watch?v=-pWPZxTDoE_\n")
    assert reader.info(ID).missing.endswith("holds no cameras, only an address.")


def test_frames_of_another_shape_are_told(folder: Path) -> None:
    """A square picture of a 16:9 lens: was it squeezed, or cropped? The pixels are 16:9 then."""
    for file in (folder / "train" / ID).glob("*.png"):
        picture(file, 0, 31, 31)
    assert open_dataset(folder).read(NAME, [0]).facts["pixel_aspect"] == pytest.approx(16 / 9, abs=1e-3)


def test_what_is_wrong_is_named(folder: Path) -> None:
    place = folder / "train"
    reader = RealEstate10K(folder)
    picture(place / ID / f"{TIMES[1]}.png", 1, 11, 13)
    with pytest.raises(ValueError, match=f"{TIMES[1]}.png must have the size of the first frame, 64 x 36"):
        reader.read(NAME)
    (place / ID / f"{TIMES[1]}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=f"{TIMES[1]}.png is not a readable picture"):
        reader.read(NAME, [1])
    picture(place / ID / f"{TIMES[0]}.jpg", 0, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="must hold each frame once, got 400000 twice"):
        reader.info(NAME)
    file = place / f"{ID}.txt"
    text = file.read_text()
    file.write_text(text[:-40])
    with pytest.raises(ValueError, match=f"{ID}.txt line 8 must hold a time and 18 numbers"):
        reader.info(NAME)
    file.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(ValueError, match=f"{ID}.txt must hold each time once, got 1000000 twice"):
        reader.info(NAME)


def test_other_text_files_are_not_of_it(tmp_path: Path) -> None:
    (tmp_path / f"{ID}.txt").write_text("not an address\n")
    (tmp_path / "readme.txt").write_text("https://example.com\n")
    with pytest.raises(ValueError, match="folder must hold RealEstate10K"):
        RealEstate10K(tmp_path)
