"""`diff4splat data`: what it prints and writes, and with which status it ends."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from cli.shown import error_of
from data.checking.scenes import recording
from PIL import Image

import diff4splat.data.readers.open as readers
from diff4splat.cli import main
from diff4splat.cli.data_commands.check_picture import check_sheet
from diff4splat.data import DatasetReader, Recording, RecordingInfo
from diff4splat.data.checking import check_recording
from diff4splat.geometry import rigid_inverse


class Exact(DatasetReader):
    """A folder with a file for each recording; the word in it is what is done to it."""

    key, title, licence = "exact", "Exact scenes", "MIT"

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Names of the files."""
        return sorted(file.stem for file in folder.glob("*.exact"))

    def info(self, name: str) -> RecordingInfo:
        """Thirteen frames."""
        one = recording()
        return RecordingInfo(name, 13, one.height, one.width, None, frozenset({"depth"}), "metre")

    def read(self, name: str, frames: Sequence[int] | None = None) -> Recording:
        """The scene, changed as the file says."""
        one = replace(recording().select(self.pick(name, frames)), name=name)
        word = (self.folder / f"{name}.exact").read_text()
        if word == "inverted":
            cameras = replace(one.cameras, camera_to_world=rigid_inverse(one.cameras.camera_to_world))
            return replace(one, cameras=cameras)
        if word == "broken":
            raise ValueError(f"{self.folder / name} is not a readable picture: truncated.")
        if word == "bare":
            return replace(one, depth=None, depth_mask=None, tracks=None, visible=None, track_pixels=None)
        return one


class Other(Exact):
    """A second dataset in the same folders."""

    key, title = "other", "Other scenes"

    @classmethod
    def find(cls, folder: Path) -> list[str]:
        """Names of its files."""
        return sorted(file.stem for file in folder.glob("*.other"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    known = MappingProxyType({"exact": Exact, "other": Other})
    monkeypatch.setattr(readers, "DATASETS", known)
    monkeypatch.setattr("diff4splat.data.DATASETS", known)
    place = tmp_path / "a set"
    place.mkdir()
    return place


def put(folder: Path, *words: str) -> None:
    for index, word in enumerate(words):
        (folder / f"scene{index}.exact").write_text(word)


def test_a_sound_dataset_ends_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "as it is", "as it is")
    assert main(["data", "check", str(folder), "--recordings", "1", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Exact scenes in {folder}: 2 recordings, licence MIT"
    assert lines[2] == "scene0, 13 frames looked at: holds"
    assert lines[-1] == "conventions of Exact scenes hold (1 recording looked at, 2 in all)"


def test_a_mistake_ends_with_2_and_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "inverted")
    assert main(["data", "check", str(folder), "--output", str(folder / "report"), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)[0]
    assert (report["dataset"], report["verdict"]) == ("exact", "fails")
    assert report["sentence"] == (
        "conventions of Exact scenes fail in 1 (1 recording looked at, 1 in all): "
        "as if the poses were world-to-camera"
    )
    finding = next(item for item in report["recordings"][0]["findings"] if item["name"] == "conventions")
    assert finding["verdict"] == "fails" and finding["value"] is None
    assert sorted(file.name for file in (folder / "report").iterdir()) == [
        "frames.jpg",
        "report.json",
        "report.txt",
    ]
    assert json.loads((folder / "report" / "report.json").read_text()) == [report]


def test_a_picture_is_drawn(folder: Path) -> None:
    put(folder, "as it is")
    picture = folder / "frames.png"
    assert main(["data", "check", str(folder), "-o", str(picture)]) == 0
    with Image.open(picture) as opened:
        assert opened.width > 5 * 320


def test_the_columns_of_the_picture() -> None:
    check = check_recording(recording())
    sheet = check_sheet([check])
    assert sheet is not None and 0 <= float(sheet.min()) and float(sheet.max()) <= 1
    height = round(320 * 107 / 149)
    above = next(row for row in range(20, 60) if float(sheet[:, row, 200:].std()) > 0.1 and row > 24)
    rows = slice(above + 20, above + height - 20)  # well inside the row of pictures
    step = 320 + 4
    left = sheet.shape[2] - 5 * step

    def cell(column: int) -> torch.Tensor:
        return sheet[:, rows, left + column * step : left + column * step + 320]

    unlike = (cell(0) - cell(2)).abs().median()
    assert (cell(1) - cell(2)).abs().median() < 0.3 * unlike, "what is warped looks like what it is warped to"
    assert check_sheet([replace(check, view=None)]) is None


def test_what_cannot_be_read_is_a_finding(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "as it is", "broken")
    assert main(["data", "check", str(folder), "--quiet"]) == 2
    text = capsys.readouterr().out
    assert "scene1 is not a readable picture: truncated\n" in text
    assert text.endswith(
        "conventions of Exact scenes fail in 1 (2 recordings looked at, 2 in all): reading\n"
    )


def test_without_depth_nobody_can_tell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "bare")
    picture = folder / "frames.png"
    assert main(["data", "check", str(folder), "--quiet", "-o", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "there is no depth" in out and "conventions of Exact scenes remain unknown" in out
    assert picture.is_file()


def test_several_datasets_are_all_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "bare")
    (folder / "scene0.other").write_text("")
    assert main(["data", "check", str(folder), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "Exact scenes in" in out and "Other scenes in" in out
    assert main(["data", "check", str(folder), "--quiet", "--dataset", "exact"]) == 0
    assert "Other scenes" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "PATH must be given; see diff4splat data check --help"),
        (["check", "{}"], "folder must hold one dataset of exact, other, got none in {}"),
        (["check", "{}/none"], "no such folder: {}/none"),
        (["check", "{}", "--dataset", "imagenet"], "dataset must be one of exact, other, got 'imagenet'"),
        (["check", "{}", "--dataset", "exact"], "folder must hold Exact scenes, got {} without any"),
        (["check", "{}", "--recordings", "0"], "--recordings must be from 1 to 10000, got 0"),
        (["check", "{}", "-o", "{}/none/out.png"], "--output must lie in an existing folder"),
        (["list", "{}"], "'{}' is one word too many; see diff4splat data list --help"),
        (["chekc", "{}"], "data must be followed by one of list, check, curate, got 'chekc'"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["data", *(word.replace("{}", str(folder)) for word in words), "--quiet"]) == 2
    assert message.replace("{}", str(folder)) in error_of(capsys)


def test_alone_it_says_what_may_follow(capsys: pytest.CaptureFixture[str]) -> None:
    for words, status in ((["data"], 2), (["data", "--help"], 0), (["help", "data"], 0)):
        assert main(words) == status
        page = capsys.readouterr().out
        assert page.startswith("usage: diff4splat data COMMAND [options]\n")
        assert "\n  data check " in page and "generate" not in page
    assert main(["help", "data", "check"]) == 0
    assert "usage: diff4splat data check" in capsys.readouterr().out


def test_the_known_datasets_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--quiet"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "exact  Exact scenes  MIT",
        "other  Other scenes  MIT",
    ]
    assert main(["data", "list", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)[1] == {
        "name": "other",
        "title": "Other scenes",
        "licence": "MIT",
    }
