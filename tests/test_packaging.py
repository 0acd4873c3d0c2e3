"""What the package imports is what it declares, and one version is stated once."""

import ast
import re
import sys
from pathlib import Path

import diff4splat

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Import name -> distribution, where they differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "c2pa": "c2pa-python",
    "cv2": "opencv-python-headless",
    "pxr": "usd-core",
    "skimage": "scikit-image",
}
# Not needed to import or use a part; asked for, with a message, by the one function that needs it.
ON_REQUEST = {"diffusers", "transformers", "viser"}
# Needed at run time by a declared dependency that imports it.
THROUGH_OTHERS = {"torchvision": "lpips"}


def third_party(path: Path) -> set[str]:
    """Distributions that a file imports, at any depth of the code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    names -= {*sys.stdlib_module_names, "diff4splat"}
    return {DISTRIBUTIONS.get(name, name).replace("_", "-").lower() for name in names}


def declared() -> set[str]:
    """Distributions of the core and of the extras that users install."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for name in extras if name != "test" for line in extras[name])]
    return {re.match(r"[\w-]+", line)[0].lower() for line in lines}


def test_every_import_is_declared() -> None:
    used = {name for path in (ROOT / "diff4splat").rglob("*.py") for name in third_party(path)}
    assert used - declared() - ON_REQUEST - set(THROUGH_OTHERS) == set()
    assert set(THROUGH_OTHERS.values()) <= declared()


def test_the_page_of_installation_has_every_extra() -> None:
    section = (ROOT / "docs" / "installation.md").read_text().partition("## Extras")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert sorted(told) == sorted(PROJECT["optional-dependencies"])


def test_every_dependency_is_used() -> None:
    files = [*(ROOT / "diff4splat").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    used = {name for path in files for name in third_party(path)}
    needed_by_others = {"packaging", "tensorboard"}  # gsplat; torch.utils.tensorboard
    needed_by_others |= {
        "accelerate",
        "protobuf",
        "sentencepiece",
        "transformers",
    }  # video models of diffusers
    assert declared() - used - needed_by_others == set()


def test_version_is_stated_once() -> None:
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", diff4splat.__version__)
