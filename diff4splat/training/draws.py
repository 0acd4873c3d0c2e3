"""Random numbers of one training step, the same however its clips are spread over processes."""

from collections.abc import Sequence
from hashlib import sha256

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Draws", "seeded"]


def seeded(*words: object) -> torch.Generator:
    """A generator on the CPU whose numbers follow from some words.

    Args:
        *words: What tells it from others, for instance a seed, a stage and a step.

    Returns:
        The generator.
    """
    digest = sha256("/".join(str(word) for word in words).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Draws:
    """Numbers for some rows of a step's batch.

    Those of a row follow from the seed, the step and the place of the row in the whole batch, so that they do
    not depend on the number of processes or parts that the batch is cut into, and nothing has to be stored to
    go on after a break. Those of `batch` are the same for all rows.

    Args:
        seed: Words that tell this stage of this run from others.
        step: Number of the step.
        rows: Places of the rows in the whole batch.
        device: Where the numbers are needed.
    """

    def __init__(
        self, seed: object, step: int, rows: Sequence[int], *, device: torch.device | str = "cpu"
    ) -> None:
        self.batch = seeded(seed, step, "batch")
        self._rows = [seeded(seed, step, row) for row in rows]
        self._device = torch.device(device)

    def normal(self, *shape: int) -> Float[Tensor, " row *shape"]:
        """Normal numbers.

        Args:
            *shape: Shape for one row.

        Returns:
            One set per row.
        """
        return torch.stack([torch.randn(shape, generator=g) for g in self._rows]).to(self._device)

    def uniform(self, *shape: int) -> Float[Tensor, " row *shape"]:
        """Numbers in [0, 1), evenly spread.

        Args:
            *shape: Shape for one row.

        Returns:
            One set per row.
        """
        return torch.stack([torch.rand(shape, generator=g) for g in self._rows]).to(self._device)
