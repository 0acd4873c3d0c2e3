"""Every example runs, at tiny sizes, and keeps to the form that the documentation shows."""

import ast
import math
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY: dict[str, dict[str, Any]] = {
    "01_losses_alone.py": {"height": 7, "width": 11, "num_steps": 3},
    "02_moving_gaussians.py": {"height": 22, "width": 34, "num_frames": 3},
    "03_photo_to_4d.py": {"size": 22, "num_frames": 3},
    "04_your_own_backbone.py": {"size": 16, "num_frames": 3, "num_steps": 1},
    "05_live_orbit.py": {"size": 22, "frames": 2, "gaussians": 499},
    "06_refine_a_scene.py": {"size": 16, "steps": 2},
    "07_camera_adapter.py": {"num_frames": 5, "height": 32, "width": 32, "steps": 2},
    "08_edit_a_scene.py": {"count": 101, "size": 22, "num_frames": 3},
}
LONGEST = {
    "05_live_orbit.py": 125,  # a scene, a camera and a loop
    "07_camera_adapter.py": 110,  # a model, its training and its use
}


def test_every_example_has_tiny_sizes() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(TINY)


@pytest.mark.parametrize("name", sorted(TINY))
def test_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / name))["main"](**TINY[name])
    assert all(path.stat().st_size > 0 for path in tmp_path.rglob("*.*"))


@pytest.mark.parametrize("name", sorted(TINY))
def test_example_is_short_and_titled(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) < LONGEST.get(name, 60)
    assert ast.get_docstring(ast.parse(text))


def test_the_camera_of_a_page_sees_what_viser_says_it_does() -> None:
    """From (1, -2, 0) along +x, with +y down: the world's -z is to the right."""
    client_camera = runpy.run_path(str(EXAMPLES / "05_live_orbit.py"))["client_camera"]
    turned = (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0)
    view = SimpleNamespace(wxyz=turned, position=(1.0, -2.0, 0.0), fov=2 * math.atan(0.5), aspect=1.5)
    camera = client_camera(view, 20)
    assert (camera.height, camera.width) == (20, 30)
    ahead, top, right = (6.0, -2.0, 0.0), (6.0, -4.5, 0.0), (6.0, -2.0, -3.75)
    world_to_camera = torch.linalg.inv(camera.camera_to_world[0])
    for point, pixel in ((ahead, (15.0, 10.0)), (top, (15.0, 0.0)), (right, (30.0, 10.0))):
        x, y, z, _ = (world_to_camera @ torch.tensor([*point, 1.0])).tolist()
        assert z == pytest.approx(5.0, abs=1e-5)
        seen = camera.intrinsics[0] @ torch.tensor([x / z, y / z, 1.0])
        assert seen[:2].tolist() == pytest.approx(pixel, abs=1e-4)


def test_the_live_example_prints_its_frames_per_second(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "05_live_orbit.py"))["main"](**TINY["05_live_orbit.py"])
    words = r"2 frames of 22x22, 499 Gaussians, deformation included: \d+\.\d frames per second\n"
    assert re.fullmatch(words, capsys.readouterr().out)
