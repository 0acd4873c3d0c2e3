"""A mark in the picture itself: an invisible pattern, drawn from a key, that survives video codecs."""

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets.watermark_pattern import PAYLOAD_BITS, TILE, watermark_tile

if TYPE_CHECKING:
    from diff4splat.gaussians import DeformableGaussianField

__all__ = ["PUBLIC_KEY", "Watermark", "embed_watermark", "scene_payload"]

PUBLIC_KEY = "diff4splat"
"""The key of marks that anybody can find."""

_WEAKEST, _STRONGEST, _PER_CONTRAST = 0.4, 2.3, 0.35  # 8-bit levels; the last per level of local contrast
_CONTRAST_SIGMA = 3.0
_LUMA = (0.2126, 0.7152, 0.0722)  # BT.709


@dataclass(frozen=True)
class Watermark:
    """What is to be marked with.

    With the public key everybody can find the mark and, as the method is known, take it out again; with a
    key of one's own, only who has it can.

    Args:
        key: Any text that is not empty; keep it secret, unless it is the public one.
        payload: Number that the mark carries, from 0 to 2**32 - 1.
        strength: Factor on the amplitude, > 0 and at most 4; above 1.08, 40 dB are no longer certain.

    Raises:
        ValueError: If the key is empty, or a number is out of its range.
    """

    key: str = field(default=PUBLIC_KEY, repr=False)
    payload: int = 0
    strength: int | float = 1.0

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("key must not be empty.")
        if not 0 <= self.payload < 2**PAYLOAD_BITS:
            raise ValueError(f"payload must be from 0 to 2**{PAYLOAD_BITS} - 1, got {self.payload}.")
        if not 0 < self.strength <= 4:
            raise ValueError(f"strength must be above 0 and at most 4, got {self.strength}.")


def embed_watermark(
    video: Float[Tensor, "*frame rgb=3 height width"], watermark: Watermark | None = None
) -> Float[Tensor, "*frame rgb=3 height width"]:
    r"""Frames with an invisible pattern in their luma, the same in every frame.

    $$x' = x + \frac{s}{255} \, a \, p, \qquad a = \mathcal{N}_3 * \min(0.4 + 0.35 \, \sigma_3, \; 2.3)$$

    with $x$ = `video` (all three channels get the same), $s$ = `watermark.strength`, $p$ the pattern of key
    and payload (`watermark_tile`), $\mathcal{N}_3$ a Gaussian of 3 pixels and $\sigma_3$ the standard
    deviation of luma under it, in levels of 8 bits. So the mark is weak where the picture is flat, and
    strong where texture hides it. $p$ is scaled down where its mean square over the frame is more than 1;
    as $a \le 2.3$, a marked frame is at 40.7 dB or better beside the unmarked one for $s = 1$, both rounded
    to 8 bits.

    Args:
        video: sRGB frames in [0, 1]; a single picture does as well.
        watermark: Key, payload and strength; the public key when omitted.

    Returns:
        Frames in [0, 1], with the type and on the device of `video`; to be stored in 8 bits or more.

    Raises:
        ValueError: If a frame has no pixels.

    Examples:
        >>> frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> bool((embed_watermark(frames) - frames).abs().max() < 0.04)
        True
    """
    watermark = Watermark() if watermark is None else watermark
    height, width = video.shape[-2:]
    if height == 0 or width == 0:
        raise ValueError(f"video must have pixels, got shape {list(video.shape)}.")
    tile = watermark_tile(watermark.key, watermark.payload)
    marked = torch.empty_like(video)
    flat_in, flat_out = (x.reshape(-1, 3, height, width) for x in (video.detach(), marked))
    pattern = tile.repeat(math.ceil(height / TILE), math.ceil(width / TILE))[:height, :width]
    pattern = watermark.strength * pattern / pattern.square().mean().sqrt().clamp_min(1)
    pattern = pattern.to(video.device, _working_type(video))
    for before, after in zip(flat_in, flat_out, strict=True):  # one by one: memory stays that of a frame
        frame = before.to(pattern.dtype)
        levels = luma_levels(frame)
        mean = gaussian_blur(levels, _CONTRAST_SIGMA)
        contrast = (gaussian_blur(levels.square(), _CONTRAST_SIGMA) - mean.square()).clamp_min(0).sqrt()
        amplitude = gaussian_blur(
            (_WEAKEST + _PER_CONTRAST * contrast).clamp(max=_STRONGEST), _CONTRAST_SIGMA
        )
        after.copy_((frame + amplitude * pattern / 255).clamp(0, 1))
    return marked


def scene_payload(field: "DeformableGaussianField") -> int:
    """A number that stands for a scene: the marks of its videos carry it, to be compared with it later.

    Args:
        field: The scene, as generated or as loaded from a file that kept its numbers exactly.

    Returns:
        The first 32 bits of the SHA-256 of its canonical means in float32, in the order of the file.
    """
    means = field.canonical.means.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4")
    return int.from_bytes(hashlib.sha256(means.tobytes()).digest()[:4], "little")


def luma_levels(frame: Float[Tensor, "rgb=3 height width"]) -> Float[Tensor, "height width"]:
    """BT.709 luma of a frame, in levels of 8 bits.

    Args:
        frame: sRGB in [0, 1].

    Returns:
        Luma from 0 to 255.
    """
    return 255 * torch.einsum("chw,c->hw", frame, frame.new_tensor(_LUMA))


def gaussian_blur(
    picture: Float[Tensor, "height width"], sigma: int | float
) -> Float[Tensor, "height width"]:
    """A picture under a Gaussian; beyond the border, the pixels of the border go on.

    Args:
        picture: Any values.
        sigma: Standard deviation, pixels, > 0; the kernel ends at three of them.

    Returns:
        As large as `picture`.
    """
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=picture.device, dtype=picture.dtype)
    kernel = (-offsets.square() / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    padded = F.pad(picture[None, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[0, 0]


def _working_type(video: Tensor) -> torch.dtype:
    return torch.promote_types(video.dtype, torch.float32)
