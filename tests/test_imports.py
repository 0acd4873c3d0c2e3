"""Each folder stands alone: importing it loads nothing of its own or a higher layer, and no heavy library.

The layers are read from the import-linter contract in pyproject.toml, which checks the imports as written.
Here a fresh interpreter, which has torch and nothing else, imports each folder and shows what got loaded.
"""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from api_surface import parts

import diff4splat

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "diff4splat"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="isolates imports with os.fork")
# Slow to load, so loaded by the function that needs them. roma brings torch's compiler along.
HEAVY = {
    *(
        "PIL",
        "OpenEXR",
        "av",
        "diffusers",
        "gsplat",
        "huggingface_hub",
        "lpips",
        "numba",
        "roma",
        "scipy",
        "skimage",
    ),
    *("h5py", "torchvision", "transformers", "tyro"),
    *("filelock", "pandas", "pyarrow", "ray", "viser", "webdataset"),
}


def layers() -> list[set[str]]:
    """Folders per layer, highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rows = next(contract for contract in contracts if contract["id"] == "layers")["layers"]
    return [{name.strip() for name in row.split("|")} for row in rows]


def allowed(folder: str) -> set[str]:
    """Folders that may be loaded together with `folder`: those of lower layers."""
    rows = layers()
    level = next(index for index, row in enumerate(rows) if folder in row)
    lower = set().union(*rows[level + 1 :])
    return lower | {folder} | ({"diffusion"} if folder == "backbones" else set())


# Prints, per folder, the names in `sys.modules` after importing it; each import happens in a fork of its own.
PROBE = """
import os, sys
for name in sys.argv[1].split():
    __import__(name)
for folder in sys.argv[2:]:
    if os.fork() == 0:
        __import__("diff4splat." + folder)
        print(folder, *sys.modules, flush=True)
        os._exit(0)
    os.wait()
"""


def loaded_with(folders: list[str], *, before: str = "torch", root: Path = ROOT) -> dict[str, set[str]]:
    """Modules loaded once each folder is imported in a new interpreter, in `root`, with `before` alone."""
    command = [sys.executable, "-c", PROBE, before, *folders]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {row[0]: set(row[1:]) for row in rows}


def violations(folder: str, loaded: set[str]) -> list[str]:
    """What must not have been loaded with `folder`, in words."""
    parts = {name.split(".")[1] for name in loaded if name.startswith("diff4splat.")}
    top_level = {name.partition(".")[0] for name in loaded}
    return [f"diff4splat.{name}" for name in sorted(parts - allowed(folder))] + sorted(top_level & HEAVY)


def write_package(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_every_folder_has_a_layer() -> None:
    placed = set().union(*layers())
    assert set(parts()) <= placed


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    return loaded_with(parts())


@pytest.mark.parametrize("folder", parts())
def test_folder_loads_nothing_beside_or_above_it(folder: str, loaded: dict[str, set[str]]) -> None:
    assert folder in loaded, "the folder cannot be imported"
    assert violations(folder, loaded[folder]) == []


def test_the_check_can_fail(tmp_path: Path) -> None:
    write_package(
        tmp_path,
        {
            "diff4splat/__init__.py": "",
            "diff4splat/losses/__init__.py": "import diff4splat.pipelines, diff4splat.rendering",
            "diff4splat/pipelines/__init__.py": "import roma",
            "diff4splat/rendering/__init__.py": "import gsplat",
            "gsplat.py": "",
            "roma.py": "",
        },
    )
    loaded = loaded_with(["losses"], before="", root=tmp_path)
    assert violations("losses", loaded["losses"]) == [
        "diff4splat.pipelines",
        "diff4splat.rendering",
        "gsplat",
        "roma",
    ]


def test_the_check_accepts_a_lower_layer(tmp_path: Path) -> None:
    write_package(
        tmp_path,
        {
            "diff4splat/__init__.py": "",
            "diff4splat/losses/__init__.py": "import diff4splat.hub",
            "diff4splat/hub/__init__.py": "",
        },
    )
    loaded = loaded_with(["losses"], before="", root=tmp_path)
    assert violations("losses", loaded["losses"]) == []


def test_top_level_loads_no_part_and_no_torch() -> None:
    code = "import diff4splat, sys; dir(diff4splat); print(*sys.modules)"
    names = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert not {name for name in names if name.startswith("diff4splat.")}
    assert not {name.partition(".")[0] for name in names} & (HEAVY | {"torch", "numpy"})


def test_lazy_names_match_what_type_checkers_see() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    homes = {alias.name: node.module for node in block.body for alias in node.names}
    assert homes == diff4splat._HOMES
    assert set(homes) == set(diff4splat.__all__)
    assert set(diff4splat.__all__) | {"__version__"} <= set(dir(diff4splat))


@pytest.mark.parametrize("name", sorted(diff4splat.__all__))
def test_lazy_name_is_the_folder_s_own(name: str) -> None:
    assert getattr(diff4splat, name) is getattr(import_module(diff4splat._HOMES[name]), name)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'gaussian'"):
        diff4splat.gaussian  # noqa: B018
