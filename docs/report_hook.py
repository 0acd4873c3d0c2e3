"""MkDocs hook: the example report, as an evaluation of three scenes wrote it.

The folder of the evaluation is named by DIFF4SPLAT_REPORT; continuous integration makes one before it builds
these pages. Without it the page says how to make one.
"""

import os
import re
from pathlib import Path
from typing import Any

PAGE, PLACE = "example_report.md", re.compile(r"<!-- report: .*? -->")
COMMAND = "diff4splat evaluate --model compact --scenes 3 --output evaluation/"
FULL = "evaluation_report/report.html"
MISSING = f"""These pages were built without an evaluation. To have it here:

```bash
{COMMAND}
DIFF4SPLAT_REPORT=evaluation/ mkdocs build
```
"""


def folder() -> Path | None:
    """Folder of the evaluation, if there is one."""
    named = os.environ.get("DIFF4SPLAT_REPORT")
    if not named:
        return None
    path = Path(named)
    if not (path / "report.html").is_file() or not (path / "report.md").is_file():
        raise FileNotFoundError(
            f"DIFF4SPLAT_REPORT must name a folder with report.html and report.md: {named}"
        )
    return path


def on_files(files: Any, config: Any) -> Any:
    """The page of the report beside the others, as it is."""
    path = folder()
    if path is not None:
        from mkdocs.structure.files import File

        files.append(File.generated(config, FULL, abs_src_path=str(path / "report.html")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The text of the report, one level of headings lower, or how to make one."""
    if page.file.src_uri != PAGE:
        return markdown
    path = folder()
    if path is None:
        return PLACE.sub(lambda _: MISSING, markdown)
    text = re.sub(r"^#", "##", (path / "report.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    above = f"Written by `{COMMAND}` when these pages were built. "
    above += f"[The page itself]({FULL}) has plots and frames as well.\n\n"
    return PLACE.sub(lambda _: above + text, markdown)
