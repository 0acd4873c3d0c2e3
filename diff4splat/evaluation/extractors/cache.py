"""Features kept on disk, so that a video goes through a network once."""

import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.evaluation.extractors.protocols import (
    ClipFeatures,
    FrameFeatures,
    LevelLogits,
    TextImageFeatures,
    check_clip_features,
)
from diff4splat.evaluation.extractors.spec import ExtractorSpec
from diff4splat.files import atomic_path

__all__ = ["FeatureCache", "cached", "frames_digest"]

_LARGEST = 2**30


class FeatureCache:
    """Features of videos by what they were made with and the pixels themselves.

    A file `<folder>/<key of the spec>/<sha256>.npz` holds the features of one video, 4 bytes per number:
    about 2 kB for 400 features of a clip, 150 kB for 768 features of each of 49 frames. When all of them
    are larger than `max_bytes`, the oldest go until a quarter is free. Files that cannot be read are made
    anew; a folder that cannot be written is only read, which is warned of once.

    Args:
        folder: Where the files lie; it is made when the first one is written. None keeps nothing.
        max_bytes: Most that all files together may take, bytes.

    Raises:
        ValueError: If `folder` is a file, or `max_bytes` is below 1.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, *, max_bytes: int = _LARGEST) -> None:
        if folder is not None and Path(folder).exists() and not Path(folder).is_dir():
            raise ValueError(f"folder must be a folder, got the file {folder}.")
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes}.")
        self._folder = None if folder is None else Path(folder)
        self._max_bytes = max_bytes
        self._bytes: int | None = None  # of all files, once something was written
        self._writable = True

    def get(self, spec: ExtractorSpec, name: str) -> Tensor | None:
        """Features that are kept.

        Args:
            spec: What they were made with.
            name: What they are of, as `frames_digest` names it.

        Returns:
            The features; None if they are not there, or damaged.
        """
        if self._folder is None:
            return None
        try:
            with zipfile.ZipFile(_path(self._folder, spec, name)) as archive:
                content = archive.read("features.npy")  # whole, so that its checksum is looked at
            return torch.from_numpy(np.load(io.BytesIO(content), allow_pickle=False))
        except Exception:  # whatever is wrong with the file, the features can be made anew
            return None

    def put(self, spec: ExtractorSpec, name: str, features: Tensor) -> None:
        """Keep features, if the folder can be written.

        Args:
            spec: What they were made with.
            name: What they are of.
            features: The features.
        """
        if self._folder is None or not self._writable:
            return
        path = _path(self._folder, spec, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            values = features.detach().cpu()
            kept = values.float() if values.dtype == torch.bfloat16 else values  # NumPy has no such type
            with atomic_path(path) as temporary:
                np.savez(temporary, features=kept.numpy(), spec=np.array(str(spec)))
            self._trim(self._folder, path)
        except OSError as error:
            self._writable = False
            warnings.warn(f"features are not kept, {self._folder} cannot be written: {error}", stacklevel=2)

    def _trim(self, folder: Path, newest: Path) -> None:
        """Remove the oldest files when there is too much, but not the newest one."""
        if self._bytes is not None:
            self._bytes += newest.stat().st_size
            if self._bytes <= self._max_bytes:
                return
        files = []
        for path in folder.glob("*/[!.]*.npz"):  # those with a dot are being written
            try:
                facts = path.stat()
            except FileNotFoundError:  # another process was faster
                continue
            files.append((facts.st_mtime_ns, facts.st_size, path))
        self._bytes = sum(size for _, size, _ in files)
        if self._bytes <= self._max_bytes:
            return
        for _, size, path in sorted(files):
            if self._bytes <= self._max_bytes * 3 // 4:
                break
            if path != newest:
                path.unlink(missing_ok=True)
                self._bytes -= size


@overload
def cached(extractor: ClipFeatures, cache: FeatureCache) -> ClipFeatures: ...
@overload
def cached(extractor: TextImageFeatures, cache: FeatureCache) -> TextImageFeatures: ...
@overload
def cached(extractor: FrameFeatures, cache: FeatureCache) -> FrameFeatures: ...
def cached(
    extractor: ClipFeatures | FrameFeatures | LevelLogits, cache: FeatureCache
) -> ClipFeatures | FrameFeatures | LevelLogits:
    """The same extractor, that asks a cache first.

    Args:
        extractor: One of clips, frames, frames and prompts, or levels.
        cache: Where features are kept.

    Returns:
        An extractor with the same spec and the same features.
    """
    if isinstance(extractor, ClipFeatures):
        return _CachedClips(extractor, cache)
    if isinstance(extractor, TextImageFeatures):
        return _CachedTextImage(extractor, cache)
    return _CachedFrames(extractor, cache)


def frames_digest(frames: UInt8[Tensor, "frame rgb=3 height width"]) -> str:
    """Name of a video by its pixels and its size.

    Args:
        frames: RGB.

    Returns:
        64 hexadecimal digits, equal for equal videos only.
    """
    digest = hashlib.sha256(f"{frames.dtype} {tuple(frames.shape)} ".encode())
    digest.update(frames.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


class _CachedClips:
    """Clips one by one from the cache, those that are missing together from the extractor."""

    def __init__(self, extractor: ClipFeatures, cache: FeatureCache) -> None:
        self._extractor, self._cache = extractor, cache

    @property
    def spec(self) -> ExtractorSpec:
        return self._extractor.spec

    @property
    def min_frames(self) -> int:
        return self._extractor.min_frames

    def __call__(
        self, frames: UInt8[Tensor, "clip frame rgb=3 height width"]
    ) -> Float[Tensor, "clip feature"]:
        names = [frames_digest(clip) for clip in frames]
        found = [self._cache.get(self.spec, name) for name in names]
        missing = [index for index, features in enumerate(found) if features is None]
        if missing or not names:
            made = self._extractor(frames[missing])
            if not names:
                return made
            check_clip_features(self.spec, made, len(missing))
            for index, features in zip(missing, made, strict=True):
                self._cache.put(self.spec, names[index], features)
                found[index] = features
        return torch.stack([features for features in found if features is not None])


class _CachedFrames:
    """All frames of a call together, or the levels of a clip."""

    def __init__(self, extractor: FrameFeatures | LevelLogits, cache: FeatureCache) -> None:
        self._extractor, self._cache = extractor, cache

    @property
    def spec(self) -> ExtractorSpec:
        return self._extractor.spec

    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "*features"]:
        name = frames_digest(frames)
        features = self._cache.get(self.spec, name)
        if features is None:
            features = self._extractor(frames)
            self._cache.put(self.spec, name, features)
        return features


class _CachedTextImage(_CachedFrames):
    """Prompts, too."""

    def __init__(self, extractor: TextImageFeatures, cache: FeatureCache) -> None:
        super().__init__(extractor, cache)
        self._texts = extractor

    def text(self, prompts: Sequence[str]) -> Float[Tensor, "prompt feature"]:
        name = hashlib.sha256(f"prompts {json.dumps(list(prompts))}".encode()).hexdigest()
        features = self._cache.get(self.spec, name)
        if features is None:
            features = self._texts.text(prompts)
            self._cache.put(self.spec, name, features)
        return features


def _path(folder: Path, spec: ExtractorSpec, name: str) -> Path:
    return folder / spec.key / f"{name}.npz"
