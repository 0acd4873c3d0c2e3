"""Tracks of CoTracker3, whose pixels are counted from the centre of the first."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data.annotations import written
from data.annotations.written import TRUTH
from data.readers.truth import FRAMES, make_truth

from diff4splat.data import fit_annotation, load_annotation

SIZE = (22, 34)
TRACKS = (TRUTH.pixels - 0.5).astype(np.float32)  # frame point xy
SEEN = TRUTH.visible


def write(folder: Path, kind: str) -> Path:
    tracks, seen = torch.from_numpy(TRACKS), torch.from_numpy(SEEN)
    file = folder / f"a clip.{kind.partition(' ')[0]}"
    if kind == "npz":
        np.savez(file, tracks=TRACKS, visibility=SEEN)
    elif kind == "npz of pred":
        np.savez(file, pred_tracks=TRACKS[None], pred_visibility=SEEN[None, ..., None])
    elif kind == "pth of dict":
        torch.save({"pred_tracks": tracks[None], "pred_visibility": seen[None]}, file)
    elif kind == "pt of pair":
        torch.save((tracks[None], seen[None]), file)
    else:
        torch.save({"tracks": tracks, "visibility": torch.where(seen, 0.95, 0.85)}, file)
    return file


@pytest.mark.parametrize("kind", ["npz", "npz of pred", "pth of dict", "pt of pair", "pth of probabilities"])
def test_pixels_and_visibility_come_back(tmp_path: Path, kind: str) -> None:
    annotation = load_annotation(write(tmp_path, kind), frame_size=SIZE)
    assert annotation.source == "cotracker3" and annotation.holds == {"tracks"}
    expected = TRUTH.pixels.swapaxes(0, 1)
    assert np.array_equal(annotation.visible, SEEN.T)
    assert np.abs(annotation.track_pixels.numpy() - expected)[SEEN.T].max() < 1e-5


def test_the_centre_of_the_first_pixel_is_0_in_the_file_and_one_half_here(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", tracks=np.zeros((3, 1, 2)), visibility=np.ones((3, 1), bool))
    annotation = load_annotation(tmp_path / "x.npz", frame_size=(5, 7))
    assert annotation.track_pixels.unique().tolist() == [0.5]


def test_pixels_follow_the_frames_to_another_size(tmp_path: Path) -> None:
    annotation = load_annotation(write(tmp_path, "npz"), frame_size=SIZE)
    large = make_truth(33, 51, (45.0, 45.0))
    fitted = fit_annotation(written.recording(large), annotation)
    where = SEEN.T[annotation.visible.any(1)]
    error = np.abs(fitted.track_pixels.numpy() - large.pixels.swapaxes(0, 1)[SEEN.any(0)])[where].max()
    assert error < 1e-4


def test_rows_and_columns_are_stretched_each_by_its_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", tracks=np.array([[[9.5, 11.5]]] * FRAMES), visibility=np.ones((FRAMES, 1)))
    fitted = fit_annotation(written.recording(), load_annotation(tmp_path / "x.npz", frame_size=(24, 34)))
    assert fitted.track_pixels[0, 2].tolist() == pytest.approx([10, 11])  # 12 of 24 rows is 11 of 22


def test_points_that_leave_the_frame_are_not_visible(tmp_path: Path) -> None:
    places = np.array([[[-0.6, 3], [33.6, 3], [3, -0.6], [3, 21.6], [33.4, 21.4], [np.nan, 2]]])
    np.savez(tmp_path / "x.npz", tracks=places, visibility=np.ones((1, 6), bool))
    annotation = load_annotation(tmp_path / "x.npz", frame_size=SIZE)
    assert annotation.visible[:, 0].tolist() == [False] * 4 + [True, False]
    assert annotation.facts == {"visible_outside_of_frames": 5}
    annotation.validate()


def test_selected_frames_keep_the_tracks_that_they_see(tmp_path: Path) -> None:
    annotation = load_annotation(write(tmp_path, "npz"), frame_size=SIZE)
    chosen = annotation.select([1, 3])
    kept = SEEN[[1, 3]].any(0)
    assert chosen.numbers == (1, 3) and np.array_equal(chosen.visible, SEEN[[1, 3]][:, kept].T)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, "npz")
    with pytest.raises(ValueError, match="does not say the size of frames: frame_size"):
        load_annotation(file)
    np.savez(file, tracks=TRACKS, visibility=SEEN[:-1])
    with pytest.raises(ValueError, match=rf"visibility of shape \[{FRAMES}, 15\], got \[4, 15\]"):
        load_annotation(file, frame_size=SIZE)
    np.savez(file, tracks=np.stack((TRACKS, TRACKS)), visibility=SEEN)
    with pytest.raises(ValueError, match=r"tracks of shape \[any, any, 2\], got \[2, 5, 15, 2\]"):
        load_annotation(file, frame_size=SIZE)
    np.savez(file, tracks=TRACKS, seen=SEEN)
    with pytest.raises(ValueError, match="must hold tracks, visibility, lacks visibility, got seen, tracks"):
        load_annotation(file, "cotracker3", frame_size=SIZE)
    pickled = tmp_path / "b.pth"
    torch.save({"tracks": torch.zeros(2, 3, 2)}, pickled)
    with pytest.raises(ValueError, match="b.pth must hold tracks and visibility"):
        load_annotation(pickled, frame_size=SIZE)
    torch.save([torch.zeros(2, 3, 2), {"a": 1}], pickled)
    with pytest.raises(ValueError, match="b.pth must hold numbers as visibility"):
        load_annotation(pickled, frame_size=SIZE)
    pickled.write_bytes(pickled.read_bytes()[:200])
    with pytest.raises(ValueError, match="b.pth"):
        load_annotation(pickled, frame_size=SIZE)


def test_a_file_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"tracks": Path("x"), "visibility": Path("y")}, tmp_path / "b.pth")
    with pytest.raises(ValueError, match="b.pth must hold tensors and nothing else"):
        load_annotation(tmp_path / "b.pth", frame_size=SIZE)
