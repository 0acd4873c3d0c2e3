"""Plug-ins, and folders of files that stand for them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from data.annotations import written
from data.annotations.written import TRUTH

from diff4splat.data import Annotation, Annotator, FileAnnotations, Recording, annotate


def disparity(folder: Path, name: str, value: float, frames: int = 5) -> None:
    written.save(folder / f"{name}_depths.npz", depths=np.full((frames, 22, 34), value))


def named(name: str) -> Recording:
    return Recording(name, "made", "MIT", written.recording().video)


def test_a_function_is_an_annotator() -> None:
    def far(recording: Recording) -> Annotation:
        return Annotation("far", recording.num_frames, recording.height, recording.width)

    assert isinstance(far, Annotator)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a scene/left", "a scene/left"),
        ("-x_1", "-x_1"),
        ("sub/a.b clip.mp4", "sub/a.b clip"),
        ("sub/clip.MP4", "sub/clip.MP4"),
        ("a/b c", "a_b_c"),
        ("a/b.mp4", "a_b"),
        ("scene.v2", "scene.v2"),
    ],
)
def test_files_are_found_by_name(tmp_path: Path, name: str, file: str) -> None:
    disparity(tmp_path, file, 2.0)
    disparity(tmp_path, "other", 3.0)
    annotator = FileAnnotations(tmp_path, "video-depth-anything")
    assert isinstance(annotator, Annotator)
    annotation = annotator(named(name))
    assert annotation.depth.unique().tolist() == [2.0] and annotation.numbers is None
    assert annotator(named("any"), name=name).depth.unique().tolist() == [2.0]


def test_last_parts_of_names_do_not_count(tmp_path: Path) -> None:
    disparity(tmp_path, "left", 2.0)
    words = (
        "no Video-Depth-Anything of 'a/left': .* holds none of 4 names, the first of them 'a.left_depths.npz'"
    )
    with pytest.raises(FileNotFoundError, match=words):
        FileAnnotations(tmp_path, "video-depth-anything")(named("a/left"))


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x"])
def test_names_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    disparity(tmp_path, "x", 2.0)
    with pytest.raises(ValueError, match="name must be a path inside of"):
        FileAnnotations(tmp_path / "in", "video-depth-anything").find(name)


def test_layouts_of_several_folders(tmp_path: Path) -> None:
    written.write_vipe(tmp_path, "left")
    found = FileAnnotations(tmp_path, "vipe")(named("left.mp4"))
    assert found.source == "vipe" and np.array_equal(found.moving, TRUTH.moving)
    written.write_reconstruction(tmp_path / "reconstructions" / "left")
    annotator = FileAnnotations(tmp_path, "megasam", options={"depth_factor": written.FACTOR})
    assert annotator(named("left")).facts["depth"] == "the prior"
    written.write_final(tmp_path / "outputs_cvd" / "left_sgd_cvd_hr.npz")
    assert annotator(named("left")).facts["depth"] == "the final one", "the best there is"
    assert annotate(named("left"), annotator(named("left"))).unit == "metre"


def test_frame_size_is_that_of_the_recording(tmp_path: Path) -> None:
    written.save(tmp_path / "x.npz", tracks=TRUTH.pixels - 0.5, visibility=TRUTH.visible)
    seen = TRUTH.visible.T[TRUTH.visible.any(0)]
    found = FileAnnotations(tmp_path, "cotracker3")(named("x"))
    assert (found.height, found.width) == (22, 34) and np.array_equal(found.visible, seen)
    given = FileAnnotations(tmp_path, "cotracker3", options={"frame_size": (44, 68)})(named("x"))
    assert (given.height, given.width) == (44, 68)


def test_windows_of_a_video_that_was_annotated_as_a_whole(tmp_path: Path) -> None:
    values = np.arange(5.0)[:, None, None] * np.ones((5, 22, 34))
    written.save(tmp_path / "x_depths.npz", depths=values)
    window = named("x").select([2, 4])
    found = FileAnnotations(tmp_path, "video-depth-anything", first_number=0)(window)
    assert found.depth[:, 0, 0].tolist() == [2.0, 4.0] and found.numbers is None
    annotate(window, found)
    with pytest.raises(ValueError, match="x_depths.npz: annotation of video-depth-anything must be of the 2"):
        FileAnnotations(tmp_path, "video-depth-anything")(window)


def test_it_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    disparity(tmp_path, "x", 2.0)
    annotator = FileAnnotations(tmp_path, "video-depth-anything", options={"unit": "metre"})
    assert pickle.loads(pickle.dumps(annotator))(named("x")).unit == "metre"


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder: .*nothing"):
        FileAnnotations(tmp_path / "nothing", "moge")
    with pytest.raises(ValueError, match="format must be one of .*, got 'vda'"):
        FileAnnotations(tmp_path, "vda")
    disparity(tmp_path, "short", 2.0, frames=4)
    with pytest.raises(ValueError, match="short_depths.npz: .* lacks 1 of 5, the first of them 4"):
        FileAnnotations(tmp_path, "video-depth-anything")(named("short"))


def test_options_that_no_file_could_be_read_with_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError), match="unit.*'foot'|'foot'"):  # types are checked here
        FileAnnotations(tmp_path, "video-depth-anything", options={"unit": "foot"})
    with pytest.raises(ValueError, match="unit must not be given for unidepth, .* got 'metre'"):
        FileAnnotations(tmp_path, "unidepth", options={"unit": "metre"})


def test_the_fingerprint_is_of_the_files_of_a_recording_and_how_they_are_read(tmp_path: Path) -> None:
    def prints(**options: str) -> list[str]:
        annotator = FileAnnotations(tmp_path, "video-depth-anything", options=options)
        return [annotator.fingerprint(name) for name in ("a", "b", "../a")]

    none = prints()
    disparity(tmp_path, "a", 1.0)
    some = prints()
    assert some[0] != none[0] and some[1:] == none[1:]
    disparity(tmp_path, "a", 1.0, frames=6)
    assert prints()[0] != some[0]
    assert prints(unit="metre")[0] != prints()[0] == prints()[0]
