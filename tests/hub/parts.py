"""A small module that is saved and loaded."""

from collections.abc import Sequence

import torch
from torch import nn

from diff4splat.hub import HubModule


class Affine(HubModule):
    """Two layers, one of them tied, a buffer of integers, and every kind of JSON argument."""

    def __init__(
        self,
        width: int = 3,
        *,
        gains: Sequence[float] = (1.0, 2.0),
        name: str | None = None,
        options: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.tensor([width, 2**40]))
        self.gains = gains
