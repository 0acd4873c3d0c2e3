"""Counts of outcomes, and reasons that are put together."""

import pytest

from diff4splat.data.curation_report import (
    CurationSummary,
    DatasetCount,
    ReasonCount,
    StageTime,
    reason_kind,
    summarize,
)
from diff4splat.data.stages import Outcome

OUTCOMES = [
    Outcome("a", "kept", "encode", metrics={"dataset": "spring"}, seconds={"read": 1.0, "encode": 2.0}),
    Outcome("b", "rejected", "judge", "error is 2.5 px, limit 2 px", {"dataset": "spring"}, {"read": 3.0}),
    Outcome("c", "rejected", "judge", "error is 17 px, limit 2 px", {"dataset": "dl3dv"}, {"read": 5.0}),
    Outcome("d", "rejected", "align", "error is 17 px, limit 2 px", {"dataset": 7}),
    Outcome("e", "failed", "read", "", seconds={"read": 7.0}),
    Outcome("f", "kept", "encode", metrics={"dataset": "dl3dv"}, seconds={"read": 11.0}, reused=True),
]


def test_counts() -> None:
    assert summarize(OUTCOMES) == CurationSummary(
        kept=2,
        rejected=3,
        failed=1,
        reused=1,
        datasets=(
            DatasetCount("", 0, 1, 1),
            DatasetCount("dl3dv", 1, 1, 0),
            DatasetCount("spring", 1, 1, 0),
        ),
        reasons=(
            ReasonCount("rejected", "judge", "error is # px, limit # px", 2, "error is 2.5 px, limit 2 px"),
            ReasonCount("failed", "read", "no reason given", 1, "no reason given"),
            ReasonCount("rejected", "align", "error is # px, limit # px", 1, "error is 17 px, limit 2 px"),
        ),
        stages=(StageTime("read", 4, 16.0), StageTime("encode", 1, 2.0)),
    )


def test_counts_do_not_depend_on_the_order() -> None:
    one, other = summarize(OUTCOMES), summarize(OUTCOMES[::-1])
    assert one.datasets == other.datasets and one.num_clips == other.num_clips == len(OUTCOMES)
    assert [(r.kind, r.stage, r.count) for r in one.reasons] == [
        (r.kind, r.stage, r.count) for r in other.reasons
    ]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("scale varies by 7.3 %, limit 5 %", "scale varies by # %, limit # %"),
        ("scale varies by 1e-06 %, limit -5. Sorry", "scale varies by # %, limit #. Sorry"),
        ("got inf, nan and −1,234.5", "got #, # and #"),
        ("information of nanites", "information of nanites"),
        ("frame scene_0012_left of 49x64", "frame # of #"),
        ("/a/b.png: no", "…: no"),
        ("no such file: C:\\a\\b c", "no such file: … c"),
        ("a/b/c, ./d and e/f.npz (g/h.txt).", "…, … and … (…)."),
        ("2 px/frame and/or 3 m/s", "# px/frame and/or # m/s"),
        ("can't read 'my clip 3' or \"x\"", "can't read … or …"),
        ("  two\n words ", "two words"),
        (" ", "no reason given"),
    ],
)
def test_kind_of_a_reason(reason: str, kind: str) -> None:
    assert reason_kind(reason) == kind
    assert reason_kind(kind) == kind


def test_text() -> None:
    lines = summarize(OUTCOMES).to_text().splitlines()
    assert lines[0] == (
        "6 clips: 2 kept (33.3 %), 3 rejected (50.0 %), 1 failed (16.7 %); 1 of them were there already"
    )
    assert lines[2:7] == [
        "dataset  clips  kept  rejected  failed  kept %",
        "-------  -----  ----  --------  ------  ------",
        "-            2     0         1       1     0.0",
        "dl3dv        2     1         1       0    50.0",
        "spring       2     1         1       0    50.0",
    ]
    assert lines[10] == "    2  33.3 %  rejected  judge  error is # px, limit # px"
    assert lines[-2:] == ["read        4     16.0         4", "encode      1      2.0         2"]


def test_text_of_nothing() -> None:
    assert summarize([]).to_text() == "0 clips: 0 kept (0.0 %), 0 rejected (0.0 %), 0 failed (0.0 %)"


def test_text_is_of_bounded_size_and_steers_no_terminal() -> None:
    words = ["".join(chr(97 + int(digit)) for digit in f"{number:03}") for number in range(47)]
    outcomes = [Outcome(word, "failed", "read", f"\x1b[2J {word} " + 300 * "x") for word in words]
    text = summarize(outcomes).to_text()
    assert text.endswith("and 27 more kinds of reasons, 27 clips")
    assert "\x1b" not in text and max(map(len, text.splitlines())) < 130


def test_names_of_recordings_with_spaces_make_no_kinds_of_their_own() -> None:
    reasons = {
        "my cat.mp4": "ValueError: /data/films/my cat.mp4 is cut off",
        "our old (wet) dog.mp4": "ValueError: our old (wet) dog.mp4 is cut off",
        "a b/c.mov": "ValueError: /data/films/a b/c.mov is cut off",
        "cut": "ValueError: /data/films/cut is cut off",
    }
    outcomes = [
        Outcome(name, "failed", "read", reason, {"recording": name}) for name, reason in reasons.items()
    ]
    (found,) = summarize(outcomes).reasons
    assert (found.kind, found.count) == ("ValueError: … is cut off", 4)
