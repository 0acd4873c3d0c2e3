"""What a video model is told about a clip, what it is given for that, and the noise that it starts from."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.backbones.backbone import LatentSpec
from diff4splat.cameras import Cameras

__all__ = ["VideoCondition", "check_inputs", "draw_normal", "input_gradients"]


@dataclass(frozen=True)
class VideoCondition:
    """What a clip is generated from, as the network of a video model reads it; made once per clip.

    Args:
        shape: Sizes of the latents that are sampled, `batch latent_frame channel latent_height latent_width`.
        prompts: Features of the prompts, `batch token text`.
        unprompted: Features of the negative prompt, for the pass without the condition.
        camera: What `added_camera` adds at the patch embedding; None without a camera adapter.
        resting: The same for the pass without the condition.
        guided: Whether the two passes differ; where they do not, the second is never made.
    """

    shape: tuple[int, ...]
    prompts: Tensor
    unprompted: Tensor
    camera: Tensor | None
    resting: Tensor | None
    guided: bool

    def texts(self, conditional: bool) -> Tensor:
        """Features of the text of one of the two passes.

        Args:
            conditional: Which pass: the one with the prompt, or the other.

        Returns:
            `prompts` or `unprompted`.
        """
        return self.prompts if conditional else self.unprompted

    def added(self, conditional: bool) -> Tensor | None:
        """Features of the cameras of one of the two passes.

        Args:
            conditional: Which pass: the one with the prompt, or the other.

        Returns:
            `camera` or `resting`.
        """
        return self.camera if conditional else self.resting


def check_inputs(
    spec: LatentSpec,
    image: Float[Tensor, "batch rgb=3 height width"],
    cameras: Cameras,
    prompt: Sequence[str] | None,
    *,
    follows_cameras: bool,
) -> list[str]:
    """Hold image, cameras and prompts against the geometry of the latents and each other.

    Args:
        spec: Geometry of the latents.
        image: First frame.
        cameras: One per pixel frame.
        prompt: One text per image, or None.
        follows_cameras: Whether the cameras have to be of the size of the image.

    Returns:
        Prompts, one per image; "" for none.

    Raises:
        TypeError: If `image` holds no floating-point numbers, or `prompt` is one text.
        ValueError: If sizes, the number of cameras or the number of prompts do not fit.
    """
    if not image.is_floating_point():
        raise TypeError(f"image must be floating point in [0, 1], got {image.dtype}.")
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"image must have shape [batch, 3, height, width], got {list(image.shape)}.")
    batch, _, height, width = image.shape
    spec.check_frames(cameras.num_frames)
    spec.check_size(height, width)
    if cameras.batch_shape != (batch,):
        raise ValueError(f"cameras must have the batch axis of image ({batch},), got {cameras.batch_shape}.")
    if follows_cameras and (cameras.height, cameras.width) != (height, width):
        raise ValueError(
            f"cameras must have the size of image {(height, width)}, got {(cameras.height, cameras.width)}."
        )
    if isinstance(prompt, str):
        raise TypeError(f"prompt must be a sequence of texts, one per image, got {prompt!r}.")
    if prompt is not None and len(prompt) != batch:
        raise ValueError(f"prompt must have one text per image ({batch}), got {len(prompt)}.")
    return [""] * batch if prompt is None else list(prompt)


def draw_normal(
    shape: Sequence[int], generator: torch.Generator | None, device: torch.device
) -> Float[Tensor, "..."]:
    """Standard normal numbers, drawn where the generator is, so that a seed means the same on every device.

    Args:
        shape: Sizes.
        generator: Source of randomness; the global one of the CPU when omitted.
        device: Where the numbers go.

    Returns:
        Tensor of float32.
    """
    where = "cpu" if generator is None else generator.device
    return torch.randn(tuple(shape), generator=generator, device=where).to(device)


def input_gradients(values: Tensor) -> AbstractContextManager[object]:
    """Context for an autoencoder that is not trained: it keeps what gradients need only if its input asks.

    Args:
        values: The input.

    Returns:
        Context in which gradients are on where they were on and `values` carries one.
    """
    return torch.set_grad_enabled(torch.is_grad_enabled() and values.requires_grad)
