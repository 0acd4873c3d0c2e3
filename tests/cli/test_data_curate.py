"""`diff4splat data curate`: what it writes and prints, and with which status it ends."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli.shown import error_of
from data.layouts import LAYOUTS, make_scenes

from diff4splat.cli import main
from diff4splat.data.curation import CurationSettings
from diff4splat.data.streaming import RecordingShards

FRAMES = 7
DARK = {"min_brightness": 0.99}  # a limit that no clip meets


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of PointOdyssey, seven small frames each."""
    root = tmp_path_factory.mktemp("dataset") / "raw"
    return LAYOUTS["pointodyssey"](root, *make_scenes("pointodyssey", FRAMES, 32, 48, count=2)).folder


@pytest.fixture(scope="module")
def kept(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of both; tests only read them."""
    out = tmp_path_factory.mktemp("kept") / "new" / "shards"
    assert main(["data", "curate", str(raw), "--frames", str(FRAMES), "--output", str(out), "--quiet"]) == 0
    return out


@pytest.fixture
def dark(tmp_path: Path) -> Path:
    """A file of settings by which nothing is kept."""
    file = tmp_path / "dark.json"
    file.write_text(json.dumps({"num_frames": FRAMES, "thresholds": DARK}))
    return file


def test_the_folder_holds_what_the_help_promises(kept: Path) -> None:
    names = {path.name for path in kept.iterdir() if path.suffix != ".tar"}
    assert names - {".lock"} == {
        *("index.parquet", "report.html", "clips.parquet", "clips.csv", "curation.json", "work")
    }
    shards = RecordingShards(kept)
    assert len(shards.entries) == 2 and len(list(kept.glob("*.tar"))) == 1
    assert shards.read(0).num_frames == FRAMES
    assert {"cameras", "depth", "tracks"} <= shards.entries[0].info.holds
    assert (kept / "clips.csv").read_text(encoding="utf-8-sig").count("kept") == 2


def test_again_it_goes_on_and_prints_json(raw: Path, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in kept.glob("*.tar")}
    words = ["data", "curate", str(raw), "--frames", str(FRAMES), "--output", str(kept), "--json"]
    assert main([*words, "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kept"], found["rejected"], found["failed"], found["reused"]) == (2, 0, 0, 2)
    assert [row["name"] for row in found["datasets"]] == ["pointodyssey"]
    assert {path.name: path.read_bytes() for path in kept.glob("*.tar")} == before


def test_where_nothing_is_kept_the_status_is_2(
    raw: Path, dark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--settings", str(dark), "--recordings", "1", "--output", str(out)]
    assert main(["data", "curate", str(raw), *words]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("1 clip: 0 kept (0.0 %), 1 rejected (100.0 %), 0 failed")
    assert said.out.rstrip().endswith(str(out / "report.html")) and "error" not in said.err
    assert not list(out.glob("*.tar")) and not (out / "index.parquet").exists()
    assert (out / "report.html").is_file() and "rejected" in (out / "clips.csv").read_text(
        encoding="utf-8-sig"
    )


def test_settings_that_are_shown_can_be_given_back(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "--frames",
        "9",
        "--stride",
        "4",
        "--long-side",
        "64",
        "--masks",
        "flow",
        "--metres-per-unit",
        "2.5",
    ]
    shown = ["data", "curate", str(raw), "--show-settings", "--quiet"]
    assert main([*shown, *asked, "--require", "cameras, depth"]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "settings.json"
    file.write_text(text)
    assert main([*shown, "--settings", str(file)]) == 0
    assert capsys.readouterr().out == text
    settings = CurationSettings.from_dict(json.loads(text))
    assert (settings.num_frames, settings.stride, settings.long_side) == (9, 4, 64)
    assert (settings.masks, settings.metres_per_unit) == ("flow", 2.5)
    assert settings.thresholds.require == ("cameras", "depth")

    assert main([*shown, "--settings", str(file), "--frames", "5"]) == 0
    changed = json.loads(capsys.readouterr().out)
    assert changed == {**json.loads(text), "num_frames": 5}, "options go before the file"
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"], "nothing else is done"


def test_the_settings_of_a_run_can_be_given_again(
    raw: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--settings", str(kept / "curation.json"), "--show-settings", "--quiet"]
    assert main(["data", "curate", str(raw), *words]) == 0
    assert CurationSettings.from_dict(json.loads(capsys.readouterr().out)).num_frames == FRAMES


def test_annotators_without_their_files_are_clips_that_fail(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "moge").mkdir()
    np.savez(tmp_path / "moge" / "another.npz", depth=np.ones((1, 4, 6), np.float32))
    words = ["--annotations", f"{tmp_path / 'moge'}=moge:metre", "--recordings", "1", "--frames", str(FRAMES)]
    assert main(["data", "curate", str(raw), *words, "-o", str(tmp_path / "out"), "--json", "--quiet"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["kept"], found["failed"]) == (0, 1)
    assert found["reasons"][0]["stage"] == "annotate"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--annotations", "vda"], "--annotations must be FOLDER=FORMAT, with commas between, got 'vda'"),
        (
            ["--annotations", "{}=magic"],
            "format must be one of video-depth-anything, megasam, .* got 'magic'",
        ),
        (["--annotations", "{}/none=moge"], "no such folder: {}/none"),
        (["--frames", "0"], "num_frames must be a whole number of at least 1, got 0"),
        (["--recordings", "0"], "--recordings must be from 1 to 10000000, got 0"),
        (["--workers", "-1"], "--workers must be from 0 to 1000, got -1"),
        (["--dataset", "imagenet"], "dataset must be one of .* got 'imagenet'"),
        (
            ["--settings", "{}/none.json"],
            "--settings cannot be read: No such file or directory: {}/none.json",
        ),
        (["--settings", "{}/list.json"], "--settings must be JSON of settings, {}/list.json"),
        (["--settings", "{}/torn.json"], "--settings must be JSON of settings, {}/torn.json"),
        (["--settings", "{}/typo.json"], "{}/typo.json: thresholds must be some of .*, got .*min_frame\\b"),
        (["--output", "{}/list.json"], "--output must be a folder, got a file: {}/list.json"),
        (["--output", "{}/nowhere"], "--output must be a folder, got a link to nothing: {}/nowhere"),
        (["--output", "{}/list.json/out"], "--output cannot be written: Not a directory: {}/list.json/out"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_no_folder(
    raw: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "torn.json").write_text('{"num_frames": ')
    (tmp_path / "typo.json").write_text('{"thresholds": {"min_frame": 3}}')
    (tmp_path / "nowhere").symlink_to(tmp_path / "none")
    before = sorted(tmp_path.iterdir())
    words = [word.replace("{}", str(tmp_path)) for word in words]
    output = [] if "--output" in words else ["--output", str(tmp_path / "out")]
    assert main(["data", "curate", str(raw), *words, *output]) == 2
    said = error_of(capsys)
    assert re.search(message.replace("{}", str(tmp_path)), said), said
    assert sorted(tmp_path.iterdir()) == before
