"""The command line: what it writes, what it says, how it ends, and that it never leaves half a result."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from cli.shown import error_of
from PIL import Image
from pipelines.fake_parts import fake_pipeline

import diff4splat
from diff4splat.assets import load_field, load_field_cameras, load_ply, load_video, read_field_header
from diff4splat.cameras import save_cameras, trajectory
from diff4splat.cli import COMMANDS, GENERATED_FILES, main
from diff4splat.pipelines import Diff4SplatPipeline
from diff4splat.rendering import gsplat_backend

Run = Callable[..., int]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 43, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Pipelines of fake parts in place of loaded ones; the list says what was asked for."""
    asked: list[str] = []

    def load(name: str) -> Diff4SplatPipeline:
        asked.append(name)
        return fake_pipeline()

    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", load)
    return asked


@pytest.fixture
def generate(photo: Path, tmp_path: Path) -> Run:
    def run(*words: str, output: Path | None = None) -> int:
        folder = tmp_path / "out" if output is None else output
        return main(
            ["generate", str(photo), "--output", str(folder), "--frames", "3", "--size", "22", *words]
        )

    return run


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


# --- help


def test_help_names_every_command_and_is_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in page and command.summary in page
    assert "examples:" in page and "Exit status" in page
    assert max(map(len, page.splitlines())) <= 100


def test_no_command_shows_the_page_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: diff4splat COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.parametrize("columns", ["80", "100"])
def test_help_of_each_command(
    name: str, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main([*name.split(), "--help"]) == 0
    page = capsys.readouterr().out
    assert f"usage: diff4splat {name}" in page
    assert f"In use:\n  diff4splat {name}" in page, "examples of use"
    prose = [line for line in page.splitlines() if not line.startswith("  diff4splat")]
    assert max(map(len, prose)) <= int(columns)
    assert not any(line != line.rstrip() for line in page.splitlines())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"diff4splat {diff4splat.__version__}\n"


def test_help_loads_neither_torch_nor_anything_slow() -> None:
    code = (
        "import sys; from diff4splat.cli import main; status = main(['--help']);"
        "print(status, *(name for name in ('torch', 'numpy', 'PIL', 'tqdm', 'tyro') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"


def test_help_of_the_commands_does_not_load_torch() -> None:
    code = (
        "import sys; from diff4splat.cli import COMMANDS, main;"
        "print([main([*name.split(), '--help']) for name in COMMANDS], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{[0] * len(COMMANDS)} False"


def test_python_dash_m() -> None:
    done = subprocess.run([sys.executable, "-m", "diff4splat", "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        "COMMAND must be one of generate, reconstruct, render" in done.stderr and "'nonsense'" in done.stderr
    )


@pytest.mark.parametrize(
    "words", [["generate"], ["generate", "a.jpg", "--framess", "3"], ["inspect", "a", "extra"]]
)
def test_wrong_options_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err


# --- generate


def test_generate_writes_all_seven_files(
    generate: Run, fake: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "--prompt",
        "rain 雨",
        "--seed",
        "7",
        "--model",
        "user/model",
        "--device",
        "cpu",
        "--trajectory",
        "forward",
    )
    assert generate(*words) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(GENERATED_FILES)
    assert fake == ["user/model"]

    field, cameras = load_field(out / "scene.safetensors"), load_field_cameras(out / "scene.safetensors")
    assert cameras is not None and (cameras.num_frames, cameras.height, cameras.width) == (3, 22, 22)
    provenance = read_field_header(out / "scene.safetensors")["provenance"]
    expected = {"prompt": "rain 雨", "seed": 7, "trajectory": "forward", "image": "photo.png", "fps": 12.0}
    assert expected.items() <= provenance.items()
    assert load_ply(out / "scene.ply").num_gaussians == field.num_gaussians
    videos = {name: load_video(out / f"{name}.mp4") for name in ("video", "novel_view", "depth")}
    assert {video.shape for video in videos.values()} == {(3, 3, 22, 22)}
    for name in videos:
        with av.open(str(out / f"{name}.mp4")) as container:
            stated = json.loads(container.metadata["comment"])
        told = {key: value for key, value in expected.items() if name != "novel_view" or key != "trajectory"}
        assert told.items() <= stated.items() and stated["num_gaussians"] > 0
    assert (videos["video"][1] - videos["novel_view"][1]).abs().mean() > 0.01
    assert "<html" in (out / "player.html").read_text()

    shown = capsys.readouterr()
    for word in ("load model", "generate video", "render the path", "render new views", "write scene"):
        assert word in shown.out and word in shown.err
    assert "seconds  peak memory" in shown.out
    for name in GENERATED_FILES:
        assert str(out / name) in shown.out
    assert "centre-cropped" in shown.err


def test_same_seed_same_scene(generate: Run, fake: object, tmp_path: Path) -> None:
    scenes = []
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert generate("--seed", seed, output=tmp_path / name) == 0
        scenes.append(load_field(tmp_path / name / "scene.safetensors").delta_means)
    assert torch.equal(scenes[0], scenes[1])
    assert not torch.equal(scenes[0], scenes[2])


def test_background_shows_through_a_transparent_photo(
    photo: Path, generate: Run, fake: Any, tmp_path: Path
) -> None:
    Image.new("RGBA", (31, 31), (0, 0, 0, 0)).save(photo)
    for name in ("white", "black"):
        assert generate("--background", name, output=tmp_path / name) == 0
    colors = [
        load_field(tmp_path / name / "scene.safetensors").canonical.harmonics for name in ("white", "black")
    ]
    assert (colors[0] > colors[1]).all()


def test_threads_of_the_command_wait_passively_unless_told_otherwise() -> None:
    code = "from diff4splat.cli import main; main(['--version'])"
    code += "; import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    for given, expected in (
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ):
        shown = subprocess.run(
            [sys.executable, "-c", code], env={**clean, **given}, capture_output=True, text=True
        )
        assert shown.stdout.split()[-1] == expected


def test_cameras_from_a_file(generate: Run, fake: object, tmp_path: Path) -> None:
    save_cameras(trajectory.upward(4, height=31, width=43), tmp_path / "path.json")
    assert generate("--trajectory", str(tmp_path / "path.json")) == 0
    cameras = load_field_cameras(tmp_path / "out" / "scene.safetensors")
    assert cameras is not None and cameras.num_frames == 3
    torch.testing.assert_close(cameras.positions[:, 1], torch.tensor([0.0, -0.25, -0.5]), atol=1e-5, rtol=0)
    header = read_field_header(tmp_path / "out" / "scene.safetensors")
    assert header["provenance"]["trajectory"] == "path.json"


def test_cameras_from_a_file_that_does_not_state_a_size(generate: Run, fake: object, tmp_path: Path) -> None:
    given = trajectory.upward(4, height=31, width=43)
    np.savez(tmp_path / "path.npz", c2w=given.camera_to_world.numpy(), K=given.intrinsics.numpy())
    assert generate("--trajectory", str(tmp_path / "path.npz")) == 0
    cameras = load_field_cameras(tmp_path / "out" / "scene.safetensors")
    assert cameras is not None
    # The file is taken to be about the photograph (31 rows), so its focal length scales by 22 / 31.
    torch.testing.assert_close(cameras.intrinsics[0, 0, 0], given.intrinsics[0, 0, 0] * 22 / 31)


def test_size_of_the_images_of_a_camera_file(
    generate: Run, fake: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = trajectory.upward(4, height=90, width=160)
    path = tmp_path / "path.txt"
    save_cameras(given, path)
    lenses = []
    for words in ((), ("--image-size", "160x90")):
        assert generate("--trajectory", str(path), *words) == 0
        shown = capsys.readouterr().err
        assert ("43x31 pixels are assumed (--image-size WxH tells)" in shown) == (words == ())
        assert "path.txt holds 4 cameras; they are resampled to 3 frames" in shown
        cameras = load_field_cameras(tmp_path / "out" / "scene.safetensors")
        assert cameras is not None
        lenses.append(float(cameras.intrinsics[0, 0, 0]))
    assert lenses[1] == pytest.approx(float(given.intrinsics[0, 0, 0]) * 22 / 90, rel=1e-6)
    assert lenses[0] != pytest.approx(lenses[1], rel=0.01)
    fake.clear()
    for words, message in (
        (
            ("--image-size", "160"),
            "--image-size must be width x height in pixels, such as 640x480",
        ),
        (("--image-size", "0x9"), "--image-size must be width x height in pixels"),
        (("--amplitude", "2"), f"--amplitude is for a path that is given by its name, got {path}"),
    ):
        assert generate("--trajectory", str(path), *words) == 2
        assert message in error_of(capsys)
    save_cameras(given, tmp_path / "path.json")
    words = ("--trajectory", str(tmp_path / "path.json"), "--image-size")
    assert generate(*words, "160x90") == 0
    assert "assumed" not in capsys.readouterr().err
    assert generate(*words, "160x91") == 2
    assert "--image-size must be that of" in error_of(capsys)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_photo_whose_name_is_no_text(photo: Path, fake: object, tmp_path: Path) -> None:
    named = photo.rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    words = ["--output", str(tmp_path / "out"), "--frames", "3", "--size", "22"]
    assert main(["generate", str(named), *words]) == 0
    assert read_field_header(tmp_path / "out" / "scene.safetensors")["provenance"]["image"] == "caf\ufffd.png"
    assert "<title>caf\ufffd" in (tmp_path / "out" / "player.html").read_text(encoding="utf-8")


def test_quiet_shows_results_only(generate: Run, fake: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--quiet") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "scene.safetensors" in shown.out


def test_existing_files_are_replaced_and_others_kept(generate: Run, fake: object, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "video.mp4").write_text("old")
    (out / "notes.txt").write_text("mine")
    assert generate() == 0
    assert (out / "video.mp4").stat().st_size > 100
    assert (out / "notes.txt").read_text() == "mine"
    assert left_over(tmp_path) == []


# --- nothing is left half done


@pytest.mark.parametrize("writer", ["diff4splat.assets.save_video", "diff4splat.assets.save_ply"])
@pytest.mark.parametrize("existing", [True, False])
def test_full_disk_leaves_everything_as_it_was(
    writer: str,
    existing: bool,
    generate: Run,
    fake: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "out"
    if existing:
        out.mkdir(parents=True)
        (out / "video.mp4").write_text("old")

    def full(_: object, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"half a fi")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(writer, full)
    assert generate(output=out) == 2
    assert "No space left on device" in error_of(capsys)
    if existing:
        assert [path.name for path in out.iterdir()] == ["video.mp4"]
        assert (out / "video.mp4").read_text() == "old"
    else:
        assert not (tmp_path / "new").exists(), "folders that were made for the results are removed"


def test_interrupt(generate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def interrupted(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", interrupted)
    assert generate() == 130
    assert error_of(capsys) == "diff4splat: interrupted; unfinished files were removed"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_request_to_end(
    name: str, status: int, generate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = getattr(signal, name)
    outside = signal.signal(request, signal.SIG_DFL)  # it may be ignored, as under nohup

    def ended(*words: object, **options: object) -> None:
        os.kill(os.getpid(), request)

    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", ended)
    try:
        assert generate() == status
        assert not (tmp_path / "out").exists()
        assert signal.getsignal(request) is signal.SIG_DFL
    finally:
        signal.signal(request, outside)


def test_too_little_memory(
    generate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def full(*words: object, **options: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", full)
    assert generate() == 2
    assert "out of memory, 9 bytes more were wanted: try fewer --frames or a smaller --size" in error_of(
        capsys
    )
    assert not (tmp_path / "out").exists()


def test_streams_that_the_caller_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["trajectory", "spiral", "--frames", "3"]) == 0
    assert main(["trajectory", "nowhere"]) == 2


def test_a_bug_says_how_to_see_more(generate: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken(*words: object, **options: object) -> None:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(Diff4SplatPipeline, "from_pretrained", broken)
    assert generate() == 1
    error = capsys.readouterr().err
    assert "diff4splat: unexpected error: RuntimeError: the moon is full" in error
    assert "--debug" in error and "Traceback" not in error
    with pytest.raises(RuntimeError, match="the moon is full"):
        generate("--debug")


# --- what is refused, in words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trajectory", "sideways"], "--trajectory must be one of spiral, forward"),
        (["--frames", "1"], "--frames must be from 2 to 10000, got 1"),
        (["--frames", "99999999999"], "--frames must be from 2 to 10000, got 99999999999"),
        (["--size", "1000000"], "--size must be from 16 to 4096"),
        (["--fps", "inf"], "--fps must be from 0.1 to 240, got inf"),
        (["--size", "3"], "--size must be from 16 to 4096, got 3"),
        (["--fps", "0"], "--fps must be from 0.1 to 240, got 0"),
        (["--fps", "nan"], "--fps must be from 0.1 to 240, got nan"),
        (["--amplitude", "nan"], "--amplitude must be from -1000 to 1000, got nan"),
        (["--amplitude", "1e30"], "--amplitude must be from -1000 to 1000, got 1e+30"),
        (["--guidance", "1e30"], "--guidance must be from 0 to 100, got 1e+30"),
        (["--guidance", "nan"], "--guidance must be from 0 to 100, got nan"),
        (["--device", "cpu:7"], "--device must be auto, cpu, cuda or cuda:N, got 'cpu:7'"),
        (["--output", ""], "--output must not be empty"),
        (
            ["--trajectory", "static", "--amplitude", "2"],
            "--amplitude is for the paths spiral, forward, backward, upward, downward, got static",
        ),
        (["--image-size", "640x480"], "--image-size is for a file of cameras, got the path spiral"),
        (["--trajectory", "sideways", "--amplitude", "2"], "--trajectory must be one of spiral, forward"),
        (["--trajectory", "x" * 300], "--trajectory must be one of spiral, forward"),
        (["--seed", "-1"], r"--seed must be in [0, 2**63), got -1"),
        (["--device", "abacus"], "--device must be auto, cpu, cuda or cuda:N, got 'abacus'"),
        (["--device", "cuda:99"], "--device must be there, PyTorch finds"),
        (["--steps", "0"], "--steps must be from 1 to 10000, got 0"),
        (["--gaussians", "0"], "--gaussians must be from 1 to 100000000, got 0"),
    ],
)
def test_refused(
    words: list[str], message: str, generate: Run, fake: object, tmp_path: Path, capsys: Any
) -> None:
    assert generate(*words) == 2
    assert message in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_gpu_that_cannot_render_is_refused_before_anything_is_loaded(
    generate: Run, fake: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gsplat_backend, "_state", SimpleNamespace(rasterization=None, failure=None))
    monkeypatch.setitem(sys.modules, "gsplat", None)
    assert generate("--device", "auto") == 2
    message = capsys.readouterr().err
    assert "--device auto cannot be used: render needs gsplat" in message
    assert "pip install gsplat packaging" in message and "--device cpu" in message
    assert fake == [] and not (tmp_path / "out").exists()


def test_model_that_is_not_there(generate: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--model", str(tmp_path / "nothing")) == 2
    assert "no model" in error_of(capsys)


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_photo_that_is_none(
    content: bytes | None, photo: Path, generate: Run, fake: list[Any], capsys: Any
) -> None:
    photo.unlink()
    if content is not None:
        photo.write_bytes(content)
    assert generate() == 2
    assert "PHOTO must be" in error_of(capsys)
    assert fake == [], "the model is not loaded for nothing"


def test_truncated_photo(photo: Path, generate: Run, fake: object, tmp_path: Path, capsys: Any) -> None:
    photo.write_bytes(photo.read_bytes()[:2000])
    assert generate() == 2
    assert "damaged or truncated" in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_photo_that_cannot_be_read(
    generate: Run, fake: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def denied(*words: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "photo.png")

    monkeypatch.setattr("PIL.Image.open", denied)  # an administrator may read everything
    assert generate() == 2
    assert "PHOTO cannot be read: Permission denied: " in error_of(capsys)
    assert fake == []


def test_photo_of_one_pixel(photo: Path, generate: Run, fake: object, capsys: Any) -> None:
    Image.new("RGB", (1, 1)).save(photo)
    assert generate() == 2
    assert "PHOTO must be at least 16 pixels on each side, got 1x1" in error_of(capsys)


def test_output_that_is_a_file(photo: Path, generate: Run, fake: list[Any], capsys: Any) -> None:
    for output in (photo, photo / "below"):
        before = photo.read_bytes()
        assert generate(output=output) == 2
        error = error_of(capsys)
        assert "--output must be a folder, got a file" in error or "Not a directory" in error
        assert photo.read_bytes() == before
    assert fake == [], "found before any work"


def test_output_that_cannot_be_written(
    generate: Run, fake: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    def denied(**options: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "out"))

    monkeypatch.setattr("tempfile.mkdtemp", denied)  # a read-only folder does not stop the administrator
    assert generate() == 2
    assert "Permission denied" in error_of(capsys)
    assert fake == [] and not (tmp_path / "out").exists()


def test_folder_in_the_way_of_a_file(generate: Run, fake: list[Any], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "out" / "video.mp4").mkdir(parents=True)
    assert generate() == 2
    assert "no folder where a file is to be written" in error_of(capsys)
    assert fake == []


def bad_path(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    save_cameras(trajectory.spiral(3, height=22, width=22), path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["camera_to_world"][1][0].__setitem__(0, 9.0), "must be rigid"),
        (
            lambda content: content["camera_to_world"][1][0].__setitem__(0, float("nan")),
            "camera_to_world must",
        ),
        (lambda content: content.pop("intrinsics"), "intrinsics must"),
    ],
)
def test_wrong_camera_file(
    change: Callable[[dict[str, Any]], None],
    message: str,
    generate: Run,
    fake: list[Any],
    tmp_path: Path,
    capsys: Any,
) -> None:
    path = bad_path(tmp_path / "path.json", change)
    assert generate("--trajectory", str(path)) == 2
    error = error_of(capsys)
    assert message in error and "path.json" in error
    assert fake == [] and not (tmp_path / "out").exists()


def test_camera_file_with_fewer_poses_than_lenses(
    generate: Run, fake: list[Any], tmp_path: Path, capsys: Any
) -> None:
    path = bad_path(tmp_path / "path.json", lambda content: content["camera_to_world"].pop())
    assert generate("--trajectory", str(path)) == 2
    assert "ameras" in error_of(capsys)
    assert fake == [] and not (tmp_path / "out").exists()
