"""`diff4splat view`: what it says, what it refuses, and how it ends."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from viewer.scenes import rolling_ball, sideways

from diff4splat.assets import save_field
from diff4splat.cli import main, view


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("view") / "scene.safetensors"
    save_field(rolling_ball(num_ground=100, num_ball=50), path, cameras=sideways())
    return path


def complaint(words: list[str], capsys) -> str:
    assert main(words) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("diff4splat: error: ")
    return last.removeprefix("diff4splat: error: ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "--port must be from 0 to 65535, got 70000"),
        (
            ["--host", "nowhere.invalid"],
            "--host must be an address such as 127.0.0.1, got 'nowhere.invalid'.",
        ),
        (["--host", "192.0.2.1"], "--host must be an address of this machine, got '192.0.2.1'"),
        (["--device", "abacus"], "--device must be auto, cpu, cuda or cuda:N, got 'abacus'"),
    ],
)
def test_a_wrong_option_is_named(scene, options, words, capsys) -> None:
    pytest.importorskip("viser", reason="the live viewer is not installed: pip install 'diff4splat[viewer]'")
    assert words in complaint(["view", str(scene), *options], capsys)


def test_a_missing_scene_is_said(tmp_path, capsys) -> None:
    pytest.importorskip("viser", reason="the live viewer is not installed: pip install 'diff4splat[viewer]'")
    assert "no such file" in complaint(["view", str(tmp_path / "scene.safetensors")], capsys)


def test_without_viser_it_says_what_to_install(scene, capsys, monkeypatch) -> None:
    monkeypatch.setattr(view, "find_spec", lambda name: None)
    assert complaint(["view", str(scene)], capsys) == "view needs viser: pip install 'diff4splat[viewer]'"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_it_says_its_address_and_ends_with_ctrl_c(scene) -> None:
    pytest.importorskip("viser", reason="the live viewer is not installed: pip install 'diff4splat[viewer]'")
    command = [sys.executable, "-m", "diff4splat", "view", str(scene), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stdout.readline()
        address = said.split()[0]
        assert said == f"{address} shows the scene; Ctrl-C ends it\n"
        with urllib.request.urlopen(address, timeout=10) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in error and error.endswith("interrupted; unfinished files were removed\n")
