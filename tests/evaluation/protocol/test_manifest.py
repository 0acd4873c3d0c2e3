"""Manifests: written by hand, read back, and refused with the file, the clip and the field."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diff4splat.evaluation import EvaluationClip, Manifest

BY_HAND = """
{
  "format": "diff4splat-evaluation-manifest",
  "version": 1,
  "name": "two cats",
  "num_frames": 17,
  "height": 46,
  "width": 62,
  "fps": 8,
  "clips": [
    {"name": "cat/forward", "scene": "cat", "trajectory": "forward", "prompt": "une chatte à Nîmes 🐈",
     "seed": 3, "image": "my images/chätte.png", "cameras": "forward.json"},
    {"name": "cat/closed", "scene": "cat", "trajectory": "closed", "prompt": "", "seed": 5,
     "image": "my images/chätte.png", "cameras": "closed.json", "reference": "real/cat closed.mp4",
     "closed": true, "frozen": true}
  ]
}
"""


def clip(name: str = "cat/forward", **changes: Any) -> EvaluationClip:
    values = {"scene": "cat", "trajectory": "forward", "prompt": "", "seed": 3}
    return EvaluationClip(**({"name": name, "image": "a.png", "cameras": "a.json"} | values | changes))


def manifest(*clips: EvaluationClip, **changes: Any) -> Manifest:
    values = {"name": "cats", "num_frames": 17, "height": 46, "width": 62, "fps": 8.0}
    return Manifest(**({"clips": clips or (clip(),)} | values | changes))


def test_a_manifest_by_hand(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(BY_HAND, encoding="utf-8")
    read = Manifest.load(tmp_path / "manifest.json")
    assert read == Manifest.load(tmp_path)
    assert (read.name, read.num_frames, read.height, read.width, read.fps) == ("two cats", 17, 46, 62, 8.0)
    assert read.note == "" and len(read.clips) == 2
    assert read.clips[0] == EvaluationClip(
        "cat/forward", "cat", "forward", "une chatte à Nîmes 🐈", 3, "my images/chätte.png", "forward.json"
    )
    assert (read.clips[1].closed, read.clips[1].frozen) == (True, True)
    assert read.clips[1].reference == "real/cat closed.mp4"
    read.save(tmp_path / "again.json")
    assert Manifest.load(tmp_path / "again.json") == read
    (tmp_path / "bom.json").write_text(BY_HAND, encoding="utf-8-sig")  # as Windows editors save it
    assert Manifest.load(tmp_path / "bom.json") == read


def test_the_fingerprint_is_of_what_is_asked_for(tmp_path: Path) -> None:
    clips = (clip("cat/forward"), clip("cat/upward", trajectory="upward"))
    one = manifest(*clips)
    assert one.fingerprint.startswith("sha256:") and len(one.fingerprint) == 7 + 64
    assert one.fingerprint == replace(one, note="from the zoo", clips=clips[::-1]).fingerprint
    one.save(tmp_path / "a.json")
    assert Manifest.load(tmp_path / "a.json").fingerprint == one.fingerprint
    others = [
        replace(one, num_frames=16),
        replace(one, height=45),
        replace(one, fps=9.0),
        replace(one, name="dogs"),
        replace(one, clips=clips[:1]),
        replace(one, clips=(replace(clips[0], prompt="a cat"), clips[1])),
        replace(one, clips=(replace(clips[0], seed=4), clips[1])),
        replace(one, clips=(replace(clips[0], frozen=True), clips[1])),
    ]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    "name",
    [
        "../cat", "cat/..", "/cat", "cat/", "a/b/c", "", ".cat", "cat.", "a/.b", "-cat", "a b", "a\\b",
        "a\nb", "C:cat", "chätte", "a*", "con", "NUL.x/forward", "com1", "a" * 121, "cat/for\x00ward",
        "$(cat)",
    ],
)  # fmt: skip
def test_hostile_names(name: str) -> None:
    with pytest.raises(ValueError, match="clip 0 .*name must"):
        manifest(clip(name)).validate()


@pytest.mark.parametrize("name", ["a", "A.b_c-d/0.5", "2/forward", "common/x", "a__", "a" * 120])
def test_names_that_will_do(name: str) -> None:
    manifest(clip(name)).validate()


@pytest.mark.parametrize("field", ["image", "cameras", "reference"])
@pytest.mark.parametrize(
    "path",
    ["../a.png", "a/../../b.png", "/etc/passwd", "C:/a.png", "c:a.png", "a\\b.png", "a//b", "./a", "a\n"],
)
def test_paths_stay_in_the_folder(field: str, path: str) -> None:
    with pytest.raises(ValueError, match=f"clip 0 .'cat/forward'.: {field} must be a path inside"):
        manifest(clip(**{field: path})).validate()


@pytest.mark.parametrize(
    ("first", "second"), [("a/b", "a/b"), ("a/b", "A/b"), ("a/b", "a_b"), ("a/b", "a-b"), ("a_b/c", "a/b_c")]
)
def test_names_differ_on_every_file_system_and_without_folders(first: str, second: str) -> None:
    with pytest.raises(ValueError, match=f"clip '{second}': name must"):
        manifest(clip(first), clip(second)).validate()


def test_names_that_only_look_alike_will_do() -> None:
    manifest(clip("a/b"), clip("a/c"), clip("ab"), clip("a.b")).validate()


def content() -> dict[str, Any]:
    return json.loads(BY_HAND)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(frames=3), "keys must be among .*got 'frames'"),
        (lambda c: c.pop("fps"), "fps must be given"),
        (lambda c: c.update(fps=float("nan")), "fps must be a positive number, .*got nan"),
        (lambda c: c.update(fps=10**400), "fps must be a positive number"),
        (lambda c: c.update(fps=True), "fps must be"),
        (lambda c: c.update(num_frames=17.0), "num_frames must be a whole number"),
        (lambda c: c.update(height=0), "height must be a whole number, at least 1, got 0"),
        (lambda c: c.update(name=3), "name must be a text"),
        (lambda c: c.update(version=2), "version must be 1, got 2"),
        (lambda c: c.update(format="x"), "format must be"),
        (lambda c: c.update(clips={}), "clips must be a list"),
        (lambda c: c.update(clips=[]), "clips must hold at least one"),
        (lambda c: c["clips"].append(3), "clip 2: a clip must be an object, got int"),
        (lambda c: c["clips"][1].update(sed=3), r"clip 1 \('cat/closed'\): keys must be among .*got 'sed'"),
        (lambda c: c["clips"][1].pop("seed"), r"clip 1 \('cat/closed'\): seed must be given"),
        (lambda c: c["clips"][0].update(seed=1.5), r"clip 0 \('cat/forward'\): seed must be a whole number"),
        (lambda c: c["clips"][0].update(seed=-1), "seed must be a whole number from 0"),
        (lambda c: c["clips"][0].update(seed=True), "seed must be a whole number"),
        (lambda c: c["clips"][0].update(prompt=None), "prompt must be a text, got None"),
        (lambda c: c["clips"][0].update(image=""), "image must not be empty"),
        (lambda c: c["clips"][0].update(scene=7), "scene must be a text"),
        (lambda c: c["clips"][0].update(closed=1), "closed must be true or false, got 1"),
        (lambda c: c["clips"][0].update(prompt="\ud800"), "prompt must be a text that UTF-8 can hold"),
        (lambda c: c["clips"][0].update(name=["a"]), "name must be a text"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Any, message: str) -> None:
    changed = content()
    change(changed)
    file = tmp_path / "m.json"
    file.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=f"m.json: .*{message}"):
        Manifest.load(file)


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.json"):
        Manifest.load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="manifest.json"):
        Manifest.load(tmp_path)
    twice = BY_HAND.replace('"seed": 5', '"seed": 5, "seed": 7')
    for text in (b"", b"[]", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"null", twice.encode()):
        (tmp_path / "m.json").write_bytes(text)
        with pytest.raises(ValueError, match="m.json: "):
            Manifest.load(tmp_path / "m.json")


def test_what_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    manifest().save(tmp_path / "m.json")
    before = (tmp_path / "m.json").read_bytes()
    with pytest.raises(ValueError, match="name must"):
        manifest(clip("../a")).save(tmp_path / "m.json")
    assert (tmp_path / "m.json").read_bytes() == before and len([*tmp_path.iterdir()]) == 1


def test_all_missing_files_are_listed_at_once(tmp_path: Path) -> None:
    both = manifest(clip("a", reference="real"), clip("b", image="b b.png", reference="c.mp4"))
    (tmp_path / "a.json").touch()
    (tmp_path / "real").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        both.check_files(tmp_path)
    text = str(caught.value)
    assert "3 in all" in text and "b b.png (image of clip 'b')" in text
    assert "c.mp4 (reference of clip 'b')" in text and "a.png" in text
    assert "a.json" not in text and "real (" not in text
    for name in ("a.png", "b b.png", "c.mp4"):
        (tmp_path / name).touch()
    both.check_files(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").mkdir()  # an image is no folder
    with pytest.raises(FileNotFoundError, match="1 in all"):
        both.check_files(tmp_path)


def test_the_digest_is_of_the_content_of_the_files(tmp_path: Path) -> None:
    asked = manifest(clip(reference="real"))
    for folder in ("here", "there"):
        (tmp_path / folder / "real").mkdir(parents=True)
        for name in ("a.png", "a.json", "real/0.png", "real/1.png"):
            (tmp_path / folder / name).write_text(name)
    digest = asked.digest_files(tmp_path / "here")
    assert digest == asked.digest_files(str(tmp_path / "there")) and digest.startswith("sha256:")
    (tmp_path / "there" / "other.txt").write_text("not of the manifest")
    assert digest == asked.digest_files(tmp_path / "there")
    (tmp_path / "there" / "real" / "1.png").write_text("0.png")
    assert digest != asked.digest_files(tmp_path / "there")
