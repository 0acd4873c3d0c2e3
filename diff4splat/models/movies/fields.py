"""From the maps of MoVieS to a deformable Gaussian field."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians, deltas_between, rgb_to_harmonics
from diff4splat.geometry import matrix_to_quaternion, quaternion_multiply, quaternion_normalize, unproject
from diff4splat.models.movies.network import MovingMaps, StaticMaps

__all__ = ["Splats", "activate_splats", "maps_to_field"]

_NEAREST, _FARTHEST = 0.001, 100.0  # depths that are told apart, in units of the network
_SCALE_UNIT, _LARGEST_SCALE = 0.001, 0.3
_SMALLEST_SCALE = 1e-8  # so that a logarithm exists
_OPACITY_BIAS = 1.0


class Splats(NamedTuple):
    """Attributes of the Gaussians of all pixels, frame by frame, row by row.

    Args:
        colors: In [0, 1].
        scales: Standard deviations in units of the network, > 0.
        quaternions: Orientations in the world of the network, unit, wxyz.
        opacities: In [0, 1].
    """

    colors: Float[Tensor, "batch gaussian rgb=3"]
    scales: Float[Tensor, "batch gaussian xyz=3"]
    quaternions: Float[Tensor, "batch gaussian wxyz=4"]
    opacities: Float[Tensor, "batch gaussian"]


def activate_splats(splats: Float[Tensor, "batch frame splat=11 height width"]) -> Splats:
    r"""Physical values of raw splats.

    $$c = \tfrac12 \tanh r_c + \tfrac12, \quad s = \min(10^{-3}\,\mathrm{softplus}(r_s), 0.3), \quad
      q = r_q / \lVert r_q \rVert, \quad o = \tfrac12 \tanh(r_o - 1) + \tfrac12$$

    with $r$ the channels of `splats`, 3, 3, 4 (wxyz) and 1 of them. Source: Lin et al. 2026 (MoVieS), the
    activations of the released configuration.

    Args:
        splats: Raw maps.

    Returns:
        Attributes, in float32 or the wider type of `splats`.
    """
    wide = torch.promote_types(splats.dtype, torch.float32)
    flat = rearrange(splats.to(wide), "b f c h w -> b (f h w) c")
    color, scale, rotation, opacity = flat.split((3, 3, 4, 1), dim=-1)
    return Splats(
        colors=torch.tanh(color) / 2 + 0.5,
        scales=(_SCALE_UNIT * F.softplus(scale)).clamp(_SMALLEST_SCALE, _LARGEST_SCALE),
        quaternions=quaternion_normalize(rotation),
        opacities=torch.tanh(opacity[..., 0] - _OPACITY_BIAS) / 2 + 0.5,
    )


def maps_to_field(
    static: StaticMaps,
    moving: Iterable[MovingMaps],
    cameras: Cameras,
    *,
    times: Float[Tensor, " time"],
    scene_scale: float = 1.0,
    appearance: Literal["mean", "static"] = "mean",
) -> DeformableGaussianField:
    r"""A Gaussian per pixel of the maps, as its own frame shows it, and how it is at each target time.

    $$\mu_0 = \sigma\,X, \quad \Delta\mu_t = \sigma R\,m_t, \quad \Delta q_t = q^{-1} \otimes q_t, \quad
      \Delta s_t = \log s_t - \log s$$

    with $X$ the point at `depth` behind the pixel, $m_t$ its motion, $q, s$ of the static splats and
    $q_t, s_t$ of those of the target time, $\sigma$ = `scene_scale` and $R$ the orientation of the first
    camera, in whose axes the network works.

    At the target times the Gaussians are where MoVieS has them and of the shape that it gives them. Colour
    and opacity, which MoVieS lets change over time where something moves, do not change in a field: it keeps
    the mean over the target times, which is as close to all of them as one value can be, or the static ones.
    `metadata` says how much that leaves out: `lost_color` and `lost_opacity` are the root mean square
    difference over Gaussians and times, for either choice.

    Args:
        static: Static maps.
        moving: Moving maps, one per target time; taken one after another, so that a generator holds one.
        cameras: Cameras of the frames of the maps, at their size, in the world of the result.
        times: Target times, ascending in [0, 1].
        scene_scale: Scene units of `cameras` per unit of the network.
        appearance: Colour and opacity that are kept: the mean over the target times, or the static ones.

    Returns:
        Field with one batch axis, in "log" scale space; Gaussians frame by frame, row by row.
    """
    with torch.autocast(static.depth.device.type, enabled=False):
        canonical, still = _canonical(static, cameras, scene_scale)
        batch, count = canonical.batch_shape[0], canonical.num_gaussians
        rotation = cameras.camera_to_world[:, 0, :3, :3].to(canonical.means)
        room = {"means": 3, "quaternions": 4, "scales": 3}
        deltas = {
            name: canonical.means.new_empty(batch, len(times), count, size) for name, size in room.items()
        }
        color, opacity = _Drift(still.colors), _Drift(still.opacities)
        for index, maps in enumerate(moving):
            now = activate_splats(maps.splats)
            there = Gaussians(  # only shape and orientation are compared; the motion is known
                canonical.means, now.quaternions, now.scales, now.opacities, canonical.harmonics
            )
            here = Gaussians(
                canonical.means, still.quaternions, still.scales, still.opacities, canonical.harmonics
            )
            change = deltas_between(here, there)
            motion = rearrange(maps.motion.to(rotation), "b f c h w -> b (f h w) c")
            deltas["means"][:, index] = scene_scale * motion @ rotation.mT
            deltas["quaternions"][:, index] = change.quaternions
            deltas["scales"][:, index] = change.scales
            color.add(now.colors)
            opacity.add(now.opacities)
        keeps_mean = appearance == "mean"
        return DeformableGaussianField(
            canonical=Gaussians(
                canonical.means,
                canonical.quaternions,
                canonical.scales,
                opacity.mean() if keeps_mean else still.opacities,
                rgb_to_harmonics(color.mean() if keeps_mean else still.colors)[..., None, :],
            ),
            times=times,
            delta_means=deltas["means"],
            delta_quaternions=deltas["quaternions"],
            delta_scales=deltas["scales"],
            metadata={
                "appearance": appearance,
                "lost_color": color.losses(),
                "lost_opacity": opacity.losses(),
            },
        )


def _canonical(static: StaticMaps, cameras: Cameras, scene_scale: float) -> tuple[Gaussians, Splats]:
    """Gaussians as the frames show them, in the world of the cameras, and their splats in the network's."""
    splats = activate_splats(static.splats)
    depth = static.depth.to(splats.scales).clamp(_NEAREST, _FARTHEST) * scene_scale
    matrices = cameras.camera_to_world.to(depth)
    points = unproject(depth, matrices, cameras.intrinsics.to(depth))
    turn = matrix_to_quaternion(matrices[:, :1, :3, :3])
    gaussians = Gaussians(
        means=rearrange(points, "b f h w c -> b (f h w) c"),
        quaternions=quaternion_multiply(turn, splats.quaternions),
        scales=scene_scale * splats.scales,
        opacities=splats.opacities,
        harmonics=rgb_to_harmonics(splats.colors)[..., None, :],
    )
    return gaussians, splats


class _Drift:
    """How an attribute strays over time from its static value."""

    def __init__(self, static: Tensor) -> None:
        self.static = static
        self.total = torch.zeros_like(static)
        self.squares = torch.zeros_like(static)
        self.count = 0

    def add(self, now: Tensor) -> None:
        change = now - self.static
        self.total = self.total + change
        self.squares = self.squares + change.detach().square()
        self.count += 1

    def mean(self) -> Tensor:
        return self.static + self.total / self.count

    def losses(self) -> dict[str, float]:
        """Root mean square difference over all times that remains with either choice."""
        around_static = self.squares / self.count
        around_mean = around_static - (self.total.detach() / self.count).square()
        return {
            name: round(float(values.mean().clamp(min=0).sqrt()), 6)
            for name, values in (("static", around_static), ("mean", around_mean))
        }
