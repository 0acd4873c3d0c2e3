"""Extractors without learned weights: they follow from a seed, are small, and are the same everywhere.

They drive the whole protocol where nothing can be downloaded. Their distances and cosines rank methods among
each other, with far less judgement than learned features have; they have no meaning beside published numbers.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from diff4splat.evaluation.extractors.spec import ExtractorSpec

__all__ = ["SeededClipFeatures", "SeededFrameFeatures", "SeededLevelLogits", "SeededTextImage"]

_SIDE = 64
_CLIPS_AT_ONCE = 4
_FRAMES_AT_ONCE = 32
_RESIZING = f"RGB to [-1, 1], {_SIDE} x {_SIDE} by means over areas"


class SeededClipFeatures:
    """Vectors of clips from random strided convolutions over space and time.

    The convolutions see colours and what changes from each frame to the next; the features are means and
    standard deviations of what they answer over the whole clip, mixed at random. So the order and the pace of
    frames count, and detail does, but not where in the image it is. There are 336 of these numbers, so not
    more than 336 features are independent.

    Args:
        seed: All weights follow from it, at least 0.
        width: Features per clip, at least 1.

    Raises:
        ValueError: If an argument is too small.
    """

    _CHANNELS = (6, 24, 48, 96)
    _CHANGE_GAIN = 4.0  # neighbouring frames differ by little

    def __init__(self, seed: int = 0, width: int = 400) -> None:
        _check_options(seed, width)
        draw = _Draws(seed, "clip")
        pairs = zip(self._CHANNELS[:-1], self._CHANNELS[1:], strict=True)
        self._layers = [draw.layer(outputs, (inputs, 3, 3, 3)) for inputs, outputs in pairs]
        self._mixing = draw.layer(width, (2 * sum(self._CHANNELS[1:]),))
        self._spec = ExtractorSpec(
            name=f"seeded 3D convolutions, {width} features",
            layer="means and deviations of all layers, mixed",
            preprocessing=f"{_RESIZING}; {self._CHANGE_GAIN:g} times the changes; all frames",
            weights=f"seed {seed}",
            trained=False,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    @property
    def min_frames(self) -> int:
        """Fewest frames of a clip."""
        return 2

    def __call__(
        self, frames: UInt8[Tensor, "clip frame rgb=3 height width"]
    ) -> Float[Tensor, "clip feature"]:
        """Features of clips of one size.

        Args:
            frames: RGB; fewer pixels than the network looks at are repeated.

        Returns:
            One vector per clip, on the CPU.

        Raises:
            TypeError: If frames are not uint8.
            ValueError: If they are not five axes with three colours, or clips have fewer than 2 frames.
        """
        _check_frames(frames, 5)
        if frames.shape[1] < self.min_frames:
            raise ValueError(f"frames must be at least {self.min_frames} per clip, got {frames.shape[1]}.")
        if not len(frames):
            return torch.zeros(0, len(self._mixing[1]))
        with torch.no_grad():
            found = [self._features(some) for some in frames.split(_CLIPS_AT_ONCE)]
        return torch.cat(found)

    def _features(self, frames: Tensor) -> Tensor:
        x = _prepared(rearrange(frames, "b t c h w -> (b t) c h w"))
        x = rearrange(x, "(b t) c h w -> b c t h w", t=frames.shape[1])
        change = self._CHANGE_GAIN * (x[:, :, 1:] - x[:, :, :-1])
        x = torch.cat((x[:, :, 1:], change), dim=1)
        moments = []
        for weight, bias in self._layers:
            x = functional.conv3d(x, weight, bias, stride=(1, 2, 2), padding=1).relu()
            moments += [x.mean((2, 3, 4)), x.std((2, 3, 4), correction=0)]
        weight, bias = self._mixing
        return functional.linear(torch.cat(moments, dim=1), weight, bias)


class SeededFrameFeatures:
    """Vectors of frames from random strided convolutions.

    What they answer is averaged over four by four cells of the image and mixed at random.

    Args:
        seed: All weights follow from it, at least 0.
        width: Features per frame, at least 1.

    Raises:
        ValueError: If an argument is too small.
    """

    _CHANNELS = (3, 16, 32, 64)
    _CELLS = 4

    def __init__(self, seed: int = 0, width: int = 384) -> None:
        _check_options(seed, width)
        draw = _Draws(seed, "frame")
        pairs = zip(self._CHANNELS[:-1], self._CHANNELS[1:], strict=True)
        self._layers = [draw.layer(outputs, (inputs, 3, 3)) for inputs, outputs in pairs]
        self._mixing = draw.layer(width, (self._CHANNELS[-1] * self._CELLS**2,))
        self._spec = ExtractorSpec(
            name=f"seeded 2D convolutions, {width} features",
            layer=f"last layer, {self._CELLS} x {self._CELLS} cells, mixed",
            preprocessing=_RESIZING,
            weights=f"seed {seed}",
            trained=False,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "frame feature"]:
        """Features of frames.

        Args:
            frames: RGB; fewer pixels than the network looks at are repeated.

        Returns:
            One vector per frame, not normalised, on the CPU.

        Raises:
            TypeError: If frames are not uint8.
            ValueError: If they are not four axes with three colours.
        """
        _check_frames(frames, 4)
        with torch.no_grad():
            found = [self._features(some) for some in frames.split(_FRAMES_AT_ONCE)]
        return torch.cat(found)

    def _features(self, frames: Tensor) -> Tensor:
        x = _prepared(frames)
        for weight, bias in self._layers:
            x = functional.conv2d(x, weight, bias, stride=2, padding=1).relu()
        x = functional.adaptive_avg_pool2d(x, self._CELLS)
        weight, bias = self._mixing
        return functional.linear(rearrange(x, "b c h w -> b (c h w)"), weight, bias)


class SeededTextImage:
    """Vectors of frames and of prompts, for plumbing only: the score of the two means nothing.

    A prompt is the sum of random vectors of its words, so that prompts differ, and equal ones do not. No
    picture has anything to do with them.

    Args:
        seed: All vectors follow from it, at least 0.
        width: Features, at least 1.

    Raises:
        ValueError: If an argument is too small.
    """

    def __init__(self, seed: int = 0, width: int = 64) -> None:
        self._images = SeededFrameFeatures(seed, width)
        self._seed, self._width = seed, width
        self._spec = ExtractorSpec(
            name=f"seeded text and image vectors, {width} features, without meaning",
            layer="sums of words; mixed cells of 2D convolutions",
            preprocessing=f"{_RESIZING}; words in lower case",
            weights=f"seed {seed}",
            trained=False,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "frame feature"]:
        """Features of frames.

        Args:
            frames: RGB.

        Returns:
            One vector per frame, not normalised, on the CPU.

        Raises:
            TypeError: If frames are not uint8.
            ValueError: If they are not four axes with three colours.
        """
        return self._images(frames)

    def text(self, prompts: Sequence[str]) -> Float[Tensor, "prompt feature"]:
        """Features of prompts.

        Args:
            prompts: Texts of any length; one without words is as if it were one word of its own.

        Returns:
            One vector per prompt, not normalised, on the CPU.
        """
        rows = []
        for prompt in prompts:
            words = prompt.lower().split() or [""]
            draws = [_Draws(self._seed, f"word {word}").uniform((self._width,)) for word in words]
            rows.append(torch.stack(draws).sum(0))
        return torch.stack(rows) if rows else torch.zeros(0, self._width)


class SeededLevelLogits:
    """Logits of the five words of quality, for plumbing only: they mean nothing.

    Args:
        seed: All weights follow from it, at least 0.

    Raises:
        ValueError: If the seed is below 0.
    """

    def __init__(self, seed: int = 0) -> None:
        self._levels = SeededFrameFeatures(seed, 5)
        self._spec = ExtractorSpec(
            name="seeded levels, without meaning",
            layer="five features of 2D convolutions, mean over frames",
            preprocessing=f"{_RESIZING}; all frames",
            weights=f"seed {seed}",
            trained=False,
        )

    @property
    def spec(self) -> ExtractorSpec:
        """What it is."""
        return self._spec

    def __call__(self, frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "level=5"]:
        """Logits of the five words, from excellent to bad.

        Args:
            frames: RGB of one clip, at least one frame.

        Returns:
            Five numbers on the CPU.

        Raises:
            TypeError: If frames are not uint8.
            ValueError: If there is no frame, or they are not four axes with three colours.
        """
        _check_frames(frames, 4)
        if not len(frames):
            raise ValueError("frames must be at least 1, got none.")
        return self._levels(frames).mean(0)


class _Draws:
    """Numbers that follow from a seed and a purpose, bit for bit on every platform.

    Only the raw bits of PCG64 are taken from NumPy, which promises that they stay; what its distributions
    make of them may change.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        digest = hashlib.sha256(f"{seed} {purpose}".encode()).digest()
        self._bits = np.random.PCG64(int.from_bytes(digest, "little"))

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Numbers in [-1, 1)."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        values = (raw >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
        return torch.from_numpy(values.reshape(shape))

    def layer(self, outputs: int, inputs: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Weights that keep the mean square of ReLU inputs, and small biases."""
        scale = (6 / int(np.prod(inputs))) ** 0.5
        return scale * self.uniform((outputs, *inputs)), 0.1 * self.uniform((outputs,))


def _prepared(frames: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, "frame rgb=3 side side"]:
    """Colours in [-1, 1], all of one size."""
    some = frames.cpu().split(_FRAMES_AT_ONCE)
    return torch.cat([functional.adaptive_avg_pool2d(part.float() / 127.5 - 1, _SIDE) for part in some])


def _check_options(seed: int, width: int) -> None:
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}.")
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}.")


def _check_frames(frames: Tensor, axes: int) -> None:
    if frames.dtype != torch.uint8:
        raise TypeError(f"frames must be uint8, 0 to 255, got {frames.dtype}.")
    if frames.ndim != axes or frames.shape[-3] != 3 or not frames.shape[-1] * frames.shape[-2]:
        form = "clip frame rgb height width" if axes == 5 else "frame rgb height width"
        raise ValueError(f"frames must be [{form}] with three colours, got shape {tuple(frames.shape)}.")
