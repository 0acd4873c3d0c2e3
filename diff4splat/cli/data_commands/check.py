"""`diff4splat data check`: which dataset a folder is, and whether its files mean what they should."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console
from diff4splat.cli.data_commands.check_picture import check_sheet
from diff4splat.cli.options import check_between
from diff4splat.cli.output import check_output_file, check_output_folder, staged_folder, writing

if TYPE_CHECKING:
    from diff4splat.data.checking import CheckReport

__all__ = ["Check"]

logger = logging.getLogger(__name__)

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_FILES = ("report.txt", "report.json", "frames.jpg")
_FAILS = 2


@dataclass(frozen=True)
class Check:
    """Look at a dataset before it is trained on: which one it is, and whether its conventions hold.

    It finds out which dataset a folder holds, reads a few recordings of it, spread over the folder, and
    measures: are rotations rotations, is the lens plausible, is the depth positive and free of marks for the
    sky, do tracks fall onto their pixels. Then it carries the depth of one frame into another, on what does
    not move, and compares it with the depth there. Where that fails, the usual mistakes are tried (direction
    and axes of the poses, ray distance, unit of the depth, half a pixel, poses one frame off), and the one
    that would make it hold is named.

    Each line of the table is a finding: holds, fails, or cannot tell, where a recording lacks what is needed,
    or its camera hardly moves. The exit status is 0 if nothing fails, and 2 if something does.

    In use:
      diff4splat data check tartanair/
      diff4splat data check tartanair/office/Easy/P000 --output frames.png
      diff4splat data check downloads/ --dataset tartanair --recordings 10 --output report/
      diff4splat data check downloads/ --json

    Args:
        path: The folder to check: that of the dataset, one above it, or that of one recording.
        dataset: Which dataset it is, as `diff4splat data list` calls it; found out when omitted.
        recordings: How many recordings of a dataset are looked at.
        output: Picture of the frames that agree worst, one row for each recording (.png, .jpg or .webp), or a
            folder for report.txt, report.json and frames.jpg.
        json: Print the report as JSON.
    """

    path: Annotated[Positional[Path], arg(metavar="PATH")]
    dataset: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    recordings: Annotated[int, arg(metavar="N")] = 3
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE|FOLDER", help_behavior_hint="")] = None
    json: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> int:
        """Check; the exit status says whether something fails."""
        check_between("--recordings", self.recordings, 1, 10_000)
        as_picture = self.output is not None and self.output.suffix.lower() in _PICTURES
        if self.output is not None:
            check_output_file(self.output) if as_picture else check_output_folder(self.output)
        with console.libraries():
            from diff4splat.data import find_datasets, open_dataset
            from diff4splat.data.checking import check_dataset
        names: list[str | None] = [self.dataset] if self.dataset else [*find_datasets(self.path)] or [None]
        reports = []
        for name in names:
            reader = open_dataset(self.path, name)
            with console.stage(f"check {reader.key}", min(self.recordings, len(reader.names))) as advance:
                reports.append(check_dataset(reader, num_recordings=self.recordings, callback=advance))
        found = json.dumps([report.to_dict() for report in reports], ensure_ascii=False, indent=1)
        text = "\n\n".join(report.to_text() for report in reports)
        console.print(found if self.json else text)
        if self.output is not None and as_picture:
            _draw(reports, self.output)
        elif self.output is not None:
            with staged_folder(self.output, _FILES) as staging:
                (staging / _FILES[0]).write_text(text + "\n", encoding="utf-8")
                (staging / _FILES[1]).write_text(found + "\n", encoding="utf-8")
                _draw(reports, staging / _FILES[2])
        return _FAILS if any(report.verdict == "fails" for report in reports) else 0


def _draw(reports: "list[CheckReport]", file: Path) -> None:
    """Write the picture of all reports; one that says so where nothing can be compared."""
    import torch

    from diff4splat.pictures import save_picture, stack_pictures
    from diff4splat.pictures.words import draw_words

    sheets = [check_sheet(report.recordings, title=report.sentence()) for report in reports]
    drawn = [sheet for sheet in sheets if sheet is not None]
    if not drawn:
        page = torch.ones(3, 60, 640)
        draw_words(page, "no two frames with depth and cameras can be compared", left=20, top=20, size=16)
        drawn = [page]
    with writing(file):
        save_picture(stack_pictures(drawn, gap=8), file)
