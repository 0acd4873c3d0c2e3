"""Files of annotators beside a dataset that knows no depth: metres, masks and tracks come out of them."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from data.layouts import LAYOUTS, make_scenes
from data.layouts.scene import Scene

from diff4splat.data import FileAnnotations, Recording, open_dataset
from diff4splat.data.annotations import Annotation, Annotator
from diff4splat.data.curation import (
    CurationSettings,
    CurationThresholds,
    annotated,
    curate,
    curation_stages,
    curation_tasks,
)
from diff4splat.data.readers import RealEstate10K
from diff4splat.data.stages import Rejected, result_keys
from diff4splat.data.streaming import RecordingShards

FRAMES, NAME = 11, "train/0bf152ef84195293"
UNIT = 4.3  # metres
SETTINGS = CurationSettings(num_frames=FRAMES, long_side=128)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """RealEstate10K does not know the panel moves, so it is held still here: frames of one moment."""
    return make_scenes("realestate10k", FRAMES, 96, 128)[0]


@pytest.fixture
def raw(tmp_path: Path, scene: Scene) -> Path:
    """Its cameras are in units of 4.3 m."""
    poses = scene.camera_to_world.copy()
    poses[:, :3, 3] /= UNIT
    folder = tmp_path / "raw"
    LAYOUTS["realestate10k"](folder, replace(scene, camera_to_world=poses))
    return folder


def write_relative(folder: Path, scene: Scene, scale: float = 37.0, shift: float = 2.5) -> FileAnnotations:
    """Disparity with a scale and a shift, 0 in the sky, as Video-Depth-Anything has it."""
    with np.errstate(divide="ignore"):
        disparity = np.where(scene.depth > 0, scale / scene.depth + shift, 0)
    file = folder / f"{NAME}_depths.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, depths=disparity.astype(np.float32))
    return FileAnnotations(folder, "video-depth-anything", first_number=0)


def write_metric(folder: Path, scene: Scene, noise: float = 0.0) -> FileAnnotations:
    """Depth in metres with an error of its own in each frame, as UniDepth has it."""
    drawn = np.random.default_rng(3).normal(size=FRAMES)
    (folder / NAME).mkdir(parents=True)
    for frame in range(FRAMES):
        depth = scene.depth[frame] * (1 + noise * drawn[frame])
        np.savez(folder / NAME / f"{frame:05d}.npz", depth=depth.astype(np.float32), fov=np.float32(58))
    return FileAnnotations(folder, "unidepth", first_number=0)


def write_tracks(folder: Path, scene: Scene) -> FileAnnotations:
    file = folder / f"{NAME}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, tracks=(scene.pixels - 0.5).astype(np.float32)[None], visibility=scene.visible[None])
    return FileAnnotations(folder, "cotracker3", first_number=0)


def test_relative_depth_an_oracle_and_a_tracker_give_a_metric_scene(
    raw: Path, tmp_path: Path, scene: Scene
) -> None:
    annotators = [
        write_relative(tmp_path / "vda", scene),
        write_metric(tmp_path / "oracle", scene, noise=0.02),
        write_tracks(tmp_path / "tracks", scene),
    ]
    settings = replace(
        SETTINGS,
        thresholds=CurationThresholds(require=("cameras", "depth", "tracks"), max_unmasked_motion=None),
    )
    result = curate(open_dataset(raw), tmp_path / "out", settings, annotators=annotators)
    assert [outcome.reason for outcome in result.outcomes] == [""]
    clip = RecordingShards(tmp_path / "out").read(0)
    assert clip.unit == "metre" and clip.depth is not None and clip.cameras is not None
    known = clip.depth_mask.numpy()
    assert known.mean() > 0.95 * (scene.depth > 0).mean()
    error = np.abs(clip.depth.numpy() / np.where(known, scene.depth, 1) - 1)[known]
    assert np.median(error) < 0.01
    moved = clip.cameras.relative_to().camera_to_world[-1, :3, 3].numpy()
    true = np.linalg.inv(scene.camera_to_world[0]) @ scene.camera_to_world[-1]
    assert np.linalg.norm(moved - true[:3, 3]) < 0.03 * np.linalg.norm(true[:3, 3])
    assert clip.facts["metric_depth"]["num_anchors"] > 100
    seen = clip.visible.numpy()
    assert seen.sum() > 0.5 * scene.visible.sum()
    from_first = np.linalg.inv(scene.camera_to_world[0])
    truth = (scene.points @ from_first[:3, :3].T + from_first[:3, 3]).swapaxes(0, 1)
    tracks = clip.relative_to_first().tracks.numpy()
    kept = [
        np.nanmin([np.abs(track[see] - other[see]).max() for other in truth])
        for track, see in zip(tracks, seen, strict=True)
    ]
    assert np.median(kept) < 0.15


def test_a_metric_annotator_alone_gives_depth_and_the_scale_of_the_cameras(
    raw: Path, tmp_path: Path, scene: Scene
) -> None:
    reader = open_dataset(raw)
    recording = reader.read(NAME)
    found = annotated(recording, [write_metric(tmp_path / "oracle", scene)], SETTINGS, places=range(FRAMES))
    assert found.unit == "metre"
    assert found.facts["camera_scale"]["scale"] == pytest.approx(UNIT, rel=0.02)
    torch.testing.assert_close(found.depth, torch.from_numpy(scene.depth).float())


def test_a_unit_that_somebody_measured_scales_everything(raw: Path) -> None:
    recording = open_dataset(raw).read(NAME)
    settings = replace(SETTINGS, metres_per_unit=UNIT)
    found = annotated(recording, [], settings, places=range(FRAMES))
    assert found.unit == "metre"
    torch.testing.assert_close(
        found.cameras.camera_to_world[:, :3, 3], recording.cameras.camera_to_world[:, :3, 3] * UNIT
    )


def test_sparse_points_of_a_measured_unit_anchor_relative_depth(tmp_path: Path, scene: Scene) -> None:
    recording = open_dataset(LAYOUTS["realestate10k"](tmp_path / "raw", scene).folder).read(NAME)
    from diff4splat.data.readers import SparsePoints

    frame, row, column = (scene.depth > 0).nonzero()
    chosen = np.random.default_rng(1).permutation(len(frame))[:300]
    frame, row, column = frame[chosen], row[chosen], column[chosen]
    z = scene.depth[frame, row, column]
    lens = scene.intrinsics
    local = np.stack(
        ((column + 0.5 - lens[0, 2]) / lens[0, 0] * z, (row + 0.5 - lens[1, 2]) / lens[1, 1] * z, z), 1
    )
    poses = scene.camera_to_world[frame]
    world = (poses[:, :3, :3] @ local[:, :, None])[..., 0] + poses[:, :3, 3]
    seen = np.repeat(np.arange(300), 3)
    points = SparsePoints(
        torch.from_numpy(world / UNIT),
        torch.zeros(300, 3, dtype=torch.uint8),
        torch.zeros(300),
        torch.from_numpy(np.repeat(frame, 3)),
        torch.from_numpy(seen),
        torch.zeros(900, 2),
    )
    smaller = replace(recording, cameras=recording.cameras.scale(1 / UNIT))
    settings = replace(SETTINGS, metres_per_unit=UNIT)
    relative = write_relative(tmp_path / "vda", scene)
    found = annotated(smaller, [relative], settings, places=range(FRAMES), points=points)
    known = found.depth_mask.numpy()
    assert np.abs(found.depth.numpy() / np.where(known, scene.depth, 1) - 1)[known].max() < 0.01
    unscaled = annotated(smaller, [relative], SETTINGS, places=range(FRAMES), points=points)
    assert unscaled.depth is None and unscaled.unit == "unknown", "nobody knows how long a metre is"


def test_depth_that_cannot_be_aligned_is_a_rejection(raw: Path, tmp_path: Path, scene: Scene) -> None:
    flat = replace(scene, depth=np.where(scene.depth > 0, 5.0, 0.0))
    annotators = [write_relative(tmp_path / "vda", flat), write_metric(tmp_path / "oracle", scene)]
    with pytest.raises(Rejected, match="The depth cannot be brought to metres: "):
        annotated(open_dataset(raw).read(NAME), annotators, SETTINGS, places=range(FRAMES))


def test_annotations_of_the_whole_source_are_taken_by_place(raw: Path, tmp_path: Path, scene: Scene) -> None:
    annotator = write_metric(tmp_path / "oracle", scene)
    some = open_dataset(raw).read(NAME, range(4, 9))
    found = annotated(some, [annotator], SETTINGS, places=range(4, 9))
    torch.testing.assert_close(found.depth, torch.from_numpy(scene.depth[4:9]).float())
    assert found.numbers == some.numbers


def test_a_missing_file_fails_that_clip_alone(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    annotator = FileAnnotations(tmp_path / "none", "video-depth-anything", first_number=0)
    result = curate(open_dataset(raw), tmp_path / "out", SETTINGS, annotators=[annotator])
    assert [(outcome.status, outcome.stage) for outcome in result.outcomes] == [("failed", "annotate")]
    assert "no Video-Depth-Anything" in result.outcomes[0].reason
    assert not list((tmp_path / "out").glob("*.tar"))


def test_what_other_files_say_is_not_taken_from_an_earlier_run(
    raw: Path, tmp_path: Path, scene: Scene
) -> None:
    out, nearer = tmp_path / "out", replace(scene, depth=scene.depth / 2)
    one, two = write_metric(tmp_path / "one", scene), write_metric(tmp_path / "two", nearer)

    def median(annotator: FileAnnotations) -> tuple[bool, float]:
        (outcome,) = curate(open_dataset(raw), out, SETTINGS, annotators=[annotator]).outcomes
        clip = RecordingShards(out).read(0)
        return outcome.reused, clip.depth[clip.depth_mask].median().item()

    true = np.median(scene.depth[scene.depth > 0])
    assert median(one) == (False, pytest.approx(true, rel=0.01))
    assert median(one)[0]
    assert median(two) == (False, pytest.approx(true / 2, rel=0.01))
    for file in (tmp_path / "two" / NAME).iterdir():
        file.unlink()
    (tmp_path / "two" / NAME).rmdir()
    write_metric(tmp_path / "two", replace(scene, depth=scene.depth / 3))
    assert median(two) == (False, pytest.approx(true / 3, rel=0.01))


@dataclass(frozen=True)
class Far:
    """Depth of one value."""

    depth: float

    def __call__(self, recording: Recording) -> Annotation:
        """The same everywhere."""
        depth = torch.full((recording.num_frames, recording.height, recording.width), self.depth)
        sides = (recording.num_frames, recording.height, recording.width)
        return Annotation("far", *sides, depth=depth, depth_mask=depth > 0, unit="metre")


def near(recording: Recording) -> Annotation:
    """An annotator that is a function."""
    return Far(1.0)(recording)


def nearer(recording: Recording) -> Annotation:
    """Another one."""
    return Far(0.5)(recording)


def test_results_depend_on_what_an_annotator_is_and_on_the_limits_of_its_stage(raw: Path) -> None:
    reader = open_dataset(raw)
    (task,) = curation_tasks(reader, SETTINGS)

    def key(annotator: Annotator, settings: CurationSettings = SETTINGS) -> str:
        return result_keys(task, curation_stages(reader, settings, [annotator]))[1]

    asked = [Far(1.0), Far(2.0), near, nearer, partial(near), partial(nearer)]
    assert len({key(annotator) for annotator in asked}) == len(asked)
    assert key(Far(1.0)) == key(Far(1.0)) and key(partial(near)) == key(partial(near))
    for limits in ({"max_scale_variation": 0.2}, {"min_anchors": 50}):
        other = replace(SETTINGS, thresholds=replace(SETTINGS.thresholds, **limits))
        assert key(near, other) != key(near), "annotators are not asked again where a limit of theirs changes"


def test_sparse_points_are_not_read_where_nobody_is_asked(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: RealEstate10K, name: str) -> None:
        raise ValueError("they are damaged")

    monkeypatch.setattr(RealEstate10K, "sparse_points", refuse)
    (outcome,) = curate(open_dataset(raw), tmp_path / "out", SETTINGS).outcomes
    assert outcome.status == "kept"
