"""Weights by a rule, and what the published code of TAEHV makes of them; as a script, writes that down.

`python tests/backbones/tiny_vae_golden.py FOLDER` with the folder of a checkout of
github.com/madebyollin/taehv; the file here was made with commit 1f14a56.
"""

import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FILE = Path(__file__).with_name("tiny_vae_golden.safetensors")
# Options of the published class, number of latents, and their height and width.
CASES = {
    "taew2_1": ({}, 3, (2, 1)),
    "taew2_2": ({"patch_size": 2, "latent_channels": 48}, 2, (1, 2)),
    "taew2_2_super": ({"patch_size": 2, "latent_channels": 48, "arch_variant": "super"}, 2, (1, 2)),
    "taeltx_2": (
        {
            "patch_size": 4,
            "latent_channels": 128,
            "encoder_time_downscale": (True, True, True),
            "decoder_time_upscale": (True, True, True),
        },
        2,
        (1, 1),
    ),
}


def draw(name: str, shape: Sequence[int]) -> Tensor:
    """Numbers in [-1, 1) that follow from a name, in a stream that numpy keeps as it is."""
    values = np.random.RandomState(zlib.crc32(name.encode())).random_sample(tuple(shape))
    return torch.from_numpy(2 * values - 1).float()


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Kernels that keep the size of what passes through, small biases, and grey in the middle."""
    state = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 300
        state[name] = draw(name, shape) * (3 / fan_in) ** 0.5
    state["decoder.22.bias"] += 0.5
    return state


def video(name: str, num_frames: int, height: int, width: int) -> Tensor:
    """A clip of noise."""
    return draw(f"video of {name}", (1, num_frames, 3, height, width)) / 2 + 0.5


def latents(name: str, shape: Sequence[int]) -> Tensor:
    """Noise, some of it where latents are limited."""
    return 4 * draw(f"latents of {name}", shape)


def main(folder: str) -> None:
    from diff4splat.backbones import TinyVideoVAE
    from diff4splat.files import write_safetensors

    sys.path.insert(0, folder)
    from taehv import TAEHV

    results = {}
    for name, (options, count, size) in CASES.items():
        spec = TinyVideoVAE.for_model(name).spec
        published = TAEHV(None, **options).eval()
        state = weights({key: value.shape for key, value in published.state_dict().items()})
        published.load_state_dict(state)
        height, width = (spec.spatial_stride * cells for cells in size)
        clip = video(name, spec.num_frames(count), height, width)
        with torch.no_grad():
            encoded = published.encode_video(clip, show_progress_bar=False)
            decoded = published.decode_video(latents(name, encoded.shape), show_progress_bar=False)
        sys.stdout.write(f"{name}: {encoded.std():.2f} {decoded.mean():.2f} {decoded.std():.2f}\n")
        results[f"{name}.latents"], results[f"{name}.video"] = encoded.half(), decoded.half()
    write_safetensors(FILE, {key: value.contiguous() for key, value in results.items()})


if __name__ == "__main__":
    main(sys.argv[1])
