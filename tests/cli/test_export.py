"""The table of kinds that `diff4splat export` writes."""

from dataclasses import fields
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
import torch
from assets.splat_scenes import COUNT, assert_equal, moving_scene, some_cameras
from reference.assets_splats import read_glb, read_ply, read_splat, read_usd

from diff4splat.assets import load_field, save_field
from diff4splat.cli import main
from diff4splat.cli.export import Export
from diff4splat.cli.exports.kinds import FOLDER, KINDS, ExportKind, find_kind, table_of_kinds

OPTIONS = {field.name for field in fields(Export)} - {"scene", "output", "to"}


@pytest.mark.parametrize("name", KINDS)
def test_a_row_names_a_function_options_and_suffixes_that_exist(name: str) -> None:
    kind = KINDS[name]
    module, _, function = kind.home.partition(":")
    write = getattr(import_module(f"diff4splat.cli.exports.{module}"), function)
    assert list(signature(write).parameters) == ["job"] and set(kind.options) <= OPTIONS
    assert all(suffix == FOLDER or suffix.startswith(".") for suffix in kind.suffixes) and kind.suffixes
    assert set(kind.implied_by or ()) <= set(kind.suffixes)
    assert len(kind.meaning) <= 80 and not kind.meaning.endswith(".")


def test_every_option_is_of_use_to_some_kind() -> None:
    assert {option for kind in KINDS.values() for option in kind.options} == OPTIONS


@pytest.mark.parametrize(
    "suffix", sorted({suffix for kind in KINDS.values() for suffix in kind.suffixes} - {""})
)
def test_a_suffix_means_one_kind_or_says_between_which(suffix: str) -> None:
    holders = [name for name, kind in KINDS.items() if suffix in kind.suffixes]
    try:
        assert find_kind(None, Path("a" + suffix.upper())) in holders
    except ValueError as error:
        assert len(holders) > 1 and str(error).endswith(f"one of {', '.join(holders)}")


def test_suffixes_in_dispute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "one", ExportKind("a:b", (".q", ".r", ".s"), "one", implied_by=(".r", ".s")))
    monkeypatch.setitem(KINDS, "two", ExportKind("a:b", (".q", ".r", ".s"), "two", implied_by=(".s",)))
    assert find_kind(None, Path("a.R")) == "one"
    for suffix in (".q", ".s"):
        with pytest.raises(
            ValueError, match=rf"--to must be given for the output a{suffix}, one of one, two$"
        ):
            find_kind(None, Path("a" + suffix))
    for name in ("a.xyz", "a"):
        with pytest.raises(ValueError, match="--to must be given for the output a.*, one of scene, "):
            find_kind(None, Path(name))


def test_help_has_every_kind(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["export", "--help"]) == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    lines = table_of_kinds().splitlines()
    assert {line.strip() for line in lines} <= set(shown) and max(map(len, lines)) <= 78
    starts = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert starts == list(KINDS)
    words = " ".join(" ".join(shown).split())
    assert all(kind.meaning in words for kind in KINDS.values())


def test_a_missing_package_is_named_before_the_scene_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diff4splat.cli.export.find_spec", lambda name: None)
    for name, words in (
        ("a.usdc", "--to usd needs usd-core: pip install 'diff4splat[usd]'"),
        ("a.obj", "--to mesh needs scikit-image: pip install 'diff4splat[mesh]'"),
    ):
        assert main(["export", "no_scene", "-o", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err == f"diff4splat: error: {words}\n"
    assert list(tmp_path.iterdir()) == []


def exported(tmp_path: Path, scene: Path, name: str, *words: str) -> Path:
    assert main(["export", str(scene), "-o", str(tmp_path / name), *words]) == 0
    return tmp_path / name


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "scene.safetensors"
    path.parent.mkdir()
    save_field(
        moving_scene(1), path, cameras=some_cameras(5), provenance={"fps": 10, "image": "my photo.jpg"}
    )
    return path


def test_every_format_of_gaussians_from_the_command_line(scene: Path, tmp_path: Path) -> None:
    field = load_field(scene)
    assert_equal(read_ply(exported(tmp_path, scene, "a.ply")), field.canonical)
    assert_equal(read_ply(exported(tmp_path, scene.parent, "a.ply", "--time", "0.3")), field.at(0.3))
    splat = read_splat(exported(tmp_path, scene, "a.splat", "--time", "0.3"))
    assert torch.equal(torch.from_numpy(splat["means"]), field.at(0.3).means.double())
    found, _, file = read_glb(exported(tmp_path, scene, "a.glb", "--time", "0.3"))
    assert torch.equal(torch.from_numpy(-found["means"][:, 0]), field.at(0.3).means[:, 0].double())
    assert file.asset.extras["provenance"]["image"] == "my photo.jpg"
    frames = exported(tmp_path, scene, "frames", "--to", "ply-sequence", "--frames", "5")
    assert len(sorted(frames.iterdir())) == 5
    assert_equal(read_ply(frames / "frame_00001.ply"), field.at(0.25))
    assert len(list(exported(tmp_path, scene, "frames", "--to", "ply-sequence").iterdir())) == 3
    for suffix in ("usda", "usdc", "usdz"):
        values, codes, stage = read_usd(exported(tmp_path, scene, f"a.{suffix}", "--frames", "5"))
        assert codes == [0, 1.25, 2.5, 3.75, 5.0] and stage.GetTimeCodesPerSecond() == 10
        assert_equal({**values[2], "quaternions": field.at(0.5).quaternions.double().numpy()}, field.at(0.5))
        assert stage.GetPrimAtPath("/Scene/Camera")
    _, codes, _ = read_usd(exported(tmp_path, scene, "a.usdc", "--seconds", "3"))
    assert codes == pytest.approx([0, 11.25, 30])


def test_what_was_exported_is_a_scene_again(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = exported(tmp_path, scene, "frames", "--to", "ply-sequence")
    moment = exported(tmp_path, scene, "a.ply", "--time", "1")
    splat = exported(tmp_path, moment, "a.splat")
    again = exported(tmp_path, frames, "b.ply", "--time", "1")
    assert abs(read_ply(again)["means"] - read_ply(moment)["means"]).max() < 1e-6
    exported(tmp_path, splat, "c.glb")
    exported(tmp_path, frames, "page.html")
    capsys.readouterr()
    for source, facts in (
        (frames, ["3: 0.000 0.375 1.000", "fps               10", "degree 1"]),
        (moment, ["my photo.jpg", "degree 1"]),
        (splat, [f"count    {COUNT}", "degree 0"]),
    ):
        assert main(["inspect", str(source)]) == 0
        shown = capsys.readouterr().out
        assert all(fact in shown for fact in facts), shown
    video = tmp_path / "video.mp4"
    words = ["--trajectory", "orbit", "--frames", "2", "--size", "32", "-o", str(video)]
    for source in (frames, splat):
        assert main(["render", str(source), *words]) == 0 and video.stat().st_size > 500
    assert main(["render", str(moment), "-o", str(video)]) == 2
    assert "--trajectory must be given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["-o", "a.splat", "--frames", "3"],
            "--frames is for --to ply-sequence, usd, video, depth-png, depth-npz, tracks, got --to splat.",
        ),
        (["-o", "a.usdc", "--time", "0.5"], "--time is for --to ply, splat, glb"),
        (["-o", "frames", "--to", "ply-sequence", "--frames", "0"], "--frames must be from 1 to"),
        (["-o", "missing/frames", "--to", "ply-sequence"], "--output must lie in an existing folder, got"),
        (["-o", "a.file", "--to", "ply-sequence"], "--output must be a folder, got a file: a.file"),
        (["-o", "mine", "--to", "ply-sequence"], "it holds notes.txt, which would be lost among the frames"),
        (["-o", "frames"], "--to must be given for the output frames, one of scene, compact, ply, "),
        (["-o", "a.glb", "--to", "usd"], "--output must end in .usdc or .usda or .usdz or .usd, got a.glb"),
    ],
)
def test_what_is_refused(
    scene: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.file").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["export", str(scene), *words]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if FOLDER not in kind.suffixes])
def test_a_damaged_scene_destroys_no_earlier_file(
    scene: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.write_bytes(scene.read_bytes()[:-5])
    output = tmp_path / f"earlier{KINDS[name].suffixes[0]}"
    output.write_text("earlier")
    assert main(["export", str(scene), "--to", name, "-o", str(output)]) == 2
    assert "truncated" in capsys.readouterr().err
    assert output.read_text() == "earlier" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_on_the_page_about_exports(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    assert page.count(f"`{name}`") >= 2, "in the table of programs and in that of what is kept"
