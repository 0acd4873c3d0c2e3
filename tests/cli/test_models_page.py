"""The page of video models shows what `diff4splat models` prints."""

from pathlib import Path

import pytest

from diff4splat.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "video_models.md"


def test_page_shows_the_table(without_shape_checker: None, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models"])
    printed = capsys.readouterr().out.splitlines()
    table = printed[: printed.index("")]
    here = table[0].index("missing")  # what is missing depends on the machine
    wanted = [line[:here].rstrip() for line in table]
    page = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- models: begin -->\n```text\n", "\n```\n<!-- models: end -->"
    assert page[page.index(begin) + len(begin) : page.index(end)].splitlines() == wanted
