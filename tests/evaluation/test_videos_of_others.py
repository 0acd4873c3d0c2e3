"""Videos that somebody else made: what is refused before any work, and that nothing is lost or left out."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from diff4splat.evaluation import evaluate_videos
from diff4splat.evaluation.extractors import ExtractorSuite
from diff4splat.evaluation.protocol import (
    Manifest,
    load_evaluation,
    read_method,
    read_video,
    score_videos,
    write_frames,
    write_procedural_protocol,
)
from diff4splat.files import folder_lock
from diff4splat.losses.lpips_network import lpips_network

NOTHING = ExtractorSuite()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("protocol")
    write_procedural_protocol(folder, num_scenes=1, num_frames=3, height=16, width=16, supersample=1)
    return folder


@pytest.fixture
def videos(source: Path, tmp_path: Path) -> Path:
    """One clip of seven."""
    clip = Manifest.load(source).clips[0]
    (tmp_path / "theirs" / clip.scene).mkdir(parents=True)
    write_frames(tmp_path / "theirs" / clip.name, read_video(source / clip.reference))
    return tmp_path / "theirs"


def test_a_folder_without_any_clip_is_no_method_that_failed(
    source: Path, videos: Path, tmp_path: Path
) -> None:
    manifest, output = Manifest.load(source), tmp_path / "out"
    (videos / "scene-00000").rename(videos / "other-scene")
    with pytest.raises(ValueError, match="such as scene-00000/spiral.mp4 .* none of the 7 clips"):
        evaluate_videos(videos, manifest, source, output, extractors=NOTHING)
    with pytest.raises(FileNotFoundError, match="no such folder of videos: nowhere"):
        evaluate_videos("nowhere", manifest, source, output, extractors=NOTHING)
    assert not output.exists(), "nothing was done"
    missing = {clip.name: "too far" for clip in manifest.clips}
    (videos / "method.json").write_text(json.dumps({"missing": missing}))
    found = evaluate_videos(videos, manifest, source, output, extractors=NOTHING)
    assert {score.problem for score in found.evaluation.scores} == {"too far"}


def test_scores_of_another_method_are_not_replaced(source: Path, videos: Path, tmp_path: Path) -> None:
    manifest, output = Manifest.load(source), tmp_path / "out"
    evaluate_videos(videos, manifest, source, output, extractors=NOTHING)
    before = (output / "scores.csv").read_bytes()
    other = tmp_path / "others"
    shutil.copytree(videos, other)
    with pytest.raises(ValueError, match="'others', got .* holds the scores of 'theirs': choose another"):
        evaluate_videos(other, manifest, source, output, extractors=NOTHING)
    assert load_evaluation(output).method == "theirs" and (output / "scores.csv").read_bytes() == before
    evaluate_videos(videos, manifest, source, output, extractors=NOTHING)  # the same one goes on
    (output / "evaluation.json").unlink()
    evaluate_videos(other, manifest, source, output, extractors=NOTHING)  # as the message says


def test_two_runs_do_not_write_to_one_folder(source: Path, videos: Path, tmp_path: Path) -> None:
    work = tmp_path / "out" / "work"
    work.mkdir(parents=True)
    with folder_lock(work), pytest.raises(ValueError, match="one run at a time"):
        evaluate_videos(videos, Manifest.load(source), source, tmp_path / "out", extractors=NOTHING)


def test_a_path_of_other_length_is_told(source: Path, videos: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "copy")
    content = json.loads((source / "manifest.json").read_text()) | {"num_frames": 4}
    (tmp_path / "copy" / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"spiral.json must have a camera per frame, 4, got 3"):
        score_videos(Manifest.load(tmp_path / "copy"), tmp_path / "copy", videos, extractors=NOTHING)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"method": 3}, "method must be text, got 3"),
        ({"latency_note": 3}, "latency_note must be text, got 3"),
        ({"missing": {"a/b": 5}}, "missing must say in words why a/b is missing, got 5"),
        ({"missing": {"a/b": ""}}, "missing must say in words why a/b is missing, got ''"),
    ],
)
def test_facts_of_the_wrong_kind(content: dict[str, object], message: str, tmp_path: Path) -> None:
    (tmp_path / "method.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_method(tmp_path)


def test_times_under_other_names_than_those_of_clips(source: Path, videos: Path, tmp_path: Path) -> None:
    (videos / "method.json").write_text('{"seconds": {"scene-00000_spiral": 3.5}}')
    with pytest.raises(
        ValueError, match="must name clips, such as 'scene-00000/spiral', got 'scene-00000_spiral'"
    ):
        evaluate_videos(videos, Manifest.load(source), source, tmp_path / "out", extractors=NOTHING)


def test_a_file_that_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="notes.txt: a manifest must be JSON, got another file"):
        Manifest.load(tmp_path / "notes.txt")


@pytest.mark.parametrize("content", [b"import os", b"", "list"])
def test_a_file_that_holds_no_weights_of_lpips(content: bytes | str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save([1], file)
    with pytest.raises(ValueError, match="weights must be .* of alex|weights must be .* alex weights"):
        lpips_network("alex", weights=file)
