"""Random samples for the tests."""

import torch

SHAPE = (2, 3, 5, 7, 11)


def latents(seed: int, shape=SHAPE, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
