"""Gaussians over time: one canonical set and, per time, how each Gaussian has moved, turned and stretched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.gaussians.deformation import ScaleSpace, deform_gaussians
from diff4splat.gaussians.gaussians import (
    Gaussians,
    check_finite,
    check_index,
    check_nonzero_quaternions,
    check_unbatched,
    split_similarity,
)
from diff4splat.geometry import quaternion_slerp

if TYPE_CHECKING:
    import diff4splat.cameras
    import diff4splat.rendering

__all__ = ["DeformableGaussianField"]

_DELTAS = ("delta_means", "delta_quaternions", "delta_scales")


@dataclass(frozen=True, eq=False)
class DeformableGaussianField:
    """A dynamic scene: canonical Gaussians and their deformation at some times of a clip from 0 to 1.

    Construction checks shapes only; values are checked by `validate()`.

    Args:
        canonical: Gaussians that every time is a deformation of.
        times: Times at which the deformation is stored, strictly ascending in [0, 1].
        delta_means: Displacements in world axes, scene units.
        delta_quaternions: Rotations about each Gaussian's own axes, wxyz; unit up to scale, as files may hold
            them (users of it normalise).
        delta_scales: Changes of scale, in `scale_space`.
        scale_space: "log" (scale times exp of the change) or "linear" (scale plus the change).
        metadata: JSON values that travel with the field: where it came from, watermark, prompt.

    Raises:
        TypeError: If `times` is not floating point.
        ValueError: If the shapes do not agree or `scale_space` is unknown.
    """

    canonical: Gaussians
    times: Float[Tensor, " time"]
    delta_means: Float[Tensor, "*batch time gaussian xyz=3"]
    delta_quaternions: Float[Tensor, "*batch time gaussian wxyz=4"]
    delta_scales: Float[Tensor, "*batch time gaussian xyz=3"]
    scale_space: ScaleSpace = "log"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.times.is_floating_point():
            raise TypeError(f"times must be floating point, got {self.times.dtype}.")
        if self.times.ndim != 1 or self.times.shape[0] < 1:
            raise ValueError(
                f"times must have one axis of at least one time, got shape {list(self.times.shape)}."
            )
        leading = (*self.canonical.batch_shape, self.num_times, self.canonical.num_gaussians)
        for name, size in (("delta_means", 3), ("delta_quaternions", 4), ("delta_scales", 3)):
            actual = tuple(getattr(self, name).shape)
            if actual != (*leading, size):
                raise ValueError(
                    f"{name} must have shape {[*leading, size]} to match canonical and times, "
                    f"got {list(actual)}."
                )
        if self.scale_space not in ("log", "linear"):
            raise ValueError(f"scale_space must be 'log' or 'linear', got {self.scale_space!r}.")

    @classmethod
    def from_gaussians(cls, gaussians: Gaussians, times: Float[Tensor, " time"]) -> "DeformableGaussianField":
        """Field that holds still: identity deformation at every time.

        Args:
            gaussians: Canonical Gaussians.
            times: Times at which the deformation is stored, strictly ascending in [0, 1].

        Returns:
            Field whose Gaussians are the same at every time.

        Examples:
            >>> gaussians = Gaussians(
            ...     torch.zeros(5, 3), torch.ones(5, 4), torch.ones(5, 3), torch.ones(5), torch.zeros(5, 1, 3)
            ... )
            >>> field = DeformableGaussianField.from_gaussians(gaussians, torch.tensor([0.0, 1.0]))
            >>> field.at(0.5).means.shape
            torch.Size([5, 3])
        """
        batch, count = gaussians.batch_shape, gaussians.num_gaussians
        zeros = gaussians.means.new_zeros(*batch, times.numel(), count, 3)
        identity = gaussians.means.new_tensor([1.0, 0.0, 0.0, 0.0]).repeat(*batch, times.numel(), count, 1)
        return cls(gaussians, times, zeros, identity, zeros.clone())

    @property
    def num_gaussians(self) -> int:
        """Number of Gaussians in each set."""
        return self.canonical.num_gaussians

    @property
    def num_times(self) -> int:
        """Number of stored times."""
        return self.times.shape[0]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Sizes of the leading axes."""
        return self.canonical.batch_shape

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.canonical.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the tensors."""
        return self.canonical.dtype

    @cached_property
    def _signs(self) -> Float[Tensor, "*batch time gaussian 1"]:
        """What to multiply the delta quaternions by so that each is on the side of the one before."""
        turns = self.delta_quaternions.detach()
        cosines = (turns[..., 1:, :, :] * turns[..., :-1, :, :]).sum(-1, keepdim=True)
        steps = torch.where(cosines < 0, -torch.ones_like(cosines), torch.ones_like(cosines))
        return torch.cat((torch.ones_like(turns[..., :1, :, :1]), steps.cumprod(-3)), dim=-3)

    def at(self, time: float | int | Float[Tensor, ""]) -> Gaussians:
        """Gaussians at one time of the clip.

        Between two stored times, displacements and changes of scale are interpolated linearly and rotations
        at constant angular speed the short way round. At a stored time the stored values are used unchanged,
        but for the signs of quaternions, which are carried on from the first time so that they never jump;
        before the first and after the last stored time the values are held.

        Args:
            time: Time in [0, 1]; gradients flow to a tensor: at a stored time that of the interval after
                it, and none where the ends are held. A tensor on a GPU is read back to check its range.

        Returns:
            Plain Gaussians with the batch axes of the field.

        Raises:
            ValueError: If `time` lies outside [0, 1] or is NaN.
        """
        value = time.detach().item() if isinstance(time, Tensor) else time
        if not 0 <= value <= 1:
            raise ValueError(f"time must lie in [0, 1], got {value:.6g}.")
        if isinstance(time, Tensor):
            time = time.to(self.times)
        else:
            time = torch.full((), time, dtype=self.times.dtype, device=self.times.device)
        lower, fraction = self.locate(time.reshape(1))
        upper = (lower + 1).clamp(max=self.num_times - 1)
        fraction = fraction[0].to(self.dtype)

        def bracket(values: Tensor) -> tuple[Tensor, Tensor]:
            return values.index_select(-3, lower).squeeze(-3), values.index_select(-3, upper).squeeze(-3)

        start, end = bracket(self.delta_quaternions)
        start_sign, end_sign = bracket(self._signs)
        return deform_gaussians(
            self.canonical,
            torch.lerp(*bracket(self.delta_means), fraction),
            quaternion_slerp(start * start_sign, end * end_sign, fraction),
            torch.lerp(*bracket(self.delta_scales), fraction),
            scale_space=self.scale_space,
        )

    def locate(
        self, times: Float[Tensor, " moment"]
    ) -> tuple[Int[Tensor, " moment"], Float[Tensor, " moment"]]:
        """Where moments lie among the stored times.

        Args:
            times: Moments, in the type of `times` of the field; gradients flow to them, as in `at`.

        Returns:
            Index of the last stored time not after each moment, of the first one for moments before it; and
            how far each moment is from there to the next stored time, in [0, 1), 0 where the ends are held.
        """
        last = self.num_times - 1
        lower = torch.searchsorted(self.times.detach(), times.detach(), right=True) - 1
        lower = lower.clamp(0, last)
        upper = (lower + 1).clamp(max=last)
        gap = self.times[upper] - self.times[lower]
        fractions = (times - self.times[lower]) / torch.where(gap > 0, gap, torch.ones_like(gap))
        # Not clamp: its gradient is zero at the ends, that is, at every stored time.
        return lower, torch.where((gap > 0) & (fractions >= 0), fractions, torch.zeros_like(fractions))

    def select(
        self, index: Bool[Tensor, " gaussian"] | Int[Tensor, " selected"] | slice | Sequence[int]
    ) -> "DeformableGaussianField":
        """Field of some of the Gaussians; in a batch, the same ones of every set.

        Args:
            index: Mask over the Gaussians, indices in the order wanted, or a slice.

        Returns:
            Field with the same times and batch axes.

        Raises:
            ValueError: If a mask has another length than the number of Gaussians, or `index` has batch axes.
        """
        chosen = check_index(index, self.num_gaussians, self.device)
        return replace(
            self,
            canonical=self.canonical.select(chosen),
            **self._deltas(lambda values: values[..., chosen, :]),
        )

    def batch(self, index: int | slice | None) -> "DeformableGaussianField":
        """Some fields of a batch, along the first batch axis.

        Args:
            index: An integer for one field without that axis, a slice for several with it, None for a new
                first batch axis of length 1.

        Returns:
            Fields that share the tensors of these.

        Raises:
            ValueError: If `index` is not None and there is no batch axis.
        """
        return replace(
            self, canonical=self.canonical.batch(index), **self._deltas(lambda values: values[index])
        )

    def prune(self, min_opacity: float = 0.005) -> "DeformableGaussianField":
        """Field without Gaussians too transparent to be seen; opacity does not change over time.

        Args:
            min_opacity: Smallest opacity that is kept.

        Returns:
            Field with the Gaussians in their former order.

        Raises:
            ValueError: If the field has batch axes: sets of different sizes have no common tensor.
        """
        check_unbatched("prune", self.batch_shape)
        return self.select(self.canonical.opacities >= min_opacity)

    def limit(
        self, num_gaussians: int, *, cameras: "diff4splat.cameras.Cameras | None" = None
    ) -> "DeformableGaussianField":
        """Field of at most so many Gaussians: those that fill most of the views of a camera path.

        Without `cameras` nothing is known of what hides what; then those of greatest opacity times area are
        kept, area being the product of the two largest canonical scales.

        Args:
            num_gaussians: Largest number that is kept, at least 1.
            cameras: Path that views are taken from, equally spaced in time from 0 to 1; see
                `diff4splat.rendering.filled_pixels`.

        Returns:
            Field with the Gaussians in their former order.

        Raises:
            ValueError: If `num_gaussians` is below 1 or the field has batch axes.
        """
        check_unbatched("limit", self.batch_shape)
        if num_gaussians < 1:
            raise ValueError(f"num_gaussians must be at least 1, got {num_gaussians}.")
        if num_gaussians >= self.num_gaussians:
            return self
        if cameras is None:
            area = self.canonical.scales.sort(dim=-1).values[..., 1:].prod(dim=-1)
            importance = self.canonical.opacities * area
        else:
            from diff4splat.rendering import filled_pixels

            importance = filled_pixels(self, cameras, torch.linspace(0, 1, cameras.num_frames))
        return self.select(importance.topk(num_gaussians).indices.sort().values)

    def transform(self, matrix: Float[Tensor, "4 4"]) -> "DeformableGaussianField":
        """Field moved, turned and uniformly scaled in the world, at all times alike.

        Args:
            matrix: Similarity transform acting on column vectors: rotation times a positive scale, then
                translation.

        Returns:
            Field whose `at(time)` is the transformed `at(time)` of this one.

        Raises:
            ValueError: If `matrix` is no similarity transform.
        """
        linear, scale = split_similarity(matrix)
        delta_scales = self.delta_scales
        if self.scale_space == "linear":
            delta_scales = delta_scales * scale.to(delta_scales)
        return replace(
            self,
            canonical=self.canonical.transform(matrix),
            delta_means=self.delta_means @ linear.mT.to(self.delta_means),
            delta_scales=delta_scales,
        )

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "DeformableGaussianField":
        """Field on another device or in another floating type.

        Args:
            device: Target device; unchanged when omitted.
            dtype: Target floating type; unchanged when omitted. Times never become less precise, so that
                stored times stay apart.

        Returns:
            New field; tensors that need no change are shared.
        """
        time_type = torch.promote_types(self.times.dtype, dtype or self.times.dtype)
        return replace(
            self,
            canonical=self.canonical.to(device=device, dtype=dtype),
            times=self.times.to(device=device, dtype=time_type),
            **self._deltas(lambda values: values.to(device=device, dtype=dtype)),
        )

    def detach(self) -> "DeformableGaussianField":
        """The same field cut off from the gradient graph.

        Returns:
            Field that shares the tensors' memory.
        """
        return replace(
            self,
            canonical=self.canonical.detach(),
            times=self.times.detach(),
            **self._deltas(Tensor.detach),
        )

    def validate(self) -> None:
        """Refuse values that are no field.

        Raises:
            ValueError: If the canonical Gaussians are refused, times do not ascend in [0, 1], a delta is not
                finite, or a delta quaternion is zero.
        """
        self.canonical.validate()
        check_finite("times", self.times)
        if self.times[0] < 0 or self.times[-1] > 1 or (self.times.diff() <= 0).any():
            raise ValueError(f"times must ascend strictly in [0, 1], got {self.times.tolist()}.")
        for name in _DELTAS:
            check_finite(name, getattr(self, name))
        check_nonzero_quaternions("delta_quaternions", self.delta_quaternions)

    def save(self, path: str | Path, *, compact: bool = False) -> None:
        """Write the field to an asset file.

        Args:
            path: File to write, usually `*.safetensors`.
            compact: Whether to write 16-bit numbers and keyframes, a sixth of the size or so, instead of the
                exact values; see `diff4splat.assets.save_field`.

        Raises:
            ValueError: If the field has batch axes or no Gaussian, or holds values that are none.
            FileNotFoundError: If the folder does not exist.
        """
        from diff4splat.assets import save_field

        save_field(self, path, compact=compact)

    @classmethod
    def load(cls, path: str | Path) -> "DeformableGaussianField":
        """Read a field from an asset file.

        Args:
            path: File that `save` wrote.

        Returns:
            The field, on the CPU.

        Raises:
            ValueError: If the file is damaged, of another format or of a newer version.
            FileNotFoundError: If there is no such file.
        """
        from diff4splat.assets import load_field

        return load_field(path)

    def render(
        self, cameras: "diff4splat.cameras.Cameras", times: Float[Tensor, " frame"], **options: Any
    ) -> "diff4splat.rendering.Rendering":
        """Video of the field: camera i at time i.

        Args:
            cameras: One camera per frame.
            times: One time per frame, in [0, 1].
            **options: Options of `diff4splat.rendering.render`.

        Returns:
            Colour, alpha and depth per frame.

        Raises:
            ValueError: If `times` has not one entry per camera or one outside [0, 1], the batch axes or types
                differ, or a value or option is out of range.
        """
        from diff4splat.rendering import render_field

        return render_field(self, cameras, times, **options)

    def _deltas(self, change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        return {name: change(getattr(self, name)) for name in _DELTAS}
