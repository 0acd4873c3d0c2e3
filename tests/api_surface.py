"""The public names of the package; run this file after a deliberate change to write api_surface.json."""

import json
from importlib import import_module
from pathlib import Path

SURFACE = Path(__file__).with_suffix(".json")
PACKAGE = Path(__file__).parents[1] / "diff4splat"


def parts() -> list[str]:
    """Folders and modules directly under the package, as found on disk."""
    found = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    found |= {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    return sorted(found)


def public_names() -> dict[str, list[str]]:
    """`__all__` of the package and of each of its parts."""
    modules = ["diff4splat", *(f"diff4splat.{part}" for part in parts())]
    return {module: sorted(import_module(module).__all__) for module in modules}


if __name__ == "__main__":
    SURFACE.write_text(json.dumps(public_names(), indent=2) + "\n")
