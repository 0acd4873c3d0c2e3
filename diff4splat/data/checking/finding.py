"""What a check says: a number, its limit, and a verdict in words."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Verdict"]

Verdict = Literal["holds", "fails", "cannot tell"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at in a recording.

    Args:
        name: What it is about.
        verdict: Whether it is as it should be.
        words: What was seen, or why nothing can be said.
        value: What was measured, in `unit`; None where nothing was.
        limit: What `value` should be, such as "at most 2".
        unit: Unit of `value`, or empty.
    """

    name: str
    verdict: Verdict
    words: str = ""
    value: float | None = None
    limit: str = ""
    unit: str = ""

    @property
    def shown(self) -> str:
        """The number with its unit, for people; "-" where there is none."""
        return "-" if self.value is None else f"{self.value:.3g} {self.unit}".rstrip()
