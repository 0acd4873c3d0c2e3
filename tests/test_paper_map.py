"""docs/paper_map.md tells the truth: what it names is there, gradients are tested, no equation is missing."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "paper_map.md"


def rows() -> list[list[str]]:
    """Cells of the equations' table: paper, equation, file, function, test."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert cells[0] == ["paper", "equation", "file", "function", "test"]
    return cells[2:]


def quoted(cell: str) -> list[str]:
    """Words in back quotes."""
    return re.findall(r"`([^`]+)`", cell)


def definitions(path: Path) -> set[str]:
    """Names that a file defines at top level, and `Class.name` for what its classes define."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        names |= {name for name in defined(node)}
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}" for child in node.body for name in defined(child)}
    return names


def defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [ast.unparse(node.target)]
    return [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []


def missing(row: list[str]) -> list[str]:
    """What the row names and the repository lacks."""
    _, _, (file,), functions, tests = row[0], row[1], quoted(row[2]), quoted(row[3]), quoted(row[4])
    if not (ROOT / file).is_file():
        return [file]
    lacking = [name for name in functions if name not in definitions(ROOT / file)]
    for test in tests:
        test_file, _, name = test.partition("::")
        if not (ROOT / test_file).is_file() or name not in definitions(ROOT / test_file):
            lacking.append(test)
    return lacking


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_row_names_what_exists(row: list[str]) -> None:
    assert quoted(row[3]) and quoted(row[4]), "a row names at least one function and one test"
    assert missing(row) == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_row_tests_a_gradient_or_says_why_there_is_none(row: list[str]) -> None:
    tested = any("gradient" in test.partition("::")[2] for test in quoted(row[4]))
    assert tested or "no gradient" in row[4] or "no equation" in row[4]


def empty_cells(table: list[list[str]]) -> list[str]:
    """First cell, or whole row, of rows that are not five cells with something in each."""
    return [row[0] or str(row) for row in table if len(row) != 5 or not all(row)]


def test_no_cell_is_empty() -> None:
    assert empty_cells(rows()) == []
    assert empty_cells([["paper", "", "file", "function", "test"], ["", "", "", "", ""]]) == [
        "paper",
        "['', '', '', '', '']",
    ]


def test_every_public_equation_has_a_row() -> None:
    named = {(quoted(row[2])[0], name.partition(".")[0]) for row in rows() for name in quoted(row[3])}
    lacking = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sorted((ROOT / "diff4splat").rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and "$$" in (ast.get_docstring(node) or "")
        and (path.relative_to(ROOT).as_posix(), node.name) not in named
    ]
    assert lacking == []


def test_the_check_can_fail() -> None:
    function = "`pearson_depth_loss`"
    assert missing(["", "", "`diff4splat/nowhere.py`", function, "`tests/nowhere.py::test_x`"]) == [
        "diff4splat/nowhere.py"
    ]
    assert missing(["", "", "`tests/test_paper_map.py`", function, "`tests/test_paper_map.py::test_x`"]) == [
        "pearson_depth_loss",
        "tests/test_paper_map.py::test_x",
    ]
