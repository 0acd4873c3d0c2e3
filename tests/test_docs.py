"""The documentation covers every part, and README.md holds the two commands that .ci/run reads from it."""

import re
import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest
from api_surface import parts, public_names
from hub.server import HubServer, run_client

from diff4splat.cli import COMMANDS, GENERATED_FILES

ROOT = Path(__file__).parents[1]
# Pages of the paper's blocks that must be there.
BLOCKS = [
    *("attention", "camera_conditioning", "deformation_module", "deformation_operations"),
    *("guidance", "hub", "ldrm", "losses"),
]
GUIDES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
GUIDES += [f"docs/datasets/{path.name}" for path in sorted((ROOT / "docs" / "datasets").glob("*.md"))]
GUIDES.remove("docs/held_out.md")  # its code is for a model of the reader's own


def python_blocks(page: str) -> list[tuple[int, str]]:
    """Line number and code of each ```python block, without the examples, which have tests of their own."""
    text = (ROOT / page).read_text()
    found = re.finditer(r"^( *)```python\n(.*?)^\1```$", text, flags=re.MULTILINE | re.DOTALL)
    blocks = [(text.count("\n", 0, match.start(2)) + 1, textwrap.dedent(match[2])) for match in found]
    return [(line, code) for line, code in blocks if not code.startswith("--8<--")]


def run_blocks(page: str) -> None:
    """Run the blocks of a page from top to bottom in one namespace; tracebacks show the lines of the page."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for line, code in python_blocks(page):
        exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), namespace)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs" / "blocks").glob("*.md")))
def test_page_of_a_block_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page != "hub.md":
        run_blocks(f"docs/blocks/{page}")
        return
    with HubServer().running() as address:  # the Hub of a process is read from the environment at its start
        code = "from test_docs import run_blocks; run_blocks('docs/blocks/hub.md')"
        run_client(code, address, tmp_path / "home")


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize("page", GUIDES)
def test_guide_runs_beside_the_examples(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples" / "photos", tmp_path / "examples" / "photos")
    monkeypatch.chdir(tmp_path)
    run_blocks(page)


@pytest.mark.parametrize("name", BLOCKS)
def test_block_has_a_page_with_code_in_the_navigation(name: str) -> None:
    assert python_blocks(f"docs/blocks/{name}.md")
    assert f"blocks/{name}.md\n" in (ROOT / "mkdocs.yml").read_text()


@pytest.mark.parametrize("part", [part for part in parts() if part != "cli"])
def test_every_part_has_a_page_in_the_navigation(part: str) -> None:
    assert f"::: diff4splat.{part}\n" in (ROOT / "docs" / "api" / f"{part}.md").read_text()
    assert f"api/{part}.md" in (ROOT / "mkdocs.yml").read_text()


@pytest.mark.parametrize("part", parts())
def test_a_name_that_a_file_shares_is_asked_for_by_itself(part: str) -> None:
    # mkdocstrings takes `render` in rendering for the file of that name and leaves the function out
    shared = [name for name in public_names()[f"diff4splat.{part}"] if is_file_of(part, name)]
    page = (ROOT / "docs" / "api" / f"{part}.md").read_text() if shared else ""
    assert [name for name in shared if f"\n::: diff4splat.{part}.{name}" not in page] == []


def is_file_of(part: str, name: str) -> bool:
    return (ROOT / "diff4splat" / part / f"{name}.py").is_file()


def test_every_page_of_a_part_has_the_part() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")}
    assert pages <= set(parts())


@pytest.mark.parametrize("name", BLOCKS)
def test_code_of_a_block_fits_the_column_of_the_page(name: str) -> None:
    lines = [line for _, code in python_blocks(f"docs/blocks/{name}.md") for line in code.splitlines()]
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("name", BLOCKS)
def test_pages_of_blocks_follow_one_plan(name: str) -> None:
    page = (ROOT / "docs" / "blocks" / f"{name}.md").read_text()
    assert "Reach for " in page.partition("\n## ")[0]
    headings = re.findall(r"^## (.*)$", page, flags=re.MULTILINE)
    assert headings[0] == "Example" and headings[-1] == "Limits"
    end = page.rpartition("\n## Limits\n")[2]
    assert f"[`examples/alone/{name}.py`](../examples.md#" in end and "All signatures:" in end


def test_page_of_examples_shows_every_example() -> None:
    page = (ROOT / "docs" / "examples.md").read_text()
    shown = set(re.findall(r'^--8<-- "(.*)"$', page, flags=re.MULTILINE))
    assert shown == {str(path.relative_to(ROOT)) for path in (ROOT / "examples").rglob("*.py")}


def test_readme_holds_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    generate, tests = [line for line in lines if line.startswith("python -m pip install")]
    words = shlex.split(generate)
    assert words[:7] == ["python", "-m", "pip", "install", ".", "&&", "diff4splat"]
    assert (ROOT / words[8]).is_file(), "the photograph of the first command is in the repository"
    assert shlex.split(tests) == ["python", "-m", "pip", "install", ".[test]", "&&", "python", "-m", "pytest"]


def test_links_between_files_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert broken == []


def test_command_page_tells_every_command_and_file() -> None:
    page = (ROOT / "docs" / "command_line.md").read_text()
    listed = re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE)
    assert listed == [*COMMANDS, *GENERATED_FILES]
