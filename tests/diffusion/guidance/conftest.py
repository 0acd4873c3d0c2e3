"""Predictions to combine."""

import pytest
import torch


@pytest.fixture
def predictions() -> tuple[torch.Tensor, torch.Tensor]:
    """A conditional and an unconditional prediction in float64."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 5, 7)
    return (
        torch.randn(shape, generator=generator, dtype=torch.float64),
        torch.randn(shape, generator=generator, dtype=torch.float64),
    )
