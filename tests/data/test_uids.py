"""Names of recordings and clips: of characters that can name a file, and no two alike."""

import hashlib

import pytest

from diff4splat.data.uids import check_uid, clip_uid, recording_uid


def test_names_of_recordings_can_name_files_and_no_two_are_alike() -> None:
    names = [
        "a/b",
        "a--b",
        "a-/b",
        "a/-b",
        "a_b",
        "a b",
        "a.b",
        "-x",
        "x-",
        "x",
        "é",
        "\udce9",  # a byte that is no UTF-8, as Python reads it from a folder
        "A/b",
        ".",
        "w" * 300,
        "w" * 301,
    ]
    uids = [recording_uid("dl3dv", name) for name in names]
    assert len(set(uids)) == len(names)
    assert [check_uid(uid) for uid in uids] == uids
    assert uids[0] == "dl3dv--a--b" and uids[4] == "dl3dv--a_b"
    assert recording_uid("dl3dv", "a b") == uids[5], "the same each time"


def test_names_of_clips_are_their_own() -> None:
    clips = [
        ("spring", "scene 0/left", (10, 13, 16)),
        ("spring", "scene 0/right", (10, 13, 16)),
        ("spring", "scene-0/left", (10, 13, 16)),
        ("vkitti2", "scene 0/left", (10, 13, 16)),
        ("spring", "scene 0/left", (10, 13)),
        ("spring", "scene 0/left", (10, 13, 17)),
        ("spring", "x" * 300, (10,)),
        ("spring", "x" * 301, (10,)),
        ("spring", "\u718a/\u718b", (10,)),
        ("spring", "\u718b/\u718a", (10,)),
        ("spring", "\udce9", (10**7,)),
        ("", "", ()),
    ]
    uids = [clip_uid(*clip) for clip in clips]
    assert len(set(uids)) == len(clips)
    assert [check_uid(uid) for uid in uids] == uids
    digest = hashlib.sha256(b'["spring", "scene 0/left", [10, 13, 16]]').hexdigest()
    assert uids[0] == f"spring-scene-0-left-000010-{digest[:8]}"
    assert clip_uid("spring", "left", range(3, 6)) == clip_uid("spring", "left", [3, 4, 5])


@pytest.mark.parametrize("uid", ["", "a b", "a/b", "a.b", "\u718a", "x" * 81, "a\n"])
def test_what_is_no_name_is_refused(uid: str) -> None:
    with pytest.raises(ValueError, match="uid must be 1 to 80 letters, digits"):
        check_uid(uid)
