"""Time of `import diff4splat`, and of each part over the time of `import torch` alone.

Run `python benchmarks/imports.py`. Each import has a new interpreter; the fastest of `--repeats` counts.
"""

import subprocess
import sys
from pathlib import Path

import tyro

PACKAGE = Path(__file__).parents[1] / "diff4splat"


def seconds(statement: str, *, after: str = "pass", repeats: int = 3) -> float:
    """Shortest time of `statement` in a new interpreter that has run `after`."""
    code = (
        f"import time; {after}; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    runs = [subprocess.check_output(command, cwd=PACKAGE.parent, text=True) for _ in range(repeats)]
    return min(float(run) for run in runs)


def main(repeats: int = 3) -> None:
    """Print the table.

    Args:
        repeats: Interpreters per import.
    """
    print(f"import diff4splat              {1000 * seconds('import diff4splat', repeats=repeats):8.1f} ms")
    print(f"import torch                   {seconds('import torch', repeats=repeats):8.2f} s")
    parts = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    parts |= {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    for part in sorted(parts):
        extra = seconds(f"import diff4splat.{part}", after="import torch", repeats=repeats)
        print(f"diff4splat.{part:<20}{extra:8.2f} s over torch")


if __name__ == "__main__":
    tyro.cli(main)
