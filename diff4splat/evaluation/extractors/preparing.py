"""Frames of a video file to the input of a network, with every choice that changes the numbers said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

__all__ = ["CLIP_PREPARATION", "DINO_PREPARATION", "I3D_PREPARATION", "Fit", "FramePreparation", "in_batches"]

Fit = Literal["stretch", "short_side", "crop"]
"""Both sides to the size; the short side; or the short side, and the middle cut out of the long one."""


@dataclass(frozen=True)
class FramePreparation:
    r"""How frames are brought to a network: size, interpolation, crop and range.

    Colours $c$ in [0, 1] become $(c - \mu) / \sigma$ with $\mu$ = `mean`, $\sigma$ = `deviation`, after the
    resize and the crop. Rules for what papers leave open: a long side is the scaled one rounded down, and a
    crop starts at the rounded half of what is cut off (half to even), as torchvision does. Code that rounds
    that half down differs by a pixel at some sizes.

    Without antialiasing a frame that is made smaller by more than two skips pixels: white noise of 480 x 720
    pixels keeps a deviation of 0.19 at 224 x 224, of 0.07 with it. Bicubic kernels differ too: $a = -0.75$
    without, $a = -0.5$, that of Pillow, with antialiasing.

    Args:
        size: Side of the input, pixels.
        fit: What happens to frames that are not square.
        interpolation: Kernel of the resize.
        antialias: Whether the kernel is widened where frames are made smaller.
        eight_bit: Whether values are rounded to 8 bits after the resize, as Pillow does, and torchvision
            on `uint8` tensors.
        mean: Of red, green and blue.
        deviation: Of red, green and blue.

    Raises:
        ValueError: If `size` is not positive, an option is none, or a deviation is not positive.
    """

    size: int
    fit: Fit
    interpolation: Literal["bilinear", "bicubic"]
    antialias: bool
    eight_bit: bool
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be positive, got {self.size}.")
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, got {self.fit!r}.")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation must be bilinear or bicubic, got {self.interpolation!r}.")
        if min(self.deviation) <= 0:
            raise ValueError(f"deviation must be positive, got {self.deviation}.")

    def __call__(
        self, frames: UInt8[Tensor, "frame rgb=3 height width"]
    ) -> Float[Tensor, "frame rgb=3 input_height input_width"]:
        """Input of the network.

        Args:
            frames: RGB of one size.

        Returns:
            float32 on the device of `frames`; `size` by `size` unless `fit` is "short_side".

        Raises:
            ValueError: If the frames have no pixels.
        """
        height, width = frames.shape[-2:]
        if height < 1 or width < 1:
            raise ValueError(f"frames must have pixels, got {height} x {width}.")
        values = torch.nn.functional.interpolate(
            frames.float(),
            size=self.resized(height, width),
            mode=self.interpolation,
            align_corners=False,
            antialias=self.antialias,
        )
        if self.eight_bit:
            values = values.clamp(0, 255).round()
        if self.fit == "crop":
            top, left = (round((side - self.size) / 2) for side in values.shape[-2:])
            values = values[..., top : top + self.size, left : left + self.size]
        mean, deviation = (values.new_tensor(v)[:, None, None] for v in (self.mean, self.deviation))
        return (values / 255 - mean) / deviation

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Size of a frame after the resize, before the crop.

        Args:
            height: Of the frame, pixels.
            width: Of the frame, pixels.

        Returns:
            Height and width, pixels.
        """
        if self.fit == "stretch":
            return self.size, self.size
        if height <= width:
            return self.size, int(self.size * width / height)
        return int(self.size * height / width), self.size

    def __str__(self) -> str:
        fits = {
            "stretch": f"stretched to {self.size} x {self.size}",
            "short_side": f"short side to {self.size}, no crop",
            "crop": f"short side to {self.size}, middle {self.size} x {self.size}",
        }
        kernel = f"{self.interpolation} {'with' if self.antialias else 'without'} antialiasing"
        bits = ", rounded to 8 bits" if self.eight_bit else ""
        mean, deviation = (", ".join(f"{v:g}" for v in values) for values in (self.mean, self.deviation))
        return f"{fits[self.fit]}, {kernel}{bits}, mean ({mean}), deviation ({deviation})"


def in_batches(
    frames: UInt8[Tensor, "frame rgb=3 height width"],
    preparation: FramePreparation,
    network: Callable[[Tensor], Tensor],
    batch_size: int,
    device: torch.device,
) -> Float[Tensor, "frame feature"]:
    """Features of frames that go through a network some at a time.

    Args:
        frames: RGB.
        preparation: How they are brought to the network.
        network: Makes features of prepared frames.
        batch_size: Most frames at once.
        device: Where the network is.

    Returns:
        One vector per frame, on the CPU.

    Raises:
        ValueError: If there is no frame.
    """
    if not len(frames):
        raise ValueError("frames must be at least one, got none.")
    return torch.cat([network(preparation(part.to(device))).cpu() for part in frames.split(batch_size)])


I3D_PREPARATION = FramePreparation(
    size=224,
    fit="stretch",
    interpolation="bilinear",
    antialias=False,
    eight_bit=False,
    mean=(0.5, 0.5, 0.5),
    deviation=(0.5, 0.5, 0.5),
)
"""[-1, 1], as the detector of StyleGAN-V does it by itself; cd-fvd stretches too, others crop."""

CLIP_PREPARATION = FramePreparation(
    size=224,
    fit="crop",
    interpolation="bicubic",
    antialias=True,
    eight_bit=True,
    mean=(0.48145466, 0.4578275, 0.40821073),
    deviation=(0.26862954, 0.26130258, 0.27577711),
)
"""That of CLIP, whose code resizes pictures by Pillow; VBench has no antialiasing."""

DINO_PREPARATION = FramePreparation(
    size=224,
    fit="short_side",
    interpolation="bilinear",
    antialias=False,
    eight_bit=True,
    mean=(0.485, 0.456, 0.406),
    deviation=(0.229, 0.224, 0.225),
)
"""That of VBench for subject consistency, on tensors."""
