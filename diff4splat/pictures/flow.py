"""How far everything in a picture moves, and where to, as colours of a wheel."""

import math
from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import project
from diff4splat.pictures.depth_scale import stripes
from diff4splat.pictures.sheets import stack_pictures, text_size_for
from diff4splat.pictures.trails import check_one_camera, word_strip
from diff4splat.pictures.words import draw_words, fit_words, line_height
from diff4splat.rendering import blend_vectors

__all__ = ["flow_picture", "flow_to_color", "motion_video", "pixel_flow"]

# Colours between neighbouring corners of the wheel, from red on, as many as the eye tells apart.
# Source: Baker et al., "A database and evaluation methodology for optical flow" (2011).
_WHEEL = (("yellow", 15), ("green", 6), ("cyan", 4), ("blue", 11), ("magenta", 13), ("red", 6))
_CORNERS = {
    "red": (1.0, 0.0, 0.0),
    "yellow": (1.0, 1.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "blue": (0.0, 0.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
}
_SEEN = 0.5


def flow_picture(
    field: DeformableGaussianField,
    camera: Cameras,
    *,
    start: int | float = 0.0,
    end: int | float = 1.0,
    largest: int | float | None = None,
    text_size: int | None = None,
) -> Float[Tensor, "rgb=3 picture_height width"]:
    """Where everything that a camera sees at one time has gone at another, as colours of a wheel.

    White rests; the hue says the direction and the strength of the colour how far, as the wheel below shows.
    The camera stands still. Grey stripes are where it sees nothing.

    Args:
        field: One scene without batch axes.
        camera: One camera.
        start: Time of what is seen, in [0, 1].
        end: Time that it is followed to, in [0, 1].
        largest: Motion of full colour, pixels; when omitted the 99th percentile, and at least 1.
        text_size: Size of the letters, pixels; fitting to the picture when omitted.

    Returns:
        The picture above its legend, on the CPU.

    Raises:
        ValueError: If `camera` is not one camera, there are batch axes, or `largest` is not positive.
    """
    flow = pixel_flow(field, camera, start=start, end=end).float().cpu()
    known = torch.isfinite(flow[0])
    if largest is None:
        largest = _full_color(flow, least=1.0)
    picture = flow_to_color(flow, largest=largest)
    still = not bool((flow.norm(dim=0)[known] >= 1).any())
    size = text_size_for(camera.height, camera.width) if text_size is None else text_size
    return stack_pictures([picture, _legend(largest, camera.width, size, still=still)])


def motion_video(
    field: DeformableGaussianField,
    cameras: Cameras,
    times: Float[Tensor, " frame"] | None = None,
    *,
    largest: int | float | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "frame rgb=3 height width"]:
    """How far everything moves from each frame of a path to the next, as colours of one scale.

    Only the scene moves: each camera stands still between its frame and the next time.

    Args:
        field: One scene without batch axes.
        cameras: One camera per frame, two or more.
        times: Time of each frame, in [0, 1]; spread evenly over the clip when omitted. The motion is that
            over one frame of an evenly spread clip, and ends at time 1.
        largest: Motion of full colour, pixels per frame; when omitted the 99th percentile of the clip, and at
            least half a pixel.
        callback: Called with the number of frames finished and of all frames, after each.

    Returns:
        Pictures as `flow_to_color` makes them.

    Raises:
        ValueError: If `times` does not have one entry per camera, there are fewer than two cameras or batch
            axes, or `largest` is not positive.
    """
    count = cameras.num_frames
    if count < 2:
        raise ValueError(f"cameras must be two or more, got {count}.")
    moments = torch.linspace(0, 1, count).tolist() if times is None else times.tolist()
    if len(moments) != count:
        raise ValueError(f"times must have one entry per camera, expected {count}, got {len(moments)}.")
    flows, step = [], 1 / (count - 1)
    for index, moment in enumerate(moments):
        camera = cameras.select([index])
        if moment + step <= 1:
            flows.append(pixel_flow(field, camera, start=moment, end=moment + step))
        else:  # what comes after the end is not known, so what was before it stands for it
            flows.append(-pixel_flow(field, camera, start=moment, end=moment - step))
        if callback is not None:
            callback(index + 1, count)
    clip = torch.stack(flows)
    if largest is None:
        largest = _full_color(clip, least=0.5)
    return flow_to_color(clip, largest=largest)


def flow_to_color(
    flow: Float[Tensor, "*batch xy=2 height width"], *, largest: int | float
) -> Float[Tensor, "*batch rgb=3 height width"]:
    r"""Colours of displacements: direction is hue, length is saturation.

    $$c = 1 - \min(\|f\| / f_{max}, 1) \, (1 - w(\arg f))$$

    with the displacement $f$, $f_{max}$ = `largest`, and the wheel $w$ of 55 hues: to the right is red, down
    yellow, left cyan to blue, up blue to magenta.
    Source: Baker et al., A database and evaluation methodology for optical flow, Fig. 5.
    Differs: lengths above `largest` keep the full colour; there they are darkened.

    Args:
        flow: Displacements in pixels, x to the right and y down; striped grey where not finite.
        largest: Length of full colour, pixels, > 0.

    Returns:
        sRGB in [0, 1]; not differentiable.

    Raises:
        ValueError: If `largest` is not positive.
    """
    if not (math.isfinite(largest) and largest > 0):
        raise ValueError(f"largest must be a positive number of pixels, got {largest}.")
    values = flow.detach()
    x, y = values.unbind(dim=-3)
    known = torch.isfinite(x) & torch.isfinite(y)
    x, y = torch.where(known, x, 0.0), torch.where(known, y, 0.0)
    wheel = _wheel().to(values)
    count = len(wheel)
    # the end of the wheel meets its start: the last hue lies between magenta and red
    place = torch.atan2(y, x).remainder(2 * math.pi) / (2 * math.pi) * count
    lower = place.floor().long() % count
    share = (place - place.floor())[..., None]
    hue = torch.lerp(wheel[lower], wheel[(lower + 1) % count], share)
    strength = (torch.hypot(x, y) / largest).clamp(max=1.0)[..., None]
    color = (1 - strength * (1 - hue)).movedim(-1, -3)
    grey = stripes(*values.shape[-2:]).to(color)
    return torch.where(known[..., None, :, :], color, grey)


def pixel_flow(
    field: DeformableGaussianField, camera: Cameras, *, start: int | float = 0.0, end: int | float = 1.0
) -> Float[Tensor, "xy=2 height width"]:
    """How far the pixels of a camera that stands still move between two times.

    Args:
        field: One scene without batch axes.
        camera: One camera.
        start: Time of what the pixels show, in [0, 1].
        end: Time that it is followed to, in [0, 1].

    Returns:
        Displacements in pixels, x to the right and y down, blended over Gaussians as colours are; NaN where
        less than half of a pixel is covered. Not differentiable.

    Raises:
        ValueError: If `camera` is not one camera, there are batch axes, or a time is out of range.
    """
    check_one_camera(camera)
    if len(field.batch_shape) > 0:
        raise ValueError(
            f"field must be one scene without batch axes, got batch axes {list(field.batch_shape)}."
        )
    field = field.detach()
    camera = camera.to(device=field.device, dtype=field.dtype)
    with torch.no_grad():
        before, after = field.at(start), field.at(end)
        pose, lens = camera.camera_to_world[0], camera.intrinsics[0]
        moved = project(after.means, pose, lens)[0] - project(before.means, pose, lens)[0]
        # what passes beside the lens moves without limit; such values would swallow all others
        side = max(camera.height, camera.width)
        moved = moved.nan_to_num(0.0, 0.0, 0.0).clamp(-side, side)
        vectors = torch.cat((moved, torch.zeros_like(moved[:, :1])), dim=-1)
        blended, shown = blend_vectors(before, vectors, camera)
    return torch.where(shown.alpha[0] >= _SEEN, blended[0, :2], torch.nan)


def _full_color(flow: Tensor, *, least: float) -> float:
    """99th percentile of the lengths that are known, from at most a million evenly spaced pixels."""
    lengths = flow.norm(dim=-3).flatten()
    lengths = lengths[torch.isfinite(lengths)].double()
    if not lengths.numel():
        return least
    lengths = lengths[:: max(1, lengths.numel() // 1_000_000)].sort().values
    return max(least, float(lengths[round(0.99 * (len(lengths) - 1))]))


def _legend(largest: float, width: int, size: int, *, still: bool) -> Tensor:
    """The wheel, and how far its rim is, in a strip."""
    side, margin = 3 * size, size // 2
    words = "nothing moves by a pixel" if still else f"direction; rim: {largest:.3g} pixels"
    if still:
        return word_strip(words, width, text_size=size)
    if width < side + 2 * margin:
        return torch.ones(3, 0, width)
    strip = torch.ones(3, side + 2 * margin, width)
    strip[:, margin : margin + side, margin : margin + side] = _drawn_wheel(side)
    left = side + 2 * margin
    words, top = fit_words(words, size, width - left), margin + (side - line_height(size)) // 2
    draw_words(strip, words, left=left, top=top, size=size)
    return strip


def _drawn_wheel(side: int) -> Tensor:
    """A disc whose colours stand where the motions that they mean point, with a smooth rim."""
    place = (torch.arange(side) + 0.5 - side / 2) / (side / 2)
    y, x = torch.meshgrid(place, place, indexing="ij")
    radius = torch.hypot(x, y)
    cover = ((1 - radius) * side / 2).clamp(0, 1)
    return 1 + cover * (flow_to_color(torch.stack((x, y)), largest=1.0) - 1)


@cache
def _wheel() -> Tensor:
    """The 55 hues, from red through yellow and blue back to where red follows."""
    hues, start = [], torch.tensor(_CORNERS["red"])
    for name, count in _WHEEL:
        end = torch.tensor(_CORNERS[name])
        hues.append(start + (torch.arange(count) / count)[:, None] * (end - start))
        start = end
    return torch.cat(hues)
