"""Curation as a whole: alike whoever computes it, resumed where it stopped, and every clip accounted for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from data.layouts import LAYOUTS, make_scenes
from data.layouts.files import cut

from diff4splat.data import DatasetReader, Recording, RecordingInfo, open_dataset, save_recording
from diff4splat.data.curation import CurationSettings, CurationThresholds, curate, curation_tasks
from diff4splat.data.streaming import RecordingShards
from diff4splat.files import folder_lock

SETTINGS = CurationSettings(num_frames=7, long_side=64)


def write(root: Path, key: str = "spring", frames: int = 14, count: int = 2) -> Path:
    return LAYOUTS[key](root, *make_scenes(key, frames, 48, 64, count=count)).folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two cameras of 14 frames each: four clips of 7."""
    return write(tmp_path / "raw")


def files(folder: Path) -> dict[str, bytes]:
    """Shards, their index, and the tables of the report."""
    wanted = [path for path in folder.iterdir() if path.suffix == ".tar" or path.name == "index.parquet"]
    return {path.name: path.read_bytes() for path in wanted}


@pytest.mark.slow
def test_shards_are_alike_whoever_computes_them(raw: Path, tmp_path: Path) -> None:
    reader = open_dataset(raw)
    here = curate(reader, tmp_path / "here", SETTINGS)
    assert [outcome.status for outcome in here.outcomes] == ["kept"] * 4
    curate(reader, tmp_path / "two", SETTINGS, workers=2)
    curate(reader, tmp_path / "ray", SETTINGS, workers=2, engine="ray")
    assert len(files(tmp_path / "here")) == 2
    assert files(tmp_path / "here") == files(tmp_path / "two") == files(tmp_path / "ray")


def test_nothing_finished_is_done_again(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = curate(open_dataset(raw), out, SETTINGS)
    before = files(out)
    again = curate(open_dataset(raw), out, SETTINGS)
    assert all(outcome.reused and not outcome.seconds for outcome in again.outcomes)
    assert files(out) == before and again.summary.kept == first.summary.kept == 4

    picture = next((raw / "spring" / "train" / "0001" / "frame_left").iterdir())
    os.utime(picture, ns=(1, 1))
    changed = curate(open_dataset(raw), out, SETTINGS)
    assert [outcome.reused for outcome in changed.outcomes].count(True) in (0, 2), "what was read has changed"


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(raw: Path, tmp_path: Path) -> None:
    out, expected = tmp_path / "out", tmp_path / "expected"
    curate(open_dataset(raw), expected, SETTINGS)
    code = (
        "import sys; from diff4splat.data import open_dataset; from diff4splat.data.curation import *;"
        "curate(open_dataset(sys.argv[1]), sys.argv[2], CurationSettings(num_frames=7, long_side=64))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(raw), str(out)])
    while process.poll() is None and not list(out.glob("work/encode/*/[!.]*.zip")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in out.glob("work/encode/*/[!.]*.zip")}
    assert finished, "it was killed after a clip or more"
    resumed = curate(open_dataset(raw), out, SETTINGS)
    assert files(out) == files(expected)
    assert sum(outcome.reused for outcome in resumed.outcomes) == len(finished)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("work/encode/*/[!.]*.zip")}
    assert finished.items() <= after.items(), "what was finished was not written again"


def test_what_fails_and_what_is_rejected_are_rows(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    left = raw / "spring" / "train" / "0001"
    cut(left / "frame_left" / "frame_left_0003.png")
    settings = replace(SETTINGS, thresholds=CurationThresholds(max_dynamic_share=0.0001))
    result = curate(open_dataset(raw), out, settings)
    by_status = [(outcome.status, outcome.stage) for outcome in result.outcomes]
    assert by_status == [("failed", "read")] + [("rejected", "judge")] * 3
    assert "frame_left_0003.png" in result.outcomes[0].reason
    assert "The share of pixels that move is 0.0" in result.outcomes[1].reason
    assert not files(out) and (out / "report.html").is_file()

    kept = curate(open_dataset(raw), out, SETTINGS)
    assert [outcome.status for outcome in kept.outcomes] == ["failed"] + ["kept"] * 3
    assert len(RecordingShards(out).entries) == 3
    none = curate(open_dataset(raw), out, settings)
    assert none.summary.kept == 0
    with pytest.raises((ValueError, FileNotFoundError)):
        RecordingShards(out)  # nothing trains on clips that are rejected by now


def test_a_recording_that_cannot_be_looked_at_is_a_clip_that_fails(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "realestate10k", frames=9)
    folders = sorted(path for path in (raw / "train").iterdir() if path.is_dir())
    for picture in folders[0].iterdir():
        picture.unlink()
    result = curate(open_dataset(raw), tmp_path / "out", SETTINGS)
    assert [outcome.status for outcome in result.outcomes] == ["failed", "kept"]
    assert "fetch https://www.youtube.com" in result.outcomes[0].reason


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names of files are always Unicode there")
def test_a_name_that_is_no_utf_8_is_a_clip_that_fails(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "pointodyssey", frames=7)
    first, *_ = sorted(file.parent for file in raw.rglob("anno*.npz"))
    os.rename(os.fsencode(first), os.fsencode(first.parent) + b"/caf\xe9")
    result = curate(open_dataset(raw), tmp_path / "out", SETTINGS)
    assert sorted(outcome.status for outcome in result.outcomes) == ["failed", "kept"]
    assert len(RecordingShards(tmp_path / "out").entries) == 1
    assert r"caf\udce9: rename it" in (tmp_path / "out" / "clips.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("module", "package", "masks"), [("pyarrow", "pyarrow", "given"), ("skimage", "scikit-image", "flow")]
)
def test_a_package_that_is_missing_is_said_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    package: str,
    masks: Literal["given", "flow"],
) -> None:
    reader = open_dataset(write(tmp_path / "raw", "pointodyssey", frames=5, count=1))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=f"need {package}: pip install"):
        curate(reader, tmp_path / "out", replace(SETTINGS, masks=masks))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("frames", "stride", "expected"),
    [
        (14, None, [(0, 7), (7, 7)]),
        (17, None, [(0, 7), (7, 7)]),  # three frames are less than half
        (18, None, [(0, 7), (7, 7), (14, 4)]),
        (5, None, [(0, 5)]),
        (14, 5, [(0, 7), (5, 7)]),
    ],
)
def test_windows_of_a_recording(
    tmp_path: Path, frames: int, stride: int | None, expected: list[tuple[int, int]]
) -> None:
    raw = write(tmp_path / "raw", "pointodyssey", frames=frames, count=1)
    tasks = curation_tasks(open_dataset(raw), replace(SETTINGS, stride=stride))
    assert [(task.inputs["first"], task.inputs["count"]) for task in tasks] == expected
    assert len({task.uid for task in tasks}) == len(tasks)


def test_some_recordings_are_spread(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "multicamvideo", frames=5, count=5)
    tasks = curation_tasks(open_dataset(raw), SETTINGS, max_recordings=3)
    assert [task.inputs["recording"][-5:] for task in tasks] == ["cam01", "cam03", "cam05"]
    assert len({task.inputs["scene"] for task in tasks}) == 1
    with pytest.raises(ValueError, match="max_recordings must be at least 1, got 0"):
        curate(open_dataset(raw), tmp_path / "out", max_recordings=0)


def test_settings_come_back_from_json() -> None:
    settings = replace(SETTINGS, stride=3, masks="flow", thresholds=CurationThresholds(min_frames=9))
    assert CurationSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert CurationSettings().thresholds.require == ("cameras",)
    with pytest.raises(ValueError, match="settings must be some of num_frames, .* got frames"):
        CurationSettings.from_dict({"frames": 3})
    with pytest.raises(ValueError, match="thresholds must be some of"):
        CurationSettings.from_dict({"thresholds": {"min_frame": 3}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_frames": 0}, "num_frames must be a whole number of at least 1, got 0"),
        ({"tiles": 0}, "tiles must be a whole number of at least 1, got 0"),
        ({"metres_per_unit": 0.0}, "metres_per_unit must be above 0, got 0.0"),
        ({"max_track_jump": 0.0}, "max_track_jump must be above 0, got 0.0"),
    ],
)
def test_settings_are_checked(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CurationSettings.from_dict(values)


@pytest.mark.parametrize("name", ["masks", "align_method"])
def test_words_that_are_none_are_refused(name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"{name}.*'magic'|'magic'"):  # types are checked here
        CurationSettings.from_dict({name: "magic"})


def test_some_limits_of_a_file_leave_the_others_as_they_are() -> None:
    with pytest.raises(ValueError, match="thresholds must be values by name, got 3"):
        CurationSettings.from_dict({"thresholds": 3})
    some = CurationSettings.from_dict({"thresholds": {"min_frames": 9}})
    assert some.thresholds.require == ("cameras",), "what is left out has its default"


class Choosy(DatasetReader):
    """Grey frames as bright as the reader was told; no dataset of the library."""

    key, title, licence = "choosy", "Choosy", "MIT"

    def __init__(self, folder: str | Path, brightness: int = 0) -> None:
        self.brightness = brightness
        super().__init__(folder)

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Names of files."""
        return sorted(file.name for file in folder.glob("*.txt"))

    def info(self, name: str) -> RecordingInfo:
        """Seven frames."""
        return RecordingInfo(name, 7, 16, 16, None, frozenset(), "unknown")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """All of one brightness."""
        video = torch.full((len(self.pick(name, frames)), 3, 16, 16), self.brightness, dtype=torch.uint8)
        return Recording(name, self.key, self.licence, video)


BARE = replace(SETTINGS, thresholds=CurationThresholds(max_frozen_share=None))


def test_the_reader_that_is_given_reads_and_sees_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").touch()
    curate(Choosy(tmp_path / "raw", 90), tmp_path / "out", BARE)
    clip = RecordingShards(tmp_path / "out").read(0)
    assert (clip.video.float() - 90).abs().max() < 3, "the options of the reader count"
    (tmp_path / "raw" / "b.txt").touch()
    result = curate(Choosy(tmp_path / "raw", 90), tmp_path / "out", BARE)
    assert [(outcome.status, outcome.reused) for outcome in result.outcomes] == [
        ("kept", True),
        ("kept", False),
    ]


def test_failed_clips_belong_to_their_dataset_and_recording(raw: Path, tmp_path: Path) -> None:
    cut(raw / "spring" / "train" / "0001" / "frame_left" / "frame_left_0003.png")
    result = curate(open_dataset(raw), tmp_path / "out", SETTINGS)
    (spring,) = result.summary.datasets
    assert (spring.name, spring.kept, spring.failed) == ("spring", 3, 1)
    assert result.outcomes[0].metrics["recording"] == "spring/train/0001/left"
    assert [outcome.metrics["first_frame"] for outcome in result.outcomes] == [0, 7, 0, 7]


def test_nothing_of_another_origin_is_replaced(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    curate(open_dataset(raw), out, SETTINGS, max_recordings=1)
    before = files(out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").touch()
    other = Choosy(tmp_path / "other", 90)
    with pytest.raises(ValueError, match="folder must be of choosy, got .*out, which holds clips of spring"):
        curate(other, out, BARE)
    (out / "curation.json").unlink()
    shutil.rmtree(out / "work")
    with pytest.raises(ValueError, match="which holds clips of something else"):
        curate(other, out, BARE)
    assert files(out) == before


def test_results_do_not_lie_among_recordings(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "pointodyssey", frames=7, count=1)
    (name,) = open_dataset(raw).names
    recording = open_dataset(raw / name).read(open_dataset(raw / name).names[0])
    for output in (raw / name, raw / name / "shards"):
        with pytest.raises(ValueError, match="folder must lie outside of the recordings"):
            curate(open_dataset(raw), output, SETTINGS)
    assert not (raw / name / "shards").exists() and not (raw / name / ".lock").exists()
    (tmp_path / "npz").mkdir()
    save_recording(recording, tmp_path / "npz" / "a.npz")
    with pytest.raises(ValueError, match="folder must lie outside of the recordings"):
        curate(open_dataset(tmp_path / "npz"), tmp_path / "npz" / "shards", SETTINGS)


def test_one_run_at_a_time_writes_shards(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with folder_lock(out), pytest.raises(ValueError, match="folder must be used by one run at a time"):
        curate(open_dataset(raw), out, SETTINGS)
    assert not (out / "work").exists()
