"""Memory and operations of the parts of a video model, from their sizes alone.

Operations are those of matrix products, convolutions and attention, a multiplication and an addition
counted as two. Memory is what tensors hold at the worst moment of a pass without gradients, weights not
included, attention fused. The numbers that stand here were counted on the classes of diffusers with tensors
that have no values; the tests count them again.
"""

from dataclasses import dataclass
from typing import Any

__all__ = [
    "AUTOENCODERS",
    "AutoencoderCost",
    "Sizes",
    "denoiser_activations",
    "denoiser_flops",
    "movies_activations",
    "movies_flops",
    "num_tokens",
    "text_encoder_activations",
    "tiny_decoder_values",
]

Sizes = dict[str, Any]
"""Sizes of a video transformer: `family` ("wan", "cogvideox" or "compact"), `dim`, `ffn_dim`, `num_layers`,
and where they differ from their defaults `in_channels`, `latent_channels`, `text_tokens`, `image_tokens`,
`temporal_patch`, `per_token_times`."""


@dataclass(frozen=True)
class AutoencoderCost:
    """What a video autoencoder costs per pixel.

    Args:
        temporal_stride: Pixel frames per latent frame.
        spatial_stride: Pixels per latent, per side.
        width: Channels at full resolution that the other numbers are for: of encoder and decoder.
        encode_values: Values held per pixel of a frame while encoding: one frame, the first few, more.
        decode_values: While decoding: one latent frame, the first few, more.
        encode_flops: Operations per pixel: of the first frame, of each other frame.
        decode_flops: While decoding.
        copied_values: Values per pixel that convolutions on the CPU hold in a layout of their own.
    """

    temporal_stride: int
    spatial_stride: int
    width: tuple[int, int]
    encode_values: tuple[int, int, int]
    decode_values: tuple[int, int, int]
    encode_flops: tuple[float, float]
    decode_flops: tuple[float, float]
    copied_values: int = 0

    def held(
        self, task: str, frames: int, height: int, width: int, *, scale: float = 1.0, on_cpu: bool = False
    ) -> float:
        """Values held at the worst moment, the clip itself included.

        Args:
            task: "encode" or "decode".
            frames: Frames of the clip.
            height: Height, pixels.
            width: Width, pixels.
            scale: Channels over those of the published model.
            on_cpu: Whether to count what convolutions on the CPU copy.

        Returns:
            Number of values.
        """
        latents = (frames - 1) // self.temporal_stride + 1
        values = self.encode_values if task == "encode" else self.decode_values
        held = values[0 if latents == 1 else 1 if latents <= 3 else 2]
        held += self.copied_values if on_cpu else 0
        return float((scale * held + 2 * 3 * frames) * height * width)

    def flops(self, task: str, frames: int, height: int, width: int, *, scale: float = 1.0) -> float:
        """Operations for a clip.

        Args:
            task: "encode" or "decode".
            frames: Frames of the clip.
            height: Height, pixels.
            width: Width, pixels.
            scale: Channels over those of the published model.

        Returns:
            Number of operations.
        """
        first, other = self.encode_flops if task == "encode" else self.decode_flops
        return float(scale**2 * (first + other * (frames - 1)) * height * width)


AUTOENCODERS: dict[tuple[str, int], AutoencoderCost] = {
    ("wan", 16): AutoencoderCost(
        4, 8, (96, 96), (965, 3600, 3580), (1730, 4950, 4870), (6.66e6, 5.00e6), (10.8e6, 8.45e6), 576
    ),
    ("wan", 48): AutoencoderCost(
        4, 16, (160, 256), (487, 1840, 1840), (1450, 5360, 5250), (4.64e6, 3.49e6), (22.8e6, 18.4e6), 768
    ),
    ("cogvideox", 16): AutoencoderCost(
        4, 8, (128, 128), (2660, 7530, 9450), (5700, 17130, 22700), (13.8e6, 8.69e6), (21.7e6, 18.5e6), 2560
    ),
    ("compact", 8): AutoencoderCost(
        4, 8, (64, 64), (29, 29 * 9, 29 * 9), (27, 27 * 9, 27 * 9), (39e3, 39e3), (51e3, 51e3)
    ),
}
"""By family and channels of the latents. Those of Wan and CogVideoX compute a clip piece by piece."""


def num_tokens(sizes: Sizes, autoencoder: AutoencoderCost, frames: int, height: int, width: int) -> int:
    """Video tokens of a clip.

    Args:
        sizes: Of the transformer.
        autoencoder: Gives the latents.
        frames: Frames of the clip.
        height: Height, pixels.
        width: Width, pixels.

    Returns:
        Their number; patches are 2 x 2 latents.
    """
    latents = (frames - 1) // autoencoder.temporal_stride + 1
    latents = -(-latents // sizes.get("temporal_patch", 1))
    side = 2 * autoencoder.spatial_stride
    return latents * (height // side) * (width // side)


def denoiser_flops(sizes: Sizes, tokens: int) -> float:
    r"""Operations of one pass of a video transformer.

    $L \, (8 N d^2 + 4 N^2 d + 4 N d f)$, cross-attention and embeddings, with $L$ = `num_layers`,
    $d$ = `dim`, $f$ = `ffn_dim` and $N$ = `tokens`, for CogVideoX with those of the text.

    Args:
        sizes: Of the transformer.
        tokens: Video tokens.

    Returns:
        Number of operations.
    """
    dim, hidden, layers = sizes["dim"], sizes["ffn_dim"], sizes["num_layers"]
    text, image = sizes.get("text_tokens", 512), sizes.get("image_tokens", 0)
    channels = sizes.get("latent_channels", 16)
    patch = 4 * sizes.get("temporal_patch", 1)
    edges = 2 * tokens * dim * patch * (sizes.get("in_channels", channels) + channels) + 2 * text * 4096 * dim
    if sizes["family"] == "cogvideox":
        every = tokens + text
        return float(edges + layers * (8 * every * dim**2 + 4 * every**2 * dim + 4 * every * dim * hidden))
    told = text + image
    block = 12 * tokens * dim**2 + 4 * told * dim**2 + 4 * tokens**2 * dim + 4 * tokens * told * dim
    if sizes.get("per_token_times"):
        edges += 2 * tokens * dim * (256 + 7 * dim)
    return float(edges + 2 * text * dim**2 + layers * (block + 4 * tokens * dim * hidden))


def denoiser_activations(sizes: Sizes, tokens: int, element: int) -> float:
    """Bytes that one pass of a video transformer holds at its worst moment.

    That moment lies in the feed-forward layer where it is wide, in the attention where it is not, and for
    time steps of every token in their modulation, six times the tokens in float32.

    Args:
        sizes: Of the transformer.
        tokens: Video tokens.
        element: Bytes of a value.

    Returns:
        Bytes, weights not included.
    """
    dim = sizes["dim"]
    ratio = sizes["ffn_dim"] / dim
    if sizes["family"] == "cogvideox":
        per_value = 3.5 + (3.15 + 2 * ratio) * element
        return per_value * (tokens + sizes.get("text_tokens", 226)) * dim
    feed_forward = (4.2 + 2 * ratio) * element
    attention = 14.3 + 4.05 * element
    worst = max(feed_forward, attention)
    if sizes.get("per_token_times"):
        own_copy = 24 if element < 4 else 0
        worst = max(worst + 7 * element + 24, 8 * element + 24 + own_copy)
    told = 2 * element * (sizes.get("text_tokens", 512) + sizes.get("image_tokens", 0)) * dim
    return float(worst * tokens * dim + told)


def text_encoder_activations(tokens: int, element: int) -> float:
    """Bytes that a T5-XXL or UMT5-XXL encoder holds, for one prompt at a time.

    Args:
        tokens: Tokens of the prompt, padding included.
        element: Bytes of a value.

    Returns:
        Bytes, weights not included: scores of 64 heads three times, and the feed-forward layer.
    """
    return float(64 * tokens**2 * (4 + 2 * element) + tokens * (3 * 10240 + 8 * 4096) * element)


def movies_flops(views: int, height: int, width: int, times: int) -> float:
    """Operations of MoVieS: its Transformer once, two of its heads per target time.

    Args:
        views: Frames that it reads.
        height: Height that it works at, pixels.
        width: Width.
        times: Target times.

    Returns:
        Number of operations.
    """
    tokens, dim = views * ((height // 14) * (width // 14) + 7), 1024
    return (
        72 * 24 * tokens * dim**2 + 24 * 4 * tokens**2 * dim + 2.23e6 * views * height * width * (1 + times)
    )


def movies_activations(views: int, height: int, width: int, times: int) -> float:
    """Bytes that MoVieS holds at its worst moment, in float32, its result included.

    Args:
        views: Frames that it reads.
        height: Height that it works at, pixels.
        width: Width.
        times: Target times, each with ten numbers for every pixel of every view.

    Returns:
        Bytes, weights not included.
    """
    tokens, pixels = views * ((height // 14) * (width // 14) + 7), views * height * width
    heads = 33 * tokens * 1024 + 1480 * min(8, views) * height * width
    result = pixels * (14 + 10 * times) * 4
    return float(max(84 * tokens * 1024, heads) + 2 * result)


def tiny_decoder_values(latent_channels: int, frames: int, height: int, width: int) -> float:
    """Values that a tiny video decoder holds, one latent frame at a time.

    Args:
        latent_channels: Which decoder: 16 or 48.
        frames: Frames of the clip.
        height: Height, pixels.
        width: Width, pixels.

    Returns:
        Number of values, the clip itself included.
    """
    return float(((150 if latent_channels == 48 else 600) + 2 * 3 * frames) * height * width)
