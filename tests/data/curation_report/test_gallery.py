"""Which clips and pictures a report holds."""

import base64
import json
from collections import Counter

import pytest

from diff4splat.data.curation_report.gallery import gallery_data, picture_address, spread
from diff4splat.data.stages import Outcome

JPEG = b"\xff\xd8\xff\xe0 picture"


def test_spread_is_even() -> None:
    groups = ["a"] * 1000 + ["b"] * 7 + ["c"] * 2 + ["d"] * 100
    found = spread(groups, 41)
    assert len(found) == len(set(found)) == 41 and found == sorted(found)
    assert Counter(groups[place] for place in found) == {"a": 16, "b": 7, "c": 2, "d": 16}
    assert found[0] == 0 and found[15] == 999  # from the first to the last of the group


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (3, 3), (9, 9), (11, 9)])
def test_spread_keeps_to_its_limit(limit: int, count: int) -> None:
    found = spread([*"aaaaabbcd"], limit)
    assert len(found) == count
    assert len({"aaaaabbcd"[place] for place in found}) == min(limit, 4)


def outcomes() -> list[Outcome]:
    kept = [Outcome(f"k{i}", "kept", "encode", "", {"x": i}) for i in range(29)]
    far = [Outcome(f"r{i}", "rejected", "judge", f"error {i} px") for i in range(5)]
    bad = [Outcome(f"f{i}", "failed", "read", f"no file /a/{i}") for i in range(3)]
    return [*kept, *far, *bad]


class Counted(dict):  # type: ignore[type-arg]
    """Previews that remember which were asked for."""

    asked: list[str]

    def __getitem__(self, uid: str) -> bytes:
        self.asked.append(uid)
        return super().__getitem__(uid)


def test_pictures_are_of_every_kind_and_only_those_shown_are_read() -> None:
    previews = Counted({f"{letter}{i}": JPEG for letter in "krf" for i in range(1, 29)})
    previews.asked = []
    data = gallery_data(outcomes(), previews, max_clips=17, max_pictures=7)
    shown = [data["clips"][int(place)] for place in data["pictures"]]
    assert Counter(clip["status"] for clip in shown) == {"kept": 3, "rejected": 2, "failed": 2}
    assert set(previews.asked) == {clip["uid"] for clip in shown}
    assert len(data["clips"]) == 17
    assert {clip["uid"] for clip in data["clips"]} >= {"f0", "f1", "f2"}
    order = [row.uid for row in outcomes()]
    assert [clip["uid"] for clip in data["clips"]] == sorted(
        (c["uid"] for c in data["clips"]), key=order.index
    )


def test_data_are_json() -> None:
    rows = [Outcome("a", "rejected", "s", "bad", {"x": float("nan"), "dataset": "d"}, {"s": 0.5})]
    data = json.loads(json.dumps(gallery_data(rows, {}, max_clips=5, max_pictures=5), allow_nan=False))
    assert data == {
        "metrics": ["x", "dataset"],
        "stages": ["s"],
        "datasets": ["d"],
        "kinds": ["bad"],
        "clips": [
            {
                "uid": "a",
                "status": "rejected",
                "stage": "s",
                "reason": "bad",
                "dataset": 0,
                "kind": 0,
                "values": ["nan", "d"],
                "seconds": [0.5],
            }
        ],
        "pictures": {},
    }


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (JPEG, "jpeg"),
        (b"\x89PNG\r\n\x1a\n...", "png"),
        (b"RIFF\x04\0\0\0WEBP", "webp"),
        (b"RIFF\x04\0\0\0WAVE", None),
        (b"<svg>", None),
        (b"", None),
    ],
)
def test_address_of_a_picture(picture: bytes, kind: str | None) -> None:
    if kind is None:
        with pytest.raises(ValueError, match=rf"previews\['a'\] must be a JPEG.*{len(picture)} bytes"):
            picture_address("a", picture)
        return
    start, _, end = picture_address("a", picture).partition(",")
    assert start == f"data:image/{kind};base64" and base64.b64decode(end) == picture
