"""A data set of clips out of a list of recordings, each item a function of its number and a seed alone."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from diff4splat.data.recording_source import RecordingSource
from diff4splat.data.sampling.draws import draw_integer, generator_of
from diff4splat.data.sampling.windows import ClipSampling, sample_clip, why_unfit

__all__ = ["SampledClips"]


class SampledClips(Dataset[tuple[dict[str, Tensor], str]]):
    """Clips drawn from recordings, several of each scene.

    Clip i belongs to scene i modulo the number of scenes, so that a stretch of as many clips has each scene
    once; which camera of it, which frames and which part of them follows from `seed` and i. Recordings of
    one scene count once, however many cameras film it. A camera that lacks what `sampling` needs is passed
    over where the scene has another one; where tracks are needed, so is one that has none of its own beside
    one that has.

    `clips[i]` raises ValueError or OSError where a clip cannot be made, naming the recording, so that
    `Batches` counts it.

    Args:
        source: The recordings; its list is read once.
        sampling: How clips are drawn; `ClipSampling()` when omitted.
        seed: Of the draws, at least 0.
        draws: Clips of a scene. A training epoch has every clip once: as many epochs over the scenes, each
            with other frames.

    Raises:
        ValueError: If there is no recording, or a number is out of range.
    """

    def __init__(
        self,
        source: RecordingSource,
        sampling: ClipSampling | None = None,
        *,
        seed: int = 0,
        draws: int = 16,
    ) -> None:
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}.")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}.")
        self.source = source
        self._entries = tuple(source.entries)
        self.sampling = sampling or ClipSampling()
        self.seed = seed
        self.draws = draws
        cameras: dict[str, list[int]] = {}
        for number, entry in enumerate(self._entries):
            cameras.setdefault(entry.scene, []).append(number)
        if not cameras:
            raise ValueError("source must hold recordings, got none.")
        self.scenes = tuple(cameras)
        self._cameras = [self._fit(numbers) or numbers for numbers in cameras.values()]

    def __len__(self) -> int:
        return len(self.scenes) * self.draws

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], str]:
        number, generator = self._draw(index)
        return sample_clip(self.source, number, self.sampling, generator)

    def name_of(self, index: int) -> str:
        """What a clip is drawn from, for messages.

        Args:
            index: Number of the clip, from 0.

        Returns:
            The recording and the number of the draw, as in "spring--0001--left, draw 3".

        Raises:
            IndexError: If there is no such clip.
        """
        number, _ = self._draw(index)
        return f"{self._entries[number].uid}, draw {index // len(self.scenes)}"

    def _fit(self, numbers: list[int]) -> list[int]:
        """Those from which clips can be drawn, as far as is known; with tracks of their own, if any have."""
        entries = self._entries
        fit = [number for number in numbers if not why_unfit(entries[number], self.sampling)]
        if self.sampling.motion != "tracks":
            return fit
        return [number for number in fit if "tracks" in entries[number].info.holds] or fit

    def _draw(self, index: int) -> tuple[int, torch.Generator]:
        """Number of a clip's recording, and the random numbers for the rest."""
        if not 0 <= index < len(self):
            raise IndexError(f"index must be in [0, {len(self)}), got {index}.")
        generator = generator_of(self.seed, index)
        cameras = self._cameras[index % len(self.scenes)]
        return cameras[draw_integer(0, len(cameras) - 1, generator)], generator
