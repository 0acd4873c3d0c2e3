"""Layers that the heads share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def at_least_float32(values: Tensor) -> Tensor:
    """Geometry needs the precision, whatever the network computes in."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class ResidualConv(nn.Module):
    """Two convolutions, each after a SiLU, whose result is added to the maps.

    Args:
        channels: Channels of the maps, kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(
        self, maps: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Refine each map.

        Args:
            maps: Feature maps.

        Returns:
            Maps of the same shape.
        """
        return maps + self.layers(maps)
