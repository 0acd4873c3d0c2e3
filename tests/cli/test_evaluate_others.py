"""Videos of somebody else on the command line: options that are not for them, and JSON for other programs."""

import json
import re
from pathlib import Path

import pytest
from cli.shown import error_of

from diff4splat.cli import main
from diff4splat.cli.console import json_text
from diff4splat.evaluation.protocol import Manifest, read_video, write_frames


def strict(text: str) -> dict[str, object]:
    """JSON as other languages read it, without NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    found: dict[str, object] = json.loads(text, parse_constant=refuse)
    return found


def test_numbers_that_json_does_not_have_are_null() -> None:
    content = {"a": [float("nan"), 1.5], "b": (float("inf"), {"c": -float("inf")}), "d": True, "e": "é"}
    assert strict(json_text(content)) == {"a": [None, 1.5], "b": [None, {"c": None}], "d": True, "e": "é"}
    assert "é" in json_text(content)


def test_evaluate_and_compare_print_json_and_text_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol, videos, output = (str(tmp_path / name) for name in ("protocol", "theirs", "out"))
    sizes = ["--scenes", "1", "--frames", "3", "--size", "32"]
    assert main(["protocol", *sizes, "--output", protocol]) == 0
    clip = Manifest.load(protocol).clips[0]  # the others are missing, so there are numbers that are NaN
    (tmp_path / "theirs" / clip.scene).mkdir(parents=True)
    write_frames(tmp_path / "theirs" / clip.name, read_video(tmp_path / "protocol" / str(clip.reference)))
    words = ["evaluate", "--videos", videos, "--manifest", protocol, "--poses", "none", "--output", output]
    capsys.readouterr()
    assert main([*words, "--json", "--device", "cpu"]) == 0, "networks run on a device, also for videos"
    assert strict(capsys.readouterr().out)["method"] == "theirs"
    assert main(["compare", output, str(tmp_path / "out" / "real"), "--json"]) == 0
    assert strict(capsys.readouterr().out)["second"] == "real clips"
    assert main(words) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if output not in line]
    assert max(map(len, shown)) <= 110, "the widest single column beside the first one"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenes", "3"], "--scenes is for procedural scenes, got it with --manifest, which says it"),
        (["--size", "64"], "--size is for procedural scenes"),
        (["--first", "1"], "--first is for procedural scenes"),
        (["--networks", "q-align=x"], "--networks cannot load q-align, .* in Python, give QAlignLevels"),
    ],
)
def test_what_does_not_go_with_videos(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--videos", ".", "--manifest", ".", *words, "--output", "out"]) == 2
    assert re.search(message, error_of(capsys))
    assert not (tmp_path / "out").exists()


def test_a_protocol_of_images_beside_another_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    protocol, new = str(tmp_path / "protocol"), tmp_path / "new"
    assert main(["protocol", "--scenes", "1", "--frames", "3", "--size", "16", "--output", protocol]) == 0
    before = (tmp_path / "protocol" / "manifest.json").read_bytes()
    (tmp_path / "photos").mkdir()
    clip = Manifest.load(protocol).clips[0]
    (tmp_path / "photos" / "a.png").write_bytes((tmp_path / "protocol" / clip.image).read_bytes())
    images = ["protocol", "--images", str(tmp_path / "photos"), "--size", "16"]
    capsys.readouterr()
    assert main([*images, "--output", protocol]) == 2
    assert "that asks for other clips" in error_of(capsys)
    assert (tmp_path / "protocol" / "manifest.json").read_bytes() == before
    assert main([*images, "--scenes", "3", "--output", str(new)]) == 2
    assert "--scenes is for procedural scenes, got it with --images" in error_of(capsys)
    assert main(["protocol", "--frames", "2", "--output", str(new)]) == 2
    assert "--frames must be from 3 to" in error_of(capsys)
    assert main(["protocol", "--images", str(tmp_path / "none"), "--output", str(new)]) == 2
    assert not new.exists()
