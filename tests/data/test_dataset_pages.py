"""The pages about datasets say what the readers do: tags, names of facts, fields, code that can be run."""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

from diff4splat.data import DATASETS, DatasetReader, Recording

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "datasets"
OWN_FORMATS = {"npz"}  # the library's own files, which the guides describe
KEYS = sorted(DATASETS.keys() - OWN_FORMATS)
HEADINGS = [
    *("Licence", "Where to get it", "On disk", "What the reader gives", "Conventions"),
    *("Traps", "Check", "In Python", "Limits"),
]


def page(key: str) -> str:
    return (PAGES / f"{key}.md").read_text()


def section(key: str, heading: str) -> str:
    return page(key).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the rows of the first table, without its head."""
    table = re.search(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    lines = table[0].splitlines()[2:] if table else []
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def source(reader: type[DatasetReader]) -> str:
    return inspect.getsource(sys.modules[reader.__module__])


def test_every_dataset_has_a_page_and_every_page_a_dataset() -> None:
    navigation = re.findall(r"datasets/(\w+)\.md$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    assert sorted(navigation) == sorted([*KEYS, "index"])
    assert sorted(path.stem for path in PAGES.glob("*.md")) == sorted(navigation)


@pytest.mark.parametrize("key", KEYS)
def test_pages_follow_one_plan(key: str) -> None:
    assert re.findall(r"^## (.*)$", page(key), flags=re.MULTILINE) == HEADINGS
    assert f"](../images/datasets/{key}.jpg)" in page(key)
    assert (ROOT / "docs" / "images" / "datasets" / f"{key}.jpg").stat().st_size < 60_000
    assert len(section(key, "Traps").strip().splitlines()) > 3


@pytest.mark.parametrize("key", KEYS)
def test_licence_is_the_tag_of_the_reader(key: str) -> None:
    tag = re.match(r"\s*Tag of the reader: `([^`]+)`", section(key, "Licence"))
    assert tag is not None and tag[1] == DATASETS[key].licence


@pytest.mark.parametrize("key", KEYS)
def test_facts_on_a_page_are_those_of_the_reader(key: str) -> None:
    code = source(DATASETS[key])
    told = set(re.findall(r'facts\["(\w+)"\]', page(key)))
    assert [name for name in sorted(told) if f'"{name}"' not in code] == []
    # and the other way: what a reader writes into facts is on its page
    written = {
        str(name.value)
        for node in ast.walk(ast.parse(code))
        if (isinstance(node, ast.keyword) and node.arg == "facts")
        or (isinstance(node, ast.Assign | ast.AnnAssign) and "facts" in ast.unparse(node).split(" = ")[0])
        for name in (node.value.keys if isinstance(node.value, ast.Dict) else [])
        if isinstance(name, ast.Constant)
    }
    written |= set(re.findall(r'\bfacts\["(\w+)"\] =', code))
    assert sorted(written - told) == []


@pytest.mark.parametrize("key", KEYS)
def test_fields_on_a_page_are_those_that_the_reader_gives(key: str) -> None:
    # the arguments of Recording(...) in the reader, but for what every recording has
    code = ast.parse(source(DATASETS[key]))
    calls = [
        node
        for node in ast.walk(code)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Recording"
    ]
    given = {word.arg for call in calls for word in call.keywords} - {"name", "dataset", "licence", "unit"}
    told = {
        name for row in rows(section(key, "What the reader gives")) for name in re.findall(r"\w+", row[0])
    }
    assert calls and told <= Recording.__dataclass_fields__.keys()
    if "fps" in told and "fps" not in given:
        assert "None" in section(key, "What the reader gives")
    assert sorted(given - told - {"facts"}) == []
    assert sorted(told - given) == []


@pytest.mark.parametrize("key", KEYS)
def test_code_of_a_page_names_what_there_is(key: str) -> None:
    blocks = re.findall(r"^```py(?:thon)?\n(.*?)^```$", section(key, "In Python"), flags=re.M | re.S)
    assert blocks
    for node in ast.walk(ast.parse("\n".join(blocks))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("diff4splat"):
            module = importlib.import_module(str(node.module))
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_the_table_of_datasets_agrees_with_the_readers() -> None:
    table = rows((PAGES / "index.md").read_text().partition("\n## What is in them\n")[2])
    told = {}
    for row in table:
        link = re.fullmatch(r"\[(.+)\]\((\w+)\.md\)", row[0])
        assert link is not None and row[1] == f"`{link[2]}`"
        told[link[2]] = (link[1], row[2].strip("`"))
    assert told == {key: (DATASETS[key].title, DATASETS[key].licence) for key in KEYS}


def test_every_picture_can_be_made_again() -> None:
    drawn = ast.parse((PAGES / "make_pictures.py").read_text())
    tables = [node for node in drawn.body if isinstance(node, ast.AnnAssign)]
    scenes = next(node.value for node in tables if ast.unparse(node.target) == "SCENES")
    assert isinstance(scenes, ast.Dict)
    assert sorted(ast.literal_eval(name) for name in scenes.keys if name is not None) == KEYS
