"""What was found in a dataset, as text for people and as JSON for programs."""

import json
from dataclasses import dataclass
from typing import Any

from diff4splat.data.checking.finding import Finding, Verdict
from diff4splat.data.checking.reprojection import View

__all__ = ["MISSING", "CheckReport", "RecordingCheck"]

MISSING = "frames missing"
"""The finding on a recording whose frames have to be fetched first."""


@dataclass(frozen=True, eq=False)
class RecordingCheck:
    """What was found in a recording.

    Args:
        name: As the reader calls it.
        num_frames: Frames that were looked at; 0 if it could not be read.
        findings: In the order in which they were made.
        view: The frames that agree worst, to look at; None where frames cannot be compared.
    """

    name: str
    num_frames: int
    findings: tuple[Finding, ...]
    view: View | None = None

    @property
    def verdict(self) -> Verdict:
        """What all findings come to: one that fails decides; with nothing compared, nobody can tell."""
        verdicts = {finding.verdict for finding in self.findings}
        if "fails" in verdicts:
            return "fails"
        compared = ("depth from frame to frame", "tracks onto pixels", "tracks onto depth")
        told = any(item.verdict == "holds" for item in self.findings if item.name in compared)
        return "holds" if told else "cannot tell"


@dataclass(frozen=True, eq=False)
class CheckReport:
    """What was found in a dataset.

    Args:
        dataset: Name of the dataset, as in `DATASETS`.
        title: Its name for people.
        licence: Tag of its licence.
        folder: Where it was looked for.
        num_recordings: Recordings that there are.
        recordings: Those that were looked at.
    """

    dataset: str
    title: str
    licence: str
    folder: str
    num_recordings: int
    recordings: tuple[RecordingCheck, ...]

    @property
    def verdict(self) -> Verdict:
        """What all recordings come to: one that fails decides, then one that holds."""
        verdicts = {check.verdict for check in self.recordings}
        return "fails" if "fails" in verdicts else "holds" if "holds" in verdicts else "cannot tell"

    def sentence(self) -> str:
        """The verdict in one sentence.

        Returns:
            Such as "conventions of TartanAir (v1) hold (3 recordings looked at, 41 in all)".
        """
        count = len(self.recordings)
        looked = f"{count} recording{'s' * (count != 1)} looked at, {self.num_recordings} in all"
        absent = [check for check in self.recordings if any(item.name == MISSING for item in check.findings)]
        failing = [check for check in self.recordings if check.verdict == "fails" and check not in absent]
        if absent and not failing:
            others = "; conventions of the others hold" * any(x.verdict == "holds" for x in self.recordings)
            return f"frames of {self.title} are missing in {len(absent)} ({looked}){others}"
        if not failing:
            if self.verdict == "holds":
                return f"conventions of {self.title} hold ({looked})"
            return (
                f"conventions of {self.title} remain unknown: nothing fails, but frames cannot be compared "
                f"({looked})"
            )
        found = [item for check in failing for item in check.findings if item.verdict == "fails"]
        hints = dict.fromkeys(item.words for item in found if item.words.startswith("as if "))
        names = dict.fromkeys(item.name for item in found)
        what = "; ".join(hints) if hints else ", ".join(names)
        more = f"; frames are missing in {len(absent)}" if absent else ""
        return f"conventions of {self.title} fail in {len(failing)} ({looked}): {what}{more}"

    def to_text(self) -> str:
        """A table of findings for each recording, and the verdict.

        Returns:
            Aligned lines.
        """
        lines = [f"{self.title} in {self.folder}: {self.num_recordings} recordings, licence {self.licence}"]
        for check in self.recordings:
            frames = f", {check.num_frames} frames looked at" if check.num_frames else ""
            lines += ["", f"{check.name}{frames}: {check.verdict}"]
            cells = [(item.name, item.verdict, item.shown, item.limit) for item in check.findings]
            widths = [max(len(row[column]) for row in cells) for column in range(4)]
            for item, row in zip(check.findings, cells, strict=True):
                text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                lines.append(f"  {text}  {item.words}".rstrip())
        return "\n".join([*lines, "", self.sentence()])

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values.

        Returns:
            Nested dicts and lists; pictures are left out.
        """
        return {
            "dataset": self.dataset,
            "title": self.title,
            "licence": self.licence,
            "folder": self.folder,
            "num_recordings": self.num_recordings,
            "verdict": self.verdict,
            "sentence": self.sentence(),
            "recordings": [
                {
                    "name": check.name,
                    "num_frames": check.num_frames,
                    "verdict": check.verdict,
                    "findings": [_as_json(item) for item in check.findings],
                }
                for check in self.recordings
            ],
        }

    def to_json(self) -> str:
        """The same as a text of JSON.

        Returns:
            One object.
        """
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1, allow_nan=False)


def _as_json(item: Finding) -> dict[str, Any]:
    value = item.value if item.value is None or abs(item.value) < float("inf") else None
    return {
        "name": item.name,
        "verdict": item.verdict,
        "value": value,
        "limit": item.limit,
        "unit": item.unit,
        "words": item.words,
    }
