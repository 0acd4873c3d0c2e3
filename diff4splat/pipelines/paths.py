"""Camera paths for the pipeline: fitted to the model's clip, invented for new views, rendered bit by bit."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.assets import depth_to_color
from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines.images import centre_crop_box
from diff4splat.rendering import Rendering

__all__ = ["depth_video", "fit_cameras", "focus_depth", "render_path", "sway_cameras"]

_SWAY_RANGE = (0.04, 0.12)  # least and largest sway, as a fraction of the focus depth


def fit_cameras(
    cameras: Cameras,
    *,
    height: int,
    width: int,
    num_frames: int | None = None,
    coordinates: Literal["first camera", "kept"] = "first camera",
) -> Cameras:
    """A camera path as the pipeline needs it: from the first camera, for a centre crop of another size.

    The intrinsics follow the pixels: the largest centred box of the new shape is cut out and resized, as is
    done with the photograph. Time is kept: the new frames are spread evenly from first to last camera.

    Args:
        cameras: Path of two or more frames without batch axes, in any world frame.
        height: New height, pixels.
        width: New width, pixels.
        num_frames: New number of frames; as many as `cameras` has when omitted.
        coordinates: "first camera" for a path that a scene is to be made along; "kept" for one that already
            is in the world of a scene.

    Returns:
        The path in the frame of its first camera, which becomes the identity; or in the world it was in.

    Raises:
        TypeError: If `cameras` is not a `Cameras`.
        ValueError: If there are batch axes or fewer than two frames, a camera is not rigid or not finite, or
            `coordinates` is neither of the two.
    """
    if coordinates not in ("first camera", "kept"):
        raise ValueError(f"coordinates must be 'first camera' or 'kept', got {coordinates!r}.")
    if not isinstance(cameras, Cameras):
        raise TypeError(
            f"cameras must be a Cameras or the name of a trajectory, got {type(cameras).__name__}."
        )
    if len(cameras.batch_shape) > 0:
        shape = list(cameras.batch_shape)
        raise ValueError(f"cameras must be one path without batch axes, got batch axes {shape}.")
    if cameras.num_frames < 2:
        raise ValueError(f"cameras must have at least 2 frames, got {cameras.num_frames}.")
    cameras.validate()
    box = centre_crop_box(cameras.height, cameras.width, aspect=width / height)
    placed = cameras.relative_to() if coordinates == "first camera" else cameras
    fitted = placed.crop(*box).resize(height, width)
    if num_frames is None or num_frames == cameras.num_frames:
        return fitted
    return fitted.interpolate(torch.linspace(0, 1, num_frames, device=cameras.device, dtype=cameras.dtype))


def focus_depth(field: DeformableGaussianField, cameras: Cameras | None = None) -> float:
    """Depth at which half of the scene's opacity lies nearer to the first camera, scene units.

    Args:
        field: One scene without batch axes.
        cameras: Path without batch axes whose first camera is meant; the world's axes when omitted.

    Returns:
        Opacity-weighted median of the z-depth of the canonical Gaussians in front of that camera; 1 when
        there are none.
    """
    means = field.canonical.means.detach().float()
    depth = means[..., 2]
    if cameras is not None:
        pose = cameras.camera_to_world[0].to(means)
        depth = (means - pose[:3, 3]) @ pose[:3, 2]
    weight = field.canonical.opacities.detach().float() * (depth > 0)
    if not bool(weight.sum() > 0):
        return 1.0
    depth, order = depth.sort()
    cumulative = weight[order].double().cumsum(0)
    index = int(torch.searchsorted(cumulative, cumulative[-1] / 2))
    return float(depth[min(index, len(depth) - 1)])


def sway_cameras(cameras: Cameras, *, focus_depth: float, num_frames: int | None = None) -> Cameras:
    r"""A figure of eight around the first camera, looking at one point: views that nobody commanded.

    With $\phi$ going once around the circle, the camera stands at

    $$(a \sin\phi, \; \tfrac{a}{2} \sin 2\phi, \; 0)$$

    and looks at $(0, 0, f)$, where $f$ = `focus_depth` and $a$ is half of the farthest that `cameras` go
    from their start, but at least 4 % and at most 12 % of $f$.

    Args:
        cameras: The commanded path, two or more frames; gives the amplitude, the lens and the size.
        focus_depth: Distance of the point that stays in the middle, scene units, > 0.
        num_frames: Number of frames; as many as `cameras` has when omitted.

    Returns:
        The path in the frame of the first camera; it starts and ends there.

    Raises:
        ValueError: If `focus_depth` is not a positive finite number.

    Examples:
        >>> from diff4splat.cameras import trajectory
        >>> sway = sway_cameras(trajectory.forward(9, height=64, width=64), focus_depth=3.0)
        >>> bool((sway.camera_to_world[..., :3, 3].norm(dim=-1) < 0.5).all())
        True
    """
    if not (math.isfinite(focus_depth) and focus_depth > 0):
        raise ValueError(f"focus_depth must be a positive number, got {focus_depth}.")
    start = cameras.relative_to()
    count = start.num_frames if num_frames is None else num_frames
    reach = float(start.camera_to_world[..., :3, 3].norm(dim=-1).max())
    low, high = _SWAY_RANGE
    amplitude = min(max(reach / 2, low * focus_depth), high * focus_depth)

    phase = torch.linspace(0, 2 * math.pi, count, device=start.device, dtype=start.dtype)
    position = torch.stack(
        [amplitude * phase.sin(), amplitude / 2 * (2 * phase).sin(), torch.zeros_like(phase)], dim=-1
    )
    target = position.new_tensor([0.0, 0.0, focus_depth])
    camera_to_world = trajectory.look_at(position, target)
    intrinsics = start.intrinsics[:1].expand(count, 3, 3)
    return Cameras(camera_to_world, intrinsics, height=start.height, width=start.width)


def render_path(
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Float[Tensor, " frame"] | None = None,
    *,
    background: Float[Tensor, "rgb=3"] | None = None,
    frames_per_call: int = 4,
    callback: Callable[[int, int], None] | None = None,
) -> Rendering:
    """Render a scene along a path in small groups of frames, so that memory stays low and progress shows.

    Args:
        field: One scene without batch axes.
        cameras: One camera per frame, in the frame of the field.
        times: Time of each frame, in [0, 1]; spread evenly over the clip when omitted.
        background: RGB behind the scene, in [0, 1]; black when omitted.
        frames_per_call: Frames rendered at once; more is faster on a GPU and takes more memory.
        callback: Called with the number of frames finished and of all frames, after each group.

    Returns:
        Colour, alpha and depth of every frame; not differentiable.

    Raises:
        ValueError: If `times` does not have one entry per camera or `frames_per_call` is below 1.
    """
    count = cameras.num_frames
    if times is None:
        times = torch.linspace(0, 1, count, device=cameras.device, dtype=cameras.dtype)
    if len(times) != count:
        raise ValueError(f"times must have one entry per camera, expected {count}, got {len(times)}.")
    if frames_per_call < 1:
        raise ValueError(f"frames_per_call must be at least 1, got {frames_per_call}.")
    film: dict[str, Tensor] = {}
    with torch.no_grad():
        for first in range(0, count, frames_per_call):
            group = slice(first, min(first + frames_per_call, count))
            part = field.render(cameras.select(group), times[group], background=background)
            for name in ("color", "alpha", "depth"):
                value = getattr(part, name)
                film.setdefault(name, value.new_empty(count, *value.shape[1:]))[group] = value
            if callback is not None:
                callback(group.stop, count)
    return Rendering(**film, background=background)


def depth_video(film: Rendering, *, min_alpha: float = 0.5) -> Float[Tensor, "frame rgb=3 height width"]:
    """Depth of a rendered path as colours that mean the same in every frame: near is bright.

    Args:
        film: One rendered path without batch axes.
        min_alpha: Pixels covered less than this are black.

    Returns:
        sRGB in [0, 1], not differentiable.
    """
    return depth_to_color(film.depth[:, 0], mask=film.alpha[:, 0] > min_alpha)
