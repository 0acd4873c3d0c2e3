"""What a video model is told about a clip, and the noise that it starts from."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["VideoCondition", "draw_normal", "input_gradients"]


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
