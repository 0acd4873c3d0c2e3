"""The benchmark of curation runs, in small, and reports what it says it does; rates are not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_it_measures_and_draws(tmp_path) -> None:
    options = ["--quick", "--workers", "1", "2", "--engines", "local"]
    files = ["--json", str(tmp_path / "results.json"), "--plot", str(tmp_path / "plot.svg")]
    run = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "curation_scaling.py"), *options, *files],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "All runs gave the same files, byte for byte." in run.stdout
    written = json.loads((tmp_path / "results.json").read_text())
    found = [(result["name"], result["size"], result["goal"]) for result in written["results"]]
    assert found == [
        (f"processes, {name}", size, 0.8 if (name, size) == ("efficiency", 2) else None)
        for size in (1, 2)
        for name in ("rate", "start", "efficiency")
    ]
    assert all(result["value"] > 0 for result in written["results"]) and written["machine"]["commit"]
    assert (tmp_path / "plot.svg").read_text().count("clips per second") == 1
