"""What the paper and its supplement published: Tables 1, 2, 3, 4 and 6, and Table 3 of the supplement.

Numbers are kept as the texts that are printed there. Table 2 of the supplement repeats Table 6 of the paper.

What the sources say differently of one thing:

- App. F and supp. Sec. 5 say that Mosca takes 0.5 hours and that ours is 60 times faster. Tables 1 and 2 say
  45 minutes, which is 90 times, for AC3D and Mosca together.
- Tables 1 and 2 print consistency times 100, Table 3 of the supplement from 0 to 1, with fewer digits.
- Sec. 4.2 matches points "between input views and generated novel views", App. D "frame-to-frame".
- Table 3 calls the rival "Implicit 3D Models"; the text around it and Table 6 say that it is AC3D.
- App. D gives QA-Quality the range from 0 to 5; the scorer it names gives numbers from 0 to 1 or 1 to 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from diff4splat.evaluation.protocol.scores import CAPABILITIES

__all__ = ["PUBLISHED_TABLES", "PublishedColumn", "PublishedRow", "PublishedTable"]

_VIDEO = "Camera-controlled video generation"
_EXPLICIT = "Explicit 3DGS representation"


@dataclass(frozen=True)
class PublishedColumn:
    """A column of a published table.

    Args:
        key: Key of `METRICS` or of `CAPABILITIES`.
        title: Its heading, with the unit.
        better: Whether larger or smaller numbers are better; None for capabilities.
        digits: Digits after the point that measured numbers get.
        scale: What numbers of `METRICS` are multiplied with to be on the scale of the table.
        note: What is not known of it, or how numbers were brought to its scale, in words; empty if nothing.
    """

    key: str
    title: str
    better: Literal["higher", "lower"] | None = None
    digits: int = 2
    scale: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class PublishedRow:
    """A method in a published table.

    Args:
        method: Its name.
        values: Numbers as printed, by key of the column.
        group: Heading under which it stands; empty if the table has none.
        optimized: Whether it optimises for each scene.
    """

    method: str
    values: Mapping[str, str] = field(hash=False)
    group: str = ""
    optimized: bool = False

    def number(self, key: str) -> float:
        """One of its values as a number.

        Args:
            key: Key of the column; not one of a capability.

        Returns:
            The number; times are in the unit of `METRICS`, which is seconds or milliseconds.

        Raises:
            KeyError: If the row has no such value.
        """
        text = self.values[key]
        for unit, factor in (("min", 60.0), ("ms", 1.0), ("dB", 1.0), ("s", 1.0)):
            if text.endswith(unit):
                return float(text.removesuffix(unit)) * factor
        return float(text)


@dataclass(frozen=True)
class PublishedTable:
    """A published table.

    Args:
        name: Its number, such as "Table 1".
        title: What it shows.
        columns: Its columns.
        rows: Its methods, in order.
    """

    name: str
    title: str
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]


def _row(
    columns: tuple[PublishedColumn, ...], method: str, values: str, group: str = "", optimized: bool = False
) -> PublishedRow:
    """A row from its values with two blanks or more between them."""
    texts = [text.strip() for text in values.split("  ") if text.strip()]
    named = {column.key: text for column, text in zip(columns, texts, strict=True)}
    return PublishedRow(method, named, group, optimized)


def _capability(key: str) -> PublishedColumn:
    return PublishedColumn(key, CAPABILITIES[key])


_FVD = PublishedColumn("fvd", "FVD", "lower", 3, note="The paper does not say how frames were resized.")
_KVD = PublishedColumn(
    "kvd",
    "KVD",
    "lower",
    3,
    note="The paper does not give the scale of the kernel; ours divides by the length of the features.",
)
_CLIP = PublishedColumn("clip_score", "CLIP-Score", "higher", 3, note="The paper names no CLIP network.")
_AESTHETIC = PublishedColumn(
    "clip_aesthetic", "CLIP-Aesthetic", "higher", 3, note="The paper does not say which aesthetic head."
)
_QUALITY = PublishedColumn(
    "qa_quality",
    "QA-Quality",
    "higher",
    3,
    note='The paper says "0 to 5"; ours is from 1 to 5, and is not converted.',
)
_MATCHES = PublishedColumn(
    "matches_first",
    "Avg. matches",
    "higher",
    2,
    note='The paper says both "input views and novel views" and "frame-to-frame"; ours is frame 0 against '
    "each later frame. It gives no density of the matches.",
)
_FROZEN = "Frames that do not move get the most; the flow magnitude says how much they move."
_SEGMENTED = f"The paper segments frames before, it does not say how, and names no network. {_FROZEN}"
_SUBJECT = PublishedColumn(
    "subject_consistency",
    "Subject consistency",
    "higher",
    2,
    100.0,
    f"Ours is multiplied by 100, as in the paper. {_SEGMENTED}",
)
_BACKGROUND = PublishedColumn(
    "background_consistency",
    "Background consistency",
    "higher",
    2,
    100.0,
    f"Ours is multiplied by 100, as in the paper. {_SEGMENTED}",
)
_SUBJECT_SHARE = PublishedColumn(
    "subject_consistency", "Subject consistency", "higher", 2, note=f"From 0 to 1 here. {_SEGMENTED}"
)
_BACKGROUND_SHARE = PublishedColumn(
    "background_consistency", "Background consistency", "higher", 2, note=f"From 0 to 1 here. {_SEGMENTED}"
)
_TIME = PublishedColumn(
    "reconstruction_seconds",
    "Rec. time",
    "lower",
    2,
    note="On other machines than ours, with other sizes of images and models.",
)
_MISLED = (
    "Objects that move mislead estimators: real clips show by how much, clips with time frozen do without."
)
_TRANSLATION = PublishedColumn(
    "rpe_translation_mean",
    "Avg. RPE, translation",
    "lower",
    4,
    note="The paper gives no unit, no gap between frames, and does not say how the scale was fitted. "
    f"{_MISLED}",
)
_ROTATION = PublishedColumn(
    "rpe_rotation_mean_deg",
    "Avg. RPE, rotation",
    "lower",
    4,
    note=f"The paper gives no unit; ours is in degrees. {_MISLED}",
)
_LATENCY = PublishedColumn(
    "latency_ms",
    "Interactive latency",
    "lower",
    2,
    note="Ours is from a new camera to its frame. The 28000 ms of AC3D are for a whole new video.",
)
_CYCLE = PublishedColumn(
    "cycle_psnr_running",
    "Cycle consistency",
    "higher",
    2,
    note="The paper does not say whether time goes on along the closed path; ours does.",
)

_TABLE_1 = (_FVD, _KVD, _CLIP, _AESTHETIC, _QUALITY, _TIME)
_TABLE_2 = (_MATCHES, _SUBJECT, _BACKGROUND, _TIME)
_TABLE_3 = (
    _TRANSLATION,
    _ROTATION,
    _capability("novel_view_synthesis"),
    _capability("depth_rasterization"),
    _capability("real_time_interaction"),
)
_TABLE_4 = (_FVD, _KVD, _QUALITY, _MATCHES, _SUBJECT, _BACKGROUND, _TIME)
_TABLE_6 = (*map(_capability, CAPABILITIES), _LATENCY, _MATCHES, _SUBJECT, _BACKGROUND, _CYCLE)
_SUPPLEMENT_3 = (_FVD, _KVD, _SUBJECT_SHARE, _BACKGROUND_SHARE)

PUBLISHED_TABLES: tuple[PublishedTable, ...] = (
    PublishedTable(
        "Table 1",
        "Appearance fidelity and aesthetic quality",
        _TABLE_1,
        (
            _row(_TABLE_1, "CameraCtrl", "478.192  8.105  19.365  2.965  1.894  20s", _VIDEO),
            _row(_TABLE_1, "AC3D", "339.431  6.342  20.673  3.324  2.158  28s", _VIDEO),
            _row(
                _TABLE_1,
                "AC3D + Shape of Motion",
                "373.045  6.511  16.201  3.043  1.838  18min",
                _EXPLICIT,
                True,
            ),
            _row(_TABLE_1, "AC3D + SaV", "327.122  5.816  19.018  4.371  2.382  35min", _EXPLICIT, True),
            _row(_TABLE_1, "AC3D + Mosca", "235.961  2.012  20.214  4.999  2.842  45min", _EXPLICIT, True),
            _row(_TABLE_1, "Diff4Splat", "210.153  2.316  23.123  5.231  2.813  30s", _EXPLICIT),
        ),
    ),
    PublishedTable(
        "Table 2",
        "Geometric integrity",
        _TABLE_2,
        (
            _row(_TABLE_2, "CameraCtrl", "2015.82  72.25  74.53  20s", _VIDEO),
            _row(_TABLE_2, "AC3D", "2489.16  75.64  75.91  28s", _VIDEO),
            _row(_TABLE_2, "AC3D + Shape of Motion", "2874.22  83.13  83.33  18min", _EXPLICIT, True),
            _row(_TABLE_2, "AC3D + SaV", "3035.43  85.96  84.23  35min", _EXPLICIT, True),
            _row(_TABLE_2, "AC3D + Mosca", "4500.68  86.23  90.43  45min", _EXPLICIT, True),
            _row(_TABLE_2, "Diff4Splat", "5114.22  88.32  89.89  30s", _EXPLICIT),
        ),
    ),
    PublishedTable(
        "Table 3",
        "Relative pose error",
        _TABLE_3,
        (
            _row(_TABLE_3, "Implicit 3D models (AC3D)", "3.001  0.810  yes  no  no"),
            _row(_TABLE_3, "Diff4Splat (explicit 3D representation)", "0.012  0.008  yes  yes  yes"),
        ),
    ),
    PublishedTable(
        "Table 4",
        "Ablation of the motion loss",
        _TABLE_4,
        (
            _row(_TABLE_4, "without motion loss", "351.382  3.351  2.145  4821.56  82.45  85.12  30s"),
            _row(_TABLE_4, "Diff4Splat", "210.153  2.316  2.813  5114.22  88.32  89.89  30s"),
        ),
    ),
    PublishedTable(
        "Table 6",
        "Capabilities",
        _TABLE_6,
        (
            _row(
                _TABLE_6,
                "AC3D (implicit 3D models)",
                "yes  no  no  no  28000 ms  2489.16  75.64  75.91  20.68 dB",
            ),
            _row(
                _TABLE_6,
                "Diff4Splat (explicit 4D representation)",
                "yes  yes  yes  yes  6.7 ms  5114.22  88.32  89.89  34.5 dB",
            ),
        ),
    ),
    PublishedTable(
        "Supplement, Table 3",
        "Two stages, separate and joint training",
        _SUPPLEMENT_3,
        (
            _row(_SUPPLEMENT_3, "Two-stage (generated video, then 4DGT)", "245.3  3.42  0.82  0.83"),
            _row(_SUPPLEMENT_3, "Diff4Splat (frozen LDRM, trained diffusion)", "231.5  3.10  0.85  0.86"),
            _row(_SUPPLEMENT_3, "Diff4Splat (joint training)", "210.2  2.32  0.88  0.90"),
        ),
    ),
)
"""Tables of the paper and of its supplement, in order."""
