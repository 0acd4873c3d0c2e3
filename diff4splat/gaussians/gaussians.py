"""The Gaussian struct: a static scene as a set of anisotropic, view-dependent blobs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.gaussians.harmonics import rotate_harmonics
from diff4splat.geometry import matrix_to_quaternion, quaternion_multiply, quaternion_to_matrix

__all__ = ["Gaussians", "concatenate_gaussians"]

# Axes that follow the batch axes in each field; the first of them is the Gaussian axis.
_EVENT_AXES = {"means": 2, "quaternions": 2, "scales": 2, "opacities": 1, "harmonics": 3}


@dataclass(frozen=True, eq=False)
class Gaussians:
    """A set of 3D Gaussians holding physical values, with any leading batch axes.

    Construction checks shapes only; values are checked by `validate()`.

    Args:
        means: Centres in world coordinates, scene units.
        quaternions: Orientations, wxyz; unit up to scale (users of it normalise).
        scales: Standard deviations along the principal axes, linear, scene units, > 0.
        opacities: Peak opacities in [0, 1].
        harmonics: Spherical harmonics coefficients of colour, degree 0 to 4 (1, 4, 9, 16 or 25 coefficients),
            in the convention of 3D Gaussian splatting: colour is the series plus 0.5.

    Raises:
        ValueError: If the shapes do not agree.
    """

    means: Float[Tensor, "*batch gaussian xyz=3"]
    quaternions: Float[Tensor, "*batch gaussian wxyz=4"]
    scales: Float[Tensor, "*batch gaussian xyz=3"]
    opacities: Float[Tensor, "*batch gaussian"]
    harmonics: Float[Tensor, "*batch gaussian coefficient rgb=3"]

    def __post_init__(self) -> None:
        shape = tuple(self.means.shape)
        if len(shape) < 2 or shape[-1] != 3:
            raise ValueError(f"means must have shape [*batch, gaussian, 3], got {list(shape)}.")
        sets = shape[:-1]
        for name, expected in (("quaternions", (*sets, 4)), ("scales", (*sets, 3)), ("opacities", sets)):
            actual = tuple(getattr(self, name).shape)
            if actual != expected:
                raise ValueError(
                    f"{name} must have shape {list(expected)} to match means, got {list(actual)}."
                )
        actual = tuple(self.harmonics.shape)
        if actual[:-2] != sets or actual[-1] != 3 or actual[-2] not in (1, 4, 9, 16, 25):
            raise ValueError(
                f"harmonics must have shape {[*sets, 'coefficient', 3]} with 1, 4, 9, 16 or 25 coefficients, "
                f"got {list(actual)}."
            )

    @property
    def num_gaussians(self) -> int:
        """Number of Gaussians in each set."""
        return self.means.shape[-2]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Sizes of the leading axes before the Gaussian axis."""
        return tuple(self.means.shape[:-2])

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics, 0 to 4."""
        return math.isqrt(self.harmonics.shape[-2]) - 1

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.means.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the tensors."""
        return self.means.dtype

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Gaussians":
        """Gaussians on another device or in another floating type.

        Args:
            device: Target device; unchanged when omitted.
            dtype: Target floating type; unchanged when omitted.

        Returns:
            New Gaussians; tensors that need no change are shared.
        """
        return Gaussians(*(tensor.to(device=device, dtype=dtype) for tensor in self._tensors()))

    def detach(self) -> "Gaussians":
        """The same Gaussians cut off from the gradient graph.

        Returns:
            Gaussians that share the tensors' memory.
        """
        return Gaussians(*(tensor.detach() for tensor in self._tensors()))

    def select(
        self, index: Bool[Tensor, " gaussian"] | Int[Tensor, " selected"] | slice | Sequence[int]
    ) -> "Gaussians":
        """Some of the Gaussians; in a batch, the same ones of every set.

        Args:
            index: Mask over the Gaussians, indices in the order wanted, or a slice.

        Returns:
            Gaussians with the same batch axes.

        Raises:
            ValueError: If a mask has another length than the number of Gaussians, or `index` has batch axes.
        """
        chosen = check_index(index, self.num_gaussians, self.device)
        return Gaussians(
            *(
                getattr(self, name)[(..., chosen, *(slice(None),) * (axes - 1))]
                for name, axes in _EVENT_AXES.items()
            )
        )

    def batch(self, index: int | slice | None) -> "Gaussians":
        """Some sets of a batch, along the first batch axis.

        Args:
            index: An integer for one set without that axis, a slice for several with it, None for a new first
                batch axis of length 1.

        Returns:
            Gaussians that share the tensors of these.

        Raises:
            ValueError: If `index` is not None and there is no batch axis.
        """
        if index is not None and not self.batch_shape:
            raise ValueError("batch needs Gaussians with a batch axis, got none.")
        return Gaussians(*(tensor[index] for tensor in self._tensors()))

    def prune(self, min_opacity: float = 0.005) -> "Gaussians":
        """Gaussians without those too transparent to be seen.

        Args:
            min_opacity: Smallest opacity that is kept.

        Returns:
            Gaussians in their former order.

        Raises:
            ValueError: If the Gaussians have batch axes: sets of different sizes have no common tensor.
        """
        check_unbatched("prune", self.batch_shape)
        return self.select(self.opacities >= min_opacity)

    def transform(self, matrix: Float[Tensor, "4 4"]) -> "Gaussians":
        """Gaussians moved, turned and uniformly scaled in the world; their colours turn with them.

        Args:
            matrix: Similarity transform acting on column vectors: rotation times a positive scale, then
                translation.

        Returns:
            Gaussians that look the same to cameras moved alike.

        Raises:
            ValueError: If `matrix` is no similarity transform.
        """
        linear, scale = split_similarity(matrix)
        rotation = (linear / scale).to(self.means)
        return replace(
            self,
            means=self.means @ linear.mT.to(self.means) + matrix[:3, 3].to(self.means),
            quaternions=quaternion_multiply(matrix_to_quaternion(rotation), self.quaternions),
            scales=self.scales * scale.to(self.scales),
            harmonics=rotate_harmonics(self.harmonics, rotation),
        )

    def covariances(self) -> Float[Tensor, "*batch gaussian 3 3"]:
        r"""Covariance matrices $\Sigma = R \, \mathrm{diag}(s)^2 R^\top$ in world axes.

        with $R$ from `quaternions` and $s$ = `scales`.

        Returns:
            Symmetric positive matrices in squared scene units.
        """
        axes = quaternion_to_matrix(self.quaternions) * rearrange(self.scales, "... n i -> ... n 1 i")
        return axes @ axes.mT

    def validate(self) -> None:
        """Refuse values that are no Gaussians.

        Raises:
            ValueError: If a value is not finite, a quaternion is zero, a scale is not positive, or an opacity
                lies outside [0, 1].
        """
        for name in _EVENT_AXES:
            check_finite(name, getattr(self, name))
        check_nonzero_quaternions("quaternions", self.quaternions)
        if (self.scales <= 0).any():
            raise ValueError(f"scales must be > 0, got {self.scales.min().item():.6g}.")
        if ((self.opacities < 0) | (self.opacities > 1)).any():
            low, high = self.opacities.aminmax()
            raise ValueError(f"opacities must lie in [0, 1], got {low.item():.6g} to {high.item():.6g}.")

    def _tensors(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


def concatenate_gaussians(sets: Sequence[Gaussians]) -> Gaussians:
    """One set with the Gaussians of several, in the order given.

    Args:
        sets: Gaussians of equal batch shape; lower degrees of harmonics are padded with zeros to the highest.

    Returns:
        Gaussians whose number is the sum of the numbers.

    Raises:
        ValueError: If `sets` is empty or the batch shapes differ.
    """
    if not sets:
        raise ValueError("sets must hold at least one Gaussians, got none.")
    shapes = {item.batch_shape for item in sets}
    if len(shapes) > 1:
        raise ValueError(f"sets must have equal batch shapes, got {sorted(shapes)}.")
    num_coefficients = max(item.harmonics.shape[-2] for item in sets)
    padded = [
        replace(
            item,
            harmonics=torch.nn.functional.pad(
                item.harmonics, (0, 0, 0, num_coefficients - item.harmonics.shape[-2])
            ),
        )
        for item in sets
    ]
    return Gaussians(
        *(
            torch.cat([getattr(item, name) for item in padded], dim=-axes)
            for name, axes in _EVENT_AXES.items()
        )
    )


def check_index(
    index: Tensor | slice | Sequence[int], num_gaussians: int, device: torch.device
) -> Tensor | slice:
    """Index over the Gaussian axis as one slice or one-axis tensor; ValueError for anything ragged."""
    if isinstance(index, slice):
        return index
    index = torch.as_tensor(index, device=device)
    if index.ndim != 1:
        raise ValueError(
            "index must have one axis (the same Gaussians of every set in a batch), "
            f"got shape {list(index.shape)}."
        )
    if index.dtype == torch.bool and index.shape[0] != num_gaussians:
        raise ValueError(f"index must be a mask over {num_gaussians} Gaussians, got length {index.shape[0]}.")
    return index.long() if index.numel() == 0 and index.dtype != torch.bool else index


def check_unbatched(method: str, batch_shape: tuple[int, ...]) -> None:
    """ValueError for methods that would leave sets of different sizes in a batch."""
    if batch_shape:
        raise ValueError(
            f"{method} needs Gaussians without batch axes, since the sets of a batch would end up with "
            f"different sizes, got batch shape {list(batch_shape)}."
        )


def check_finite(name: str, values: Tensor) -> None:
    """ValueError where a tensor holds NaN or infinity."""
    # The extremes tell in one pass without a copy: they are NaN if any value is.
    if values.numel() and not torch.stack(values.detach().aminmax()).isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity.")


def check_nonzero_quaternions(name: str, quaternions: Tensor) -> None:
    """ValueError where a quaternion has no direction."""
    wide = torch.promote_types(quaternions.dtype, torch.float32)
    if (torch.linalg.vector_norm(quaternions.detach(), dim=-1, dtype=wide) < 1e-8).any():
        raise ValueError(f"{name} must have non-zero length, got a zero quaternion.")


def split_similarity(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Linear part and scale of a similarity transform, both in float64; ValueError for any other matrix."""
    if matrix.shape != (4, 4):
        raise ValueError(f"matrix must have shape [4, 4], got {list(matrix.shape)}.")
    linear = matrix[:3, :3].double()
    determinant = torch.linalg.det(linear)
    if not (torch.isfinite(matrix).all() and determinant > 0):
        raise ValueError(f"matrix must be finite with determinant > 0, got determinant {determinant:.6g}.")
    scale = determinant ** (1 / 3)
    identity = torch.eye(3, dtype=linear.dtype, device=linear.device)
    error = (linear.mT @ linear / scale**2 - identity).abs().max().item()
    last_row = matrix[3].tolist()
    if error > 1e-3 or last_row != [0, 0, 0, 1]:
        raise ValueError(
            "matrix must be a rotation times a scale with last row [0, 0, 0, 1], "
            f"got a deviation of {error:.3g} and last row {last_row}."
        )
    return linear, scale
