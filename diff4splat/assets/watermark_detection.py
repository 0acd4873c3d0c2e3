"""Is the pattern of a key in this video? A decision whose error is bounded for any video whatsoever."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.watermark import PUBLIC_KEY, Watermark, embed_watermark, gaussian_blur, luma_levels
from diff4splat.assets.watermark_pattern import (
    FINE_SIGMA,
    TILE,
    WIDE_SIGMA,
    keyed_chips,
    place_chips,
    read_payload,
)

__all__ = ["WatermarkDecision", "best_shift", "chip_residuals", "detect_watermark", "folded_tiles"]

_FRAME_SIGMA, _SUM_SIGMA, _CLIP = 6.0, 8.0, 1.5
_RADEMACHER = 1 / (4 * 0.5 * math.erfc(1.0))  # 1 / (4 P(Z >= sqrt 2)) = 3.178...
_SCALE_STEP, _LARGEST_SCALE, _BANDS = 1.005, 2.0, (0.5, 0.7, 1.0, 1.4, 2.0)
_COMMON_SCALES = (1 / 2, 2 / 3, 3 / 4, 4 / 3, 3 / 2, 2.0)
_SEARCHED = 768  # pixels per side that the search for a scale looks at, at the size that was marked
_SHARES = {"exact": 0.5, "moved": 0.25, "scaled": 0.25}  # of the false-positive rate
_PROBE, _MARGIN = "a key that marks nothing but this test", 2.0
_PIXELS_MOST = 2**26


@dataclass(frozen=True)
class WatermarkDecision:
    """What `detect_watermark` found.

    Args:
        verdict: "marked"; "not marked"; or "cannot tell", where a mark of the usual strength would not have
            been found with certainty either, as the video is too small or its picture has no room for one.
        score: How far the video agrees with the key, in standard deviations of what other keys give.
        p_value: Bound on the probability that a key that has nothing to do with the video, tried once, comes
            out as far as this one.
        false_positive_rate: Largest `p_value` that counts as marked: the stated rate.
        payload: Number that the mark carries; None when it is not marked, or its check fails.
        offset: Rows and columns of the marked picture that were cut off above and to the left, up to
            multiples of 256.
        scale: Size of this picture relative to when it was marked.
        mirrored: Whether left and right are exchanged; `offset` then counts from the other side.
        probe_score: The score of a mark of the usual strength that was put in for a test; None if marked.
    """

    verdict: Literal["marked", "not marked", "cannot tell"]
    score: float
    p_value: float
    false_positive_rate: float
    payload: int | None = None
    offset: tuple[int, int] = (0, 0)
    scale: float = 1.0
    mirrored: bool = False
    probe_score: float | None = None

    @property
    def detected(self) -> bool:
        """Whether it is marked with this key, at the stated false-positive rate."""
        return self.verdict == "marked"


def detect_watermark(
    video: Float[Tensor, "frame rgb=3 height width"] | Iterable[Float[Tensor, "rgb=3 height width"]],
    *,
    key: str = PUBLIC_KEY,
    false_positive_rate: int | float = 1e-6,
    search_scales: bool = True,
) -> WatermarkDecision:
    r"""Whether a video carries the pattern of a key, wherever it was cropped and however it was scaled.

    Each frame is reduced to what a chip looks like and divided by how much of that there is around a pixel;
    the frames are added up, and the tiles of 256 pixels laid on each other. At a shift of the pattern, with
    $a_i$ what is then found at chip $i$ and $s_i$ the chip's sign, the score is

    $$z = \frac{\sum_i s_i a_i}{\sqrt{\sum_i a_i^2}} .$$

    The $a_i$ do not depend on the signs, which are fair coins. So for every video, with $Z$ standard normal,

    $$P(z \ge x) \le \frac{P(Z \ge x)}{4 \, P(Z \ge \sqrt 2)} \approx 3.18 \, P(Z \ge x).$$

    Source: Bentkus and Dzindzalieta, "A tight Gaussian bound for weighted sums of Rademacher random
    variables" (2015). The `p_value` adds that up over everything that may be tried: half of the rate is spent
    on the picture as it is, a quarter on the 65,536 shifts of it and of its mirror image, and a quarter on
    those at 283 scales from a half to two. The probability is over keys: a video that was made to agree with
    one key is what is looked for.

    Args:
        video: sRGB frames in [0, 1], all of one size; or anything that gives them one after the other each
            time it is iterated over, such as a list, so that a long video need not be in memory.
        key: The key that the video may be marked with.
        false_positive_rate: Accepted probability of calling a video marked that is not, in (0, 0.1].
        search_scales: Look for pictures that were resized, too, which takes longer where nothing is found.

    Returns:
        The decision, its score and its bound.

    Raises:
        TypeError: If `video` can be iterated over only once.
        ValueError: If there are no frames, their sizes differ, a value is not finite, or an option is out of
            its range.

    Examples:
        >>> grey = torch.full((1, 3, 256, 256), 0.5)
        >>> detect_watermark(embed_watermark(grey, Watermark(payload=2026))).payload
        2026
    """
    if not key:
        raise ValueError("key must not be empty.")
    if not 0 < false_positive_rate <= 0.1:
        raise ValueError(f"false_positive_rate must be in (0, 0.1], got {false_positive_rate}.")
    if isinstance(video, Iterator):
        raise TypeError("video must give its frames each time it is iterated over, got an iterator.")
    found = best_shift(folded_tiles(chip_residuals(_frames(video))[0]), key, false_positive_rate)
    if not found.detected and search_scales:
        found = min(found, _best_scale(video, key, false_positive_rate), key=lambda each: each.p_value)
    if found.detected:
        return found
    probe = Watermark(_PROBE)
    marked = (_to_8_bits(embed_watermark(frame, probe)) for frame in _frames(video))
    tested = best_shift(folded_tiles(chip_residuals(marked)[0]), _PROBE, false_positive_rate)
    certain = tested.detected and tested.score >= _MARGIN * _score_needed(false_positive_rate)
    return WatermarkDecision(
        "not marked" if certain else "cannot tell",
        found.score,
        found.p_value,
        false_positive_rate,
        offset=found.offset,
        scale=found.scale,
        mirrored=found.mirrored,
        probe_score=tested.score,
    )


def _frames(video: Iterable[Tensor]) -> Iterator[Tensor]:
    """Frames one by one, each checked, in float32 or better."""
    size = None
    for frame in video:
        if frame.ndim != 3 or frame.shape[0] != 3 or 0 in frame.shape:
            raise ValueError(f"video must give frames [3, height, width], got shape {list(frame.shape)}.")
        if frame.shape[1] * frame.shape[2] > _PIXELS_MOST:
            raise ValueError(
                f"video must have at most {_PIXELS_MOST} pixels a frame, got shape {list(frame.shape)}."
            )
        if size is not None and frame.shape != size:
            raise ValueError(
                f"video must have frames of one size, got {list(size[1:])} and {list(frame.shape[1:])}."
            )
        if not bool(torch.isfinite(frame).all()):
            raise ValueError("video must be finite, got NaN or infinity.")
        size = frame.shape
        yield frame.detach().to(torch.promote_types(frame.dtype, torch.float32))
    if size is None:
        raise ValueError("video must have frames, got none.")


def chip_residuals(
    frames: Iterable[Float[Tensor, "rgb=3 height width"]], bands: tuple[float, ...] = (1.0,)
) -> list[Float[Tensor, "height width"]]:
    """What looks like chips of each size, in units of what is usual around it; summed over the frames.

    Args:
        frames: sRGB in [0, 1], of one size, at least one.
        bands: Sizes of chips, relative to those that are embedded.

    Returns:
        One map per size, within +-1.5; it does not depend on any key.
    """
    sums: list[Tensor] = []
    for frame in frames:
        levels = luma_levels(frame)
        parts = []
        for band in bands:
            chips = gaussian_blur(levels, band * FINE_SIGMA) - gaussian_blur(levels, band * WIDE_SIGMA)
            usual = gaussian_blur(chips.square(), band * _FRAME_SIGMA).sqrt()
            parts.append(
                (chips / (usual + 1)).clamp(-_CLIP, _CLIP)
            )  # + 1 level: noise of a flat area counts less
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
    scaled = []
    for band, total in zip(bands, sums, strict=True):
        usual = gaussian_blur(total.square(), band * _SUM_SIGMA).sqrt()
        scaled.append((total / (usual + 1e-3)).clamp(-_CLIP, _CLIP))
    return scaled


def best_shift(tiles: tuple["FoldedTile", "FoldedTile"], key: str, rate: int | float) -> WatermarkDecision:
    """The picture as it is, or the shift of it or of its mirror image that agrees best.

    Args:
        tiles: What `folded_tiles` makes of the map of `chip_residuals`, at the size that was marked.
        key: The key to look for.
        rate: Accepted probability of a false alarm.

    Returns:
        "marked" or "not marked", without a test whether a mark could be there.
    """
    scores = _scores(tiles[0], key)
    exact = float(scores[0, 0])
    found = _decide(tiles[0], key, rate, (0, 0), exact, _tail(exact) / _SHARES["exact"])
    if found.detected:
        return found
    moved = _try_shifts(tiles, key, rate, tries=2, share=_SHARES["moved"], scores=scores)
    return min(found, moved, key=lambda decision: decision.p_value)


def folded_tiles(residual: Float[Tensor, "height width"]) -> tuple["FoldedTile", "FoldedTile"]:
    """The tiles of a map laid on each other, and the same of its mirror image, ready for any key.

    Args:
        residual: What `chip_residuals` gives.

    Returns:
        Both, on the CPU.
    """
    return FoldedTile(residual), FoldedTile(residual.flip(-1))


class FoldedTile:
    """The sum of the tiles of a map, and what is needed to compare it with patterns.

    Args:
        residual: What `chip_residuals` gives.
    """

    def __init__(self, residual: Float[Tensor, "height width"]) -> None:
        height, width = residual.shape
        padded = F.pad(residual, (0, -width % TILE, 0, -height % TILE))
        folded = padded.reshape(-1, TILE, padded.shape[1] // TILE, TILE).sum(dim=(0, 2))
        self.values = folded.to("cpu", torch.float64)
        self.spectrum = torch.fft.rfft2(self.values)
        self.energy_spectrum = torch.fft.rfft2(self.values.square())
        self.energy = float(self.values.square().sum())


def _best_scale(video: Iterable[Tensor], key: str, rate: int | float) -> WatermarkDecision:
    """The scale and shift that agree best; a picture is brought back to the size at which it was marked."""
    residuals = chip_residuals(_frames(video), _BANDS)
    steps = math.floor(math.log(_LARGEST_SCALE) / math.log(_SCALE_STEP))
    scales = {_SCALE_STEP**step for step in range(-steps, steps + 1)} | {*_COMMON_SCALES}
    best = None
    for scale in sorted(scales):
        band = min(range(len(_BANDS)), key=lambda index: abs(math.log(_BANDS[index] / scale)))
        window, cut = _middle(residuals[band], math.ceil(_SEARCHED * scale))
        size = [max(1, round(side / scale)) for side in window.shape]
        resized = F.interpolate(window[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        found = _try_shifts(folded_tiles(resized), key, rate, tries=2 * len(scales), share=_SHARES["scaled"])
        if best is None or found.score > best.score:
            top, left = ((a - round(b / scale)) % TILE for a, b in zip(found.offset, cut, strict=True))
            best = replace(found, scale=scale, offset=(top, left))
    assert best is not None  # there are scales
    return best


def _middle(
    picture: Float[Tensor, "height width"], longest: int
) -> tuple[Float[Tensor, "rows columns"], tuple[int, int]]:
    """The middle of a picture, and how many rows and columns lie before it."""
    height, width = picture.shape
    top, left = (max(0, (side - longest) // 2) for side in (height, width))
    return picture[top : height - top, left : width - left], (top, left)


def _try_shifts(
    tiles: tuple[FoldedTile, FoldedTile],
    key: str,
    rate: int | float,
    *,
    tries: int,
    share: float,
    scores: Tensor | None = None,
) -> WatermarkDecision:
    """The shift of a picture or of its mirror image that agrees best; `tries` pictures share the rate."""
    maps = (_scores(tiles[0], key) if scores is None else scores, _scores(tiles[1], key))
    mirrored = bool(maps[1].max() > maps[0].max())
    where = int(maps[mirrored].argmax())
    score = float(maps[mirrored].flatten()[where])
    p_value = _tail(score) * TILE * TILE * tries / share
    shift = (where // TILE, where % TILE)
    return replace(_decide(tiles[mirrored], key, rate, shift, score, p_value), mirrored=mirrored)


def _decide(
    tile: FoldedTile,
    key: str,
    rate: int | float,
    shift: tuple[int, int],
    score: float,
    p_value: float,
) -> WatermarkDecision:
    """What one shift of the pattern says; the payload is read only where there is a mark."""
    p_value = min(1.0, p_value)
    offset = ((-shift[0]) % TILE, (-shift[1]) % TILE)
    if p_value > rate:
        return WatermarkDecision("not marked", score, p_value, rate, offset=offset)
    moved = tile.values.roll((-shift[0], -shift[1]), dims=(0, 1)).numpy().ravel()
    payload = read_payload(key, moved[keyed_chips(key).places])
    return WatermarkDecision("marked", score, p_value, rate, payload, offset)


def _scores(tile: FoldedTile, key: str) -> Float[Tensor, "row=256 column=256"]:
    """Score of every shift of the pattern: the sum over its chips, over the norm of what is summed up."""
    signs, ones = _spectra(key)
    agreement = torch.fft.irfft2(tile.spectrum * signs, s=tile.values.shape)
    energy = torch.fft.irfft2(tile.energy_spectrum * ones, s=tile.values.shape)
    least = 1e-9 * tile.energy  # below that it is rounding of the Fourier transforms
    return torch.where(energy > least, agreement / energy.clamp_min(1e-300).sqrt(), 0.0)


@lru_cache(maxsize=2)
def _spectra(key: str) -> tuple[Tensor, Tensor]:
    """What correlates a tile with the signs of the chips, and with ones in their place."""
    signs = keyed_chips(key).signs
    plus, ones = (torch.fft.rfft2(place_chips(key, values)).conj() for values in (signs, np.abs(signs)))
    return plus, ones


def _tail(score: float) -> float:
    """Bound on the probability that fair signs give a score this high."""
    return min(1.0, _RADEMACHER * 0.5 * math.erfc(score / math.sqrt(2)))


def _score_needed(rate: int | float) -> float:
    """Score at which the picture as it is counts as marked."""
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle) / _SHARES["exact"] > rate else (low, middle)
    return high


def _to_8_bits(frame: Float[Tensor, "rgb height width"]) -> Float[Tensor, "rgb height width"]:
    return (255 * frame).round() / 255
