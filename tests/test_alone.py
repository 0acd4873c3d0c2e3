"""Each block works in a ten-line program of its own, where the heavy libraries cannot be imported.

test_imports.py shows what importing a folder loads; the scripts of `examples/alone` use what they import.
"""

import ast
import re
import subprocess
import sys
from math import isfinite
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples" / "alone").glob("*.py"))
MISSING = "PIL av diffusers gsplat lpips numba transformers tyro"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="isolates scripts with os.fork")

# Runs each script in a fork of its own, as a new interpreter that has torch loaded and lacks the libraries.
PROBE = """
import importlib.abc, os, runpy, sys, traceback

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

MISSING = sys.argv[1].split()
sys.meta_path.insert(0, Missing())
import torch
for script in sys.argv[2:]:
    print("script", script, flush=True)
    if os.fork() == 0:
        status = 1
        try:
            torch.manual_seed(0)
            runpy.run_path(script, run_name="__main__")
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    print("status", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def run(scripts: list[Path], missing: str = MISSING) -> dict[Path, str]:
    """What each script printed, and last its exit status."""
    command = [sys.executable, "-c", PROBE, missing, *map(str, scripts)]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    pieces = re.split(r"^script (.*)\n", done.stdout, flags=re.MULTILINE)[1:]
    return {Path(name): text for name, text in zip(pieces[::2], pieces[1::2], strict=True)}


@pytest.fixture(scope="module")
def printed() -> dict[Path, str]:
    return run(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_runs_without_the_heavy_libraries(script: Path, printed: dict[Path, str]) -> None:
    assert printed[script].endswith("status 0\n"), printed[script]
    numbers = [float(number) for number in re.findall(r" (-?\d[\d.e+-]*|-?nan|-?inf)\b", printed[script])]
    assert len(numbers) > 1 and all(map(isfinite, numbers)) and all(numbers[:-1]), printed[script]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_is_titled_and_has_ten_lines(script: Path) -> None:
    tree = ast.parse(script.read_text())
    assert ast.get_docstring(tree)
    body = script.read_text().splitlines()[tree.body[0].end_lineno :]
    assert len([line for line in body if line]) <= 10


def test_the_check_can_fail(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("try:\n    import wave\nexcept ImportError as error:\n    print(error)\n1 / 0")
    (text,) = run([script], missing="wave").values()
    assert "No module named 'wave'" in text
    assert text.endswith("ZeroDivisionError: division by zero\nstatus 1\n")
