"""Features on disk: used when they are right, made anew when they are not, never too many."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from diff4splat.evaluation import FeatureCache, cached
from diff4splat.evaluation.extractors import ExtractorSpec, frames_digest
from diff4splat.files import atomic_path

SPEC = ExtractorSpec(name="mean colour", layer="", preprocessing="none", weights="none")
OTHER = ExtractorSpec(name="mean colour", layer="", preprocessing="none", weights="seed 1")


class Clips:
    """Mean colours of clips, and how many were asked for at a time."""

    def __init__(self, spec: ExtractorSpec = SPEC) -> None:
        self.spec, self.min_frames = spec, 2
        self.calls: list[int] = []

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(frames))
        return frames.float().mean((1, 3, 4))


class Frames:
    """Mean colours of frames."""

    def __init__(self, spec: ExtractorSpec = SPEC) -> None:
        self.spec, self.calls = spec, 0

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return frames.float().mean((2, 3))


class Texts(Frames):
    """Lengths of prompts, too."""

    def text(self, prompts: Sequence[str]) -> torch.Tensor:
        self.calls += 1
        return torch.tensor([[len(p), 1.0, 0.0] for p in prompts])


class Levels(Frames):
    """Five numbers."""

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.arange(5) * frames.float().mean()


def video(seed: int, frames: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, 5, 7), generator=generator, dtype=torch.uint8)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*"))


def test_clips_are_made_once_and_only_those_that_are_missing(tmp_path) -> None:
    clips = torch.stack([video(seed) for seed in range(5)])
    plain = Clips()
    expected = Clips()(clips)
    extractor = cached(plain, FeatureCache(tmp_path / "new" / "cache"))
    assert extractor.spec == SPEC and extractor.min_frames == 2
    assert torch.equal(extractor(clips[1:3]), expected[1:3])
    assert torch.equal(extractor(clips), expected)
    assert torch.equal(extractor(clips.flip(0)), expected.flip(0))
    assert plain.calls == [2, 3]
    again = Clips()
    assert torch.equal(cached(again, FeatureCache(tmp_path / "new" / "cache"))(clips), expected)
    assert again.calls == []
    assert len(files(tmp_path / "new" / "cache")) == 5


def test_frames_prompts_and_levels_are_made_once(tmp_path) -> None:
    cache = FeatureCache(tmp_path)
    texts, levels = Texts(), Levels(OTHER)
    vectors, logits = cached(texts, cache), cached(levels, cache)
    for _ in range(2):
        assert torch.equal(vectors(video(0)), Frames()(video(0)))
        assert vectors.text(["a cab", "b"]).tolist() == [[5, 1, 0], [1, 1, 0]]
        assert logits(video(0)).shape == (5,)
    assert texts.calls == 2 and levels.calls == 1
    assert vectors.text(["b", "a cab"]).tolist() == [[1, 1, 0], [5, 1, 0]]
    frames = Frames()
    assert not hasattr(cached(frames, cache), "text")
    assert cached(frames, cache).spec == SPEC


def test_another_extractor_and_another_video_are_made_anew(tmp_path) -> None:
    cache = FeatureCache(tmp_path)
    one, other = Frames(), Frames(OTHER)
    cached(one, cache)(video(0))
    cached(other, cache)(video(0))
    assert other.calls == 1
    changed = video(0)
    changed[2, 1, 4, 6] ^= 1
    cached(one, cache)(changed)
    cached(one, cache)(video(0)[:2])
    assert one.calls == 3


def test_digests_tell_sizes_apart_and_do_not_notice_the_layout() -> None:
    even = torch.zeros(2, 3, 4, 6, dtype=torch.uint8)
    assert frames_digest(even) != frames_digest(even.reshape(2, 3, 6, 4))  # pitfall: the same bytes
    assert frames_digest(even) != frames_digest(even.reshape(4, 3, 2, 6))
    frames = video(0)
    strided = frames.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert frames_digest(strided) == frames_digest(frames)


def test_every_type_comes_back_as_it_went(tmp_path) -> None:
    cache = FeatureCache(tmp_path)
    for index, dtype in enumerate([torch.float32, torch.float64, torch.float16]):
        features = torch.tensor([[0.1, torch.nan, -torch.inf]], dtype=dtype)
        cache.put(SPEC, str(index), features)
        found = cache.get(SPEC, str(index))
        assert found.dtype == dtype and np.array_equal(found.numpy(), features.numpy(), equal_nan=True)
    assert cache.get(OTHER, "0") is None and cache.get(SPEC, "9") is None


def test_without_a_folder_nothing_is_kept() -> None:
    plain = Frames()
    extractor = cached(plain, FeatureCache(None))
    assert torch.equal(extractor(video(0)), extractor(video(0)))
    assert plain.calls == 2


def test_damaged_files_are_made_anew(tmp_path) -> None:
    plain = Frames()
    expected = cached(plain, FeatureCache(tmp_path))(video(0))
    (file,) = files(tmp_path)
    content = file.read_bytes()
    for number, damaged in enumerate([b"", b"PK", content[:-7], content[: len(content) // 2], b"\0" * 300]):
        file.write_bytes(damaged)
        assert torch.equal(cached(plain, FeatureCache(tmp_path))(video(0)), expected)
        assert plain.calls == number + 2
        assert file.read_bytes() == content  # whole again


def test_no_flipped_bit_gives_wrong_features(tmp_path) -> None:
    """Pitfall: an array that is read no further than its header says may pass by its checksum."""
    cache = FeatureCache(tmp_path)
    features = torch.arange(40.0).reshape(4, 10)
    cache.put(SPEC, "a", features)
    (file,) = files(tmp_path)
    content = file.read_bytes()
    unread = 0
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        found = cache.get(SPEC, "a")
        assert found is None or torch.equal(found, features)
        unread += found is None
    assert unread > 160  # all that holds values, at least


def test_a_folder_that_cannot_be_written_is_read_and_warned_of_once(tmp_path) -> None:
    full = FeatureCache(tmp_path)
    cached(Frames(), full)(video(0))
    (tmp_path / OTHER.key).write_text("a file is in the way")
    cache = FeatureCache(tmp_path)
    kept, new = Frames(), Frames(OTHER)
    with pytest.warns(UserWarning, match="features are not kept, .* cannot be written") as caught:
        for seed in range(3):
            assert torch.equal(cached(new, cache)(video(seed)), Frames()(video(seed)))
    assert len(caught) == 1
    cached(kept, cache)(video(0))
    assert kept.calls == 0 and new.calls == 3


def test_the_oldest_go_when_there_is_too_much(tmp_path) -> None:
    size = 1000  # numbers; a file is a little larger than 4000 bytes
    cache = FeatureCache(tmp_path, max_bytes=50_000)
    for index in range(30):
        cache.put(SPEC, f"{index:02}", torch.full((1, size), float(index)))
        os.utime(tmp_path / SPEC.key / f"{index:02}.npz", (index, index))
        assert sum(file.stat().st_size for file in files(tmp_path)) <= 50_000
        assert cache.get(SPEC, f"{index:02}") is not None
    left = [int(file.stem) for file in files(tmp_path)]
    assert left == list(range(left[0], 30)) and 8 <= len(left) <= 11


def test_what_was_there_before_counts_and_what_is_being_written_stays(tmp_path) -> None:
    old = FeatureCache(tmp_path)
    for index in range(10):
        old.put(OTHER, str(index), torch.zeros(1, 1000))
        os.utime(tmp_path / OTHER.key / f"{index}.npz", (index, index))
    with atomic_path(tmp_path / OTHER.key / "new.npz") as temporary:
        os.utime(temporary, (0, 0))
        FeatureCache(tmp_path, max_bytes=20_000).put(SPEC, "a", torch.zeros(1, 1000))
        assert temporary.exists()
    assert {file.stem for file in files(tmp_path)} == {"a", "new", "8", "9"}


def test_one_file_may_be_larger_than_all(tmp_path) -> None:
    cache = FeatureCache(tmp_path, max_bytes=10)
    for name in ("a", "b"):
        cache.put(SPEC, name, torch.zeros(1, 100))
    assert [file.stem for file in files(tmp_path)] == ["b"]


def test_a_folder_that_is_none_is_named(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="folder must be a folder, got the file"):
        FeatureCache(file)
    with pytest.raises(ValueError, match="max_bytes must be at least 1, got 0"):
        FeatureCache(tmp_path, max_bytes=0)


def test_no_clips_are_asked_of_the_extractor(tmp_path) -> None:
    nothing = torch.zeros(0, 3, 3, 5, 7, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cached(Clips(), FeatureCache(tmp_path))(nothing).shape == (0, 3)


def test_bfloat16_is_kept_as_float32(tmp_path) -> None:
    cache = FeatureCache(tmp_path)  # pitfall: NumPy has no such type, and the evaluation ended
    features = torch.tensor([[0.1, 3.0]]).bfloat16()
    cache.put(SPEC, "one", features)
    assert torch.equal(cache.get(SPEC, "one"), features.float())
