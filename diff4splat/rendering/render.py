"""Gaussians and cameras in, images out: the only file of this folder that users call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.rendering import gsplat_backend
from diff4splat.rendering.arguments import (
    DepthMode,
    Mode,
    Options,
    as_background,
    check_inputs,
    check_options,
)
from diff4splat.rendering.backends import Backend, choose_backend
from diff4splat.rendering.drawing import Images, draw, draw_field

__all__ = ["Rendering", "render", "render_field"]


@dataclass(frozen=True, eq=False)
class Rendering:
    """What cameras see of a set of Gaussians.

    Args:
        color: Composited colour over the background, not clamped; in [0, 1] where colours and background
            are. Over black it is premultiplied by alpha.
        alpha: Opacity, in [0, 1].
        depth: z-depth in scene units; 0 where `alpha` is 0.
        background: The background, None for black.
        num_contributing: How many Gaussians contribute to a pixel, 0 in holes; if details were asked for.
        strongest: Index of the Gaussian with the largest weight in a pixel, the first of equals, -1 in holes;
            if details were asked for.
    """

    color: Float[Tensor, "*batch frame rgb=3 height width"]
    alpha: Float[Tensor, "*batch frame 1 height width"]
    depth: Float[Tensor, "*batch frame 1 height width"]
    background: Float[Tensor, "rgb=3"] | None = None
    num_contributing: Int[Tensor, "*batch frame 1 height width"] | None = None
    strongest: Int[Tensor, "*batch frame 1 height width"] | None = None

    @property
    def straight_color(self) -> Float[Tensor, "*batch frame rgb=3 height width"]:
        r"""Colour of what covers a pixel, without the background: what image files keep beside alpha.

        $$\hat C = \frac{C - (1 - \alpha) \, c_{bg}}{\alpha}$$

        with $C$ = `color`; 0 where `alpha` is 0.
        """
        color = self.color
        if self.background is not None:
            color = color - (1 - self.alpha) * self.background[:, None, None]
        covered = self.alpha > 0
        shares = torch.where(covered, self.alpha, torch.ones_like(self.alpha))
        return torch.where(covered, color / shares, torch.zeros_like(color))


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    backend: Backend = "auto",
    background: Float[Tensor, "rgb=3"] | Sequence[float] | None = None,
    near: float = 0.01,
    far: float = 1e10,
    eps2d: float = 0.3,
    radius_clip: float = 0.0,
    mode: Mode = "classic",
    depth_mode: DepthMode = "expected",
    max_alpha: float | None = None,
    details: bool = False,
) -> Rendering:
    r"""Images of Gaussians by differentiable splatting, with the semantics of `gsplat.rasterization`.

    $$C = \sum_i c_i \alpha_i T_i + c_{bg} \prod_i (1 - \alpha_i), \qquad T_i = \prod_{j<i} (1 - \alpha_j)$$

    over Gaussians in depth order, with $c_i$ the harmonics seen from the camera plus 0.5, at least 0,
    $\alpha_i$ the opacity times the projected Gaussian, and $c_{bg}$ = `background`.
    Source: Kerbl et al., 3D Gaussian Splatting, Eq. 3.

    Gradients flow to every tensor of `gaussians` and `cameras` and to `background` ("gsplat" has none for
    intrinsics). "cpu" and "gsplat" compute in float32, "reference" in the dtype of the inputs but at least in
    float32; all return the dtype of the inputs. On the CPU every run gives the same bits, whatever the number
    of threads. `world_to_camera` is the rigid inverse of `camera_to_world`;
    gradients follow that formula.

    Args:
        gaussians: One set, or one per leading batch index. Scales count without their sign; where all are
            zero, the footprint is as wide as `eps2d` makes it. Opacities below 1/255 are not seen.
        cameras: Cameras with the same batch axes as `gaussians`.
        backend: "cpu" needs numba, and falls back to plain torch, with a warning, without it; "gsplat" needs
            CUDA tensors; "reference" is the slow oracle, on any device. "auto" is
            "gsplat" for CUDA tensors, "cpu" for CPU tensors, "reference" elsewhere.
        background: Colour behind everything, black when omitted.
        near: Gaussians whose centre has smaller z are dropped, scene units, > 0.
        far: Gaussians whose centre has larger z are dropped, scene units; 1e18 at most.
        eps2d: Added to both variances of every footprint, pixels squared, >= 0.
        radius_clip: Footprints no wider than this to each side are dropped, pixels.
        mode: "antialiased" lowers opacities by what `eps2d` adds to the footprints.
        depth_mode: "expected" divides depth by alpha; "accumulated" does not.
        max_alpha: Largest opacity of one Gaussian at a pixel, above 1/255 and below 0.9999. The cap of the
            backend when omitted: 0.999, and 0.99 for "gsplat" from version 1.6 on, which takes no other.
        details: Also tell, per pixel, how many Gaussians contribute and which is the strongest. Fast on the
            CPU; elsewhere "reference" finds it.

    Returns:
        Colour, alpha and depth per frame; leading axes are kept. No Gaussians give background, alpha 0 and
        depth 0.

    Raises:
        ValueError: If an option or a shape is wrong, or gsplat has another `max_alpha`; on the CPU also if a
            value is not finite, a colour or the background exceeds 1e18, a quaternion is shorter than 1e-8,
            intrinsics are singular or skewed, or a pose is not rigid.
        TypeError: If dtypes or devices differ, or are not floating point.
        RuntimeError: If the backend cannot run here; the message says how to cure it.

    Examples:
        >>> import torch
        >>> from diff4splat.cameras import trajectory
        >>> values = [0.0, 0, 3], [1.0, 0, 0, 0], [0.1] * 3, 0.9, [[1.0, 0, 0]]
        >>> one = Gaussians(*(torch.tensor(v)[None] for v in values))
        >>> render(one, trajectory.static(2, height=8, width=8)).color.shape
        torch.Size([2, 3, 8, 8])
    """
    options = check_options(
        backend=backend,
        near=near,
        far=far,
        eps2d=eps2d,
        radius_clip=radius_clip,
        mode=mode,
        depth_mode=depth_mode,
        max_alpha=max_alpha,
        details=details,
    )
    chosen = choose_backend(backend, gaussians.means.device)
    check_inputs(gaussians, cameras)
    return _rendering(chosen, draw, gaussians, cameras, background, options)


def render_field(
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Float[Tensor, " frame"] | Sequence[float],
    *,
    backend: Backend = "auto",
    background: Float[Tensor, "rgb=3"] | Sequence[float] | None = None,
    near: float = 0.01,
    far: float = 1e10,
    eps2d: float = 0.3,
    radius_clip: float = 0.0,
    mode: Mode = "classic",
    depth_mode: DepthMode = "expected",
    max_alpha: float | None = None,
    details: bool = False,
) -> Rendering:
    """Images of a deforming field: camera i sees the Gaussians at `times[i]`.

    On the CPU the deformation is part of drawing and no deformed set is ever made; elsewhere there is one at
    a time, unless gradients need the others.

    Args:
        field: Canonical Gaussians and their deformation.
        cameras: Cameras with the batch axes of `field`.
        times: One time in [0, 1] per frame of `cameras`.
        backend: See `render`.
        background: See `render`.
        near: See `render`.
        far: See `render`.
        eps2d: See `render`.
        radius_clip: See `render`.
        mode: See `render`.
        depth_mode: See `render`.
        max_alpha: See `render`.
        details: See `render`.

    Returns:
        Colour, alpha and depth per frame; leading axes are kept.

    Raises:
        ValueError: If there is not one time in [0, 1] per frame, and as for `render`.
        TypeError: As for `render`.
        RuntimeError: As for `render`.
    """
    options = check_options(
        backend=backend,
        near=near,
        far=far,
        eps2d=eps2d,
        radius_clip=radius_clip,
        mode=mode,
        depth_mode=depth_mode,
        max_alpha=max_alpha,
        details=details,
    )
    chosen = choose_backend(backend, field.device)
    if len(times) != cameras.num_frames or len(times) == 0:
        raise ValueError(
            f"times must hold one time per frame ({cameras.num_frames}, not 0), got {len(times)}."
        )
    for time in times.detach().tolist() if isinstance(times, Tensor) else times:
        if not 0 <= float(time) <= 1:
            raise ValueError(f"times must lie in [0, 1], got {float(time):.6g}.")
    check_inputs(
        field.canonical,
        cameras,
        delta_means=field.delta_means,
        delta_quaternions=field.delta_quaternions,
        delta_scales=field.delta_scales,
    )
    return _rendering(chosen, partial(draw_field, times=times), field, cameras, background, options)


def _rendering(
    chosen: str,
    draw_it: Callable[..., Images],
    scene: Gaussians | DeformableGaussianField,
    cameras: Cameras,
    background: Tensor | Sequence[float] | None,
    options: Options,
) -> Rendering:
    """Draw checked arguments in a type that is wide enough, and return the type that was given."""
    if chosen == "gsplat":  # before any work: a first call builds it, and may find that it cannot be built
        gsplat_backend.require(options.max_alpha)
    given = scene.dtype
    behind = as_background(background, given, scene.device)
    wide = torch.promote_types(given, torch.float32)  # half precision is too coarse for places and poses
    with torch.autocast(scene.device.type, enabled=False):
        images = draw_it(
            chosen,
            scene.to(dtype=wide),
            cameras.to(dtype=wide),
            background=None if behind is None else behind.to(wide),
            options=options,
        )
    color, alpha, depth = (v.to(given) for v in images[:3])
    return Rendering(color, alpha, depth, behind, images.num_contributing, images.strongest)
