"""Random scenes with hostile values end in an error that names the argument, or in finite results."""

import collections
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("hostile_scenes.py")


@pytest.mark.parametrize(("backend", "count"), [("cpu", 5000), ("reference", 500)])
def test_hostile_scenes_end_well(backend, count):
    """In a process of its own, so that a crash or a hang is found too, with the scene that did it."""
    command = [sys.executable, "-W", "error::RuntimeWarning", str(SCRIPT), backend, "0", str(count)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        output, end = done.stdout, f"exit status {done.returncode}\n{done.stderr[-2000:]}"
    except subprocess.TimeoutExpired as error:
        output, end = (error.stdout or b"").decode(), "no end after 300 s"
    ends = dict(line.split(" ", 1) for line in output.splitlines())
    faults = {seed: text for seed, text in ends.items() if text not in ("refused", "seen", "empty")}
    if len(ends) < count and not faults:
        faults = {str(len(ends)): ""}
    for seed, text in faults.items():
        again = f"python tests/rendering/hostile_scenes.py {backend} {seed} {int(seed) + 1}"
        pytest.fail(f"{again}: {text or end} ({len(faults)} such scenes)")
    shares = collections.Counter(ends.values())
    assert shares["seen"] > 0.4 * count and shares["refused"] > 0.1 * count, shares  # else it tests little
