"""The log of finished clips: nothing finished is lost, nothing half written is taken for finished."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diff4splat.evaluation.protocol import Score, ScoredClip, ScoreLog


def scored(clip: str = "cat/forward", fingerprint: str = "sha256:ab", value: float = 1 / 3) -> ScoredClip:
    scores = (
        Score(clip, "cat", "forward", "psnr", value),
        Score(clip, "cat", "forward", "lpips", math.nan, problem="no réference\u2028\n"),
    )
    features = {"0" * 16: torch.tensor([1 / 3, 1e-30, -0.0, math.inf])}
    return ScoredClip(clip, fingerprint, scores, features, {"f" * 16: torch.tensor([1 / 7]).double() / 3})


def same(a: ScoredClip, b: ScoredClip) -> bool:
    assert (a.clip, a.fingerprint, repr(a.scores)) == (b.clip, b.fingerprint, repr(b.scores))
    for name in ("features", "references"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert ours.keys() == theirs.keys()
        assert all(
            torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours
        )
    return True


def test_finished_clips_are_known_again(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path / "scores.jsonl")
    assert len(log) == 0 and log.note == "" and not (tmp_path / "scores.jsonl").exists()
    log.add(scored())
    log.add(scored("cat/upward", value=5.0))
    for known in (log, ScoreLog(tmp_path / "scores.jsonl")):
        assert len(known) == 2 and known.note == ""
        assert known.done("cat/forward", "sha256:ab") and same(
            known.scored("cat/forward", "sha256:ab"), scored()
        )
        assert not known.done("cat/forward", "sha256:cd"), "another video, or other extractors"
        assert not known.done("cat/closed", "sha256:ab")
        with pytest.raises(KeyError, match="cat/closed"):
            known.scored("cat/closed", "sha256:ab")


def test_the_last_line_of_a_clip_counts(tmp_path: Path) -> None:
    log = ScoreLog(tmp_path / "scores.jsonl")
    log.add(scored())
    log.add(scored(fingerprint="sha256:cd", value=7.0))
    log = ScoreLog(tmp_path / "scores.jsonl")
    assert len(log) == 1 and not log.done("cat/forward", "sha256:ab")
    assert log.scored("cat/forward", "sha256:cd").scores[0].value == 7.0


@pytest.mark.parametrize("kept", [1, 40, -2, -1])
def test_a_half_written_last_line_is_dropped(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "scores.jsonl"
    log = ScoreLog(file)
    log.add(scored())
    first = file.read_bytes()
    log.add(scored("cat/upward"))
    second = file.read_bytes()[len(first) :]
    file.write_bytes(first + second[:kept])
    log = ScoreLog(file)
    assert len(log) == 1 and "half written" in log.note and not log.done("cat/upward", "sha256:ab")
    log.add(scored("cat/upward"))
    assert file.read_bytes() == first + second
    assert len(ScoreLog(file)) == 2 and ScoreLog(file).note == ""


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from diff4splat.evaluation.protocol import Score, ScoredClip, ScoreLog\n"
        f"log = ScoreLog({str(tmp_path / 'scores.jsonl')!r})\n"
        "for index in range(3):\n"
        "    name = f'cat/{index}'\n"
        "    log.add(ScoredClip(name, 'x', (Score(name, 'cat', str(index), 'psnr', 0.1 * index),)))\n"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    log = ScoreLog(tmp_path / "scores.jsonl")
    assert [log.scored(f"cat/{i}", "x").scores[0].value for i in range(3)] == [0.1 * i for i in range(3)]


def test_a_full_disk_does_not_spoil_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ScoreLog(tmp_path / "scores.jsonl")
    log.add(scored())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            log.add(scored("cat/upward"))
    assert len(log) == 1
    log.add(scored("cat/downward"))
    again = ScoreLog(tmp_path / "scores.jsonl")
    assert len(again) == 2 and again.note == "" and not again.done("cat/upward", "sha256:ab")


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"nonsense", b'{"clip": "a"}', b"", b"\xff", b'{"scores": [{"clip": 1}]}']
)
def test_damage_before_the_end_is_an_error(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "scores.jsonl"
    ScoreLog(file).add(scored())
    file.write_bytes(file.read_bytes() + line + b"\n" + file.read_bytes())
    with pytest.raises(ValueError, match="line 2 of .*scores.jsonl is no finished clip"):
        ScoreLog(file)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        ScoreLog(tmp_path / "none" / "scores.jsonl")
    log = ScoreLog(tmp_path / "scores.jsonl")
    with pytest.raises(ValueError, match=r"scores must be of clip 'dog', got \['cat/forward'\]"):
        log.add(ScoredClip("dog", "x", scored().scores))
    with pytest.raises(ValueError, match="features must be float32 or float64, got torch.float16"):
        log.add(ScoredClip("dog", "x", (), {"0" * 16: torch.zeros(3).half()}))
    assert not (tmp_path / "scores.jsonl").exists()
