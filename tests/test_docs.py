"""The documentation covers every part, and README.md holds the two commands that .ci/run reads from it."""

import re
import shlex
from pathlib import Path

import pytest
from api_surface import parts

from diff4splat.cli import COMMANDS, GENERATED_FILES

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("part", [part for part in parts() if part != "cli"])
def test_every_part_has_a_page_in_the_navigation(part: str) -> None:
    assert f"::: diff4splat.{part}\n" in (ROOT / "docs" / "api" / f"{part}.md").read_text()
    assert f"api/{part}.md" in (ROOT / "mkdocs.yml").read_text()


def test_every_page_of_a_part_has_the_part() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")}
    assert pages <= set(parts())


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
