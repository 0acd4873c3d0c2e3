"""Every example runs, at tiny sizes, and keeps to the form that the documentation shows."""

import ast
import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY: dict[str, dict[str, Any]] = {
    "01_losses_alone.py": {"height": 7, "width": 11, "num_steps": 3},
    "02_moving_gaussians.py": {"height": 22, "width": 34, "num_frames": 3},
    "03_photo_to_4d.py": {"size": 22, "num_frames": 3},
    "04_your_own_backbone.py": {"size": 16, "num_frames": 3, "num_steps": 1},
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
    assert len(text.splitlines()) < 60
    assert ast.get_docstring(ast.parse(text))
