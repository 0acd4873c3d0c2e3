"""The ways that Gaussians take over a clip, drawn into a picture of the scene."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diff4splat.assets import position_to_color
from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.geometry import project
from diff4splat.pictures.lines import draw_line
from diff4splat.pictures.sheets import stack_pictures, text_size_for
from diff4splat.pictures.words import draw_words, fit_words, line_height, word_width
from diff4splat.rendering import render

__all__ = ["MotionTrails", "find_trails", "motion_trails", "time_bar", "time_to_color"]

_BEHIND = 0.02  # share of the depth that a trail may lie behind a surface and still be on it
_FAINT = 0.22  # opacity of trails behind surfaces
_COARSE_STEPS = 9


@dataclass(frozen=True, eq=False)
class MotionTrails:
    """Ways of some Gaussians through the picture of one camera that stands still.

    Args:
        indices: Which Gaussians of the field, the most important first.
        times: Times of the points, from 0 to 1.
        pixels: Places in the picture; not finite where a Gaussian is beside or behind the camera.
        depth: z-depths, scene units.
        hidden: Where a surface of the picture stands before the Gaussian.
    """

    indices: Int[Tensor, " trail"]
    times: Float[Tensor, " time"]
    pixels: Float[Tensor, "trail time xy=2"]
    depth: Float[Tensor, "trail time"]
    hidden: Bool[Tensor, "trail time"]


def motion_trails(
    field: DeformableGaussianField,
    camera: Cameras,
    *,
    time: int | float = 1.0,
    max_trails: int = 120,
    num_times: int = 33,
    min_motion: int | float | None = None,
    text_size: int | None = None,
) -> Float[Tensor, "rgb=3 picture_height width"]:
    """A picture of the scene at one time, with the ways that its Gaussians take through the whole clip.

    A trail is coloured by time, from violet to yellow, and ends in a dot where the Gaussian is at the time of
    the picture; it is faint where a surface of the picture hides it. The picture under the trails is paler
    than the scene. Which Gaussians have a trail, `find_trails` says.

    Args:
        field: One scene without batch axes.
        camera: One camera, which stands still.
        time: Time of the picture under the trails, in [0, 1].
        max_trails: Most trails.
        num_times: Points of a trail, at least 2.
        min_motion: Shortest way that counts as motion, pixels; when omitted 1 % of the longer side, at least
            1, and a tenth of the longest ways (their 98th percentile), so that what hardly moves beside
            them has no trail.
        text_size: Size of the letters, pixels; fitting to the picture when omitted.

    Returns:
        The picture, above a strip with the scale of time, or the words that nothing moves; on the CPU.

    Raises:
        ValueError: If `camera` is not one camera, there are batch axes, or a number is out of range.
    """
    trails, color = _find(field, camera, time, max_trails, num_times, min_motion)
    picture = _paler(color.clamp(0, 1))
    ink = time_to_color(trails.times)
    smallest = _least_motion(camera, min_motion)
    width = max(1.0, 0.0035 * max(camera.height, camera.width))
    for pixels, hidden in reversed(list(zip(trails.pixels, trails.hidden, strict=True))):
        opacity = torch.where(hidden, _FAINT, 1.0)
        draw_line(picture, pixels, color=ink, opacity=opacity, width=width, outline=0.6 * width)
    for pixels in trails.pixels.flip(0):
        here = _between(pixels, trails.times, time)
        tip = time_to_color(torch.tensor([time]))
        draw_line(picture, here[None], color=tip, width=2.4 * width, outline=0.6 * width)
    size = text_size_for(camera.height, camera.width) if text_size is None else text_size
    if len(trails.indices):
        strip = time_bar(camera.width, text_size=size)
    else:
        words = f"nothing moves by {smallest:.3g} pixels or more"
        strip = word_strip(words, camera.width, text_size=size)
    return stack_pictures([picture, strip])


def find_trails(
    field: DeformableGaussianField,
    camera: Cameras,
    *,
    time: int | float = 1.0,
    max_trails: int = 120,
    num_times: int = 33,
    min_motion: int | float | None = None,
) -> MotionTrails:
    r"""The moving Gaussians that a picture shows best, and their ways through it.

    Only Gaussians that are seen at `time` come into question: those in the picture that no surface hides.
    Their importance is

    $$w = o \, \frac{s_1 s_2}{z^2} \, \ell$$

    with the opacity $o$, the two largest scales $s_1, s_2$, the depth $z$ at `time`, and the length $\ell$ of
    the way in pixels. The picture is divided into squares, twice as many as trails are wanted; the most
    important Gaussian of each has a trail, unless one more important is nearer than three quarters of a
    square, so that trails are spread over what moves.

    Args:
        field: One scene without batch axes.
        camera: One camera, which stands still.
        time: Time at which Gaussians must be seen, in [0, 1].
        max_trails: Most trails.
        num_times: Points of a trail, at least 2.
        min_motion: Shortest way that counts as motion, pixels; when omitted 1 % of the longer side, at least
            1, and a tenth of the longest ways (their 98th percentile), so that what hardly moves beside
            them has no trail.

    Returns:
        The trails, on the CPU, in float64; none where nothing moves.

    Raises:
        ValueError: If `camera` is not one camera, there are batch axes, or a number is out of range.
    """
    return _find(field, camera, time, max_trails, num_times, min_motion)[0]


def time_to_color(times: Float[Tensor, " *shape"]) -> Float[Tensor, "*shape rgb=3"]:
    """Colours of times: violet at the start, through red and orange to a warm yellow at the end.

    They are the middle of the scale of depth, and can be told from each other on light and on dark.

    Args:
        times: In [0, 1].

    Returns:
        sRGB in [0, 1].
    """
    return position_to_color(0.3 + 0.58 * times)


def time_bar(width: int, *, text_size: int = 14) -> Float[Tensor, "rgb=3 height width"]:
    """The scale of time: colours from start to end, and words beside them.

    Args:
        width: Columns.
        text_size: Size of the letters, pixels.

    Returns:
        White strip with the scale; of no rows where it is too narrow for one.
    """
    start, end = "start", "end"
    line, margin = line_height(text_size), text_size // 2
    before, after = (word_width(words, text_size) for words in (start, end))
    length = width - before - after - 4 * margin
    if length < 2 * text_size:
        return torch.ones(3, 0, width)
    strip = torch.ones(3, line + 2 * margin, width)
    left, high = before + 2 * margin, max(text_size * 2 // 3, 6)
    top = margin + (line - high) // 2
    colors = time_to_color((torch.arange(length) + 0.5) / length).T
    strip[:, top : top + high, left : left + length] = colors[:, None]
    draw_words(strip, start, left=margin, top=margin, size=text_size)
    draw_words(strip, end, left=left + length + margin, top=margin, size=text_size)
    return strip


def word_strip(words: str, width: int, *, text_size: int = 14) -> Float[Tensor, "rgb=3 height width"]:
    """Words in a line below a picture, as high as `time_bar`.

    Args:
        words: What is said; shortened where there is no room.
        width: Columns.
        text_size: Size of the letters, pixels.

    Returns:
        White strip; of no rows where it is too narrow for words.
    """
    if width < 8 * text_size:
        return torch.ones(3, 0, width)
    margin = text_size // 2
    strip = torch.ones(3, line_height(text_size) + 2 * margin, width)
    shown = fit_words(words, text_size, width - 2 * margin)
    draw_words(strip, shown, left=margin, top=margin, size=text_size)
    return strip


def _find(
    field: DeformableGaussianField,
    camera: Cameras,
    time: int | float,
    max_trails: int,
    num_times: int,
    min_motion: int | float | None,
) -> tuple[MotionTrails, Tensor]:
    """The trails, and the colours of the picture that they belong to, on the CPU."""
    check_one_camera(camera)
    if len(field.batch_shape) > 0:
        raise ValueError(
            f"field must be one scene without batch axes, got batch axes {list(field.batch_shape)}."
        )
    if max_trails < 0:
        raise ValueError(f"max_trails must be at least 0, got {max_trails}.")
    if num_times < 2:
        raise ValueError(f"num_times must be at least 2, got {num_times}.")
    field = field.detach()
    camera = camera.to(device=field.device, dtype=field.dtype)
    with torch.no_grad():
        now = field.at(time)
        image = render(now, camera)
        side = math.sqrt(camera.height * camera.width / (2 * max(max_trails, 1)))
        places, depth = _project(now.means, camera)
        seen = _is_seen(places, depth, now.opacities, camera, image.depth[0, 0])
        cell = _cells(places, side)
        chosen = seen.nonzero()[:, 0]
        coarse, _ = _ways(field, camera, chosen, torch.linspace(0, 1, _COARSE_STEPS))
        length = coarse.diff(dim=1).norm(dim=-1).nan_to_num(0.0, 0.0, 0.0).sum(dim=1)
        moving = length >= _least_motion(camera, min_motion)
        if min_motion is None and bool(moving.any()):
            moving &= length >= 0.1 * length[moving].quantile(0.98)
        chosen, length = chosen[moving], length[moving]
        area = now.scales[chosen].sort(dim=-1).values[:, 1:].prod(dim=-1).double() / depth[chosen] ** 2
        importance = now.opacities[chosen].double() * area * length
        order = importance.argsort(descending=True, stable=True)
        order = order[_first_of_each(cell[chosen][order])]
        order = order[_apart(places[chosen][order], 0.75 * side)]
        index = chosen[order][:max_trails]
        times = torch.linspace(0, 1, num_times)
        pixels, z = _ways(field, camera, index, times)
        hidden = _is_behind(pixels, z, image.depth[0, 0].double())
    trails = MotionTrails(index.cpu(), times.double(), pixels.cpu(), z.cpu(), hidden.cpu())
    return trails, image.color[0].float().cpu()


def _is_seen(pixels: Tensor, depth: Tensor, opacities: Tensor, camera: Cameras, surface: Tensor) -> Tensor:
    """Which Gaussians a picture shows: those in it that are not faint, and that nothing hides."""
    inside = (pixels >= 0).all(dim=-1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
    behind = _is_behind(pixels[:, None], depth[:, None], surface.double())[:, 0]
    return inside & (depth > 0) & ~behind & (opacities > 0.1)


def _cells(pixels: Tensor, side: float) -> Tensor:
    """Number of the square of the picture that each place is in; any for places beside the picture."""
    places = (pixels.nan_to_num(0.0, 0.0, 0.0).clamp(0, 1e6) / side).long()
    return places[:, 1] * 1_000_000 + places[:, 0]


def _apart(places: Tensor, distance: float) -> Tensor:
    """Indices of places that are far enough from all places kept before them."""
    kept: list[int] = []
    near = torch.cdist(places, places) < distance
    for index in range(len(places)):
        if not near[index, kept].any():
            kept.append(index)
    return torch.tensor(kept, dtype=torch.long, device=places.device)


def _ways(
    field: DeformableGaussianField, camera: Cameras, index: Tensor, times: Tensor
) -> tuple[Tensor, Tensor]:
    """Pixels and depths of some Gaussians at some times; NaN beside them where they are not in front."""
    lower, fraction = field.locate(times.to(field.times))
    upper = (lower + 1).clamp(max=field.num_times - 1)
    still, moves = field.canonical.means[index].double(), field.delta_means[:, index]
    places = [
        still + torch.lerp(moves[a].double(), moves[b].double(), f.double())
        for a, b, f in zip(lower.tolist(), upper.tolist(), fraction, strict=True)
    ]
    means = torch.stack(places, dim=1)
    pixels, depth = _project(means.reshape(-1, 3), camera)
    return pixels.reshape(*means.shape[:2], 2), depth.reshape(means.shape[:2])


def _project(means: Tensor, camera: Cameras) -> tuple[Tensor, Tensor]:
    """Pixels in float64, NaN where a point is not in front of the camera; and depth."""
    pose, lens = camera.camera_to_world[0].double(), camera.intrinsics[0].double()
    pixels, depth = project(means.double(), pose, lens)
    return torch.where((depth > 1e-6)[:, None], pixels, torch.nan), depth


def _is_behind(pixels: Tensor, depth: Tensor, surface: Tensor) -> Tensor:
    """Whether a surface stands before points; false outside of the picture and where it shows nothing."""
    height, width = surface.shape
    finite = torch.isfinite(pixels).all(dim=-1)
    x, y = pixels.nan_to_num(-1.0, -1.0, -1.0).clamp(-1e6, 1e6).floor().long().unbind(dim=-1)
    inside = finite & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    there = surface[y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return inside & (there > 0) & (depth > there * (1 + _BEHIND))


def _first_of_each(cells: Tensor) -> Tensor:
    """Indices of the first element of each value, ascending."""
    ordered, order = cells.sort(stable=True)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return order[starts].sort().values


def _between(pixels: Tensor, times: Tensor, time: float) -> Tensor:
    place = time * (len(times) - 1)
    lower = min(int(place), len(times) - 2)
    return torch.lerp(pixels[lower], pixels[lower + 1], place - lower)


def _paler(color: Tensor) -> Tensor:
    """A picture with little colour of its own, and lighter."""
    grey = (color * color.new_tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(dim=0, keepdim=True)
    return 0.15 + 0.75 * (0.25 * color + 0.75 * grey)


def _least_motion(camera: Cameras, min_motion: int | float | None) -> float:
    if min_motion is not None:
        if not (math.isfinite(min_motion) and min_motion > 0):
            raise ValueError(f"min_motion must be a positive number of pixels, got {min_motion}.")
        return min_motion
    return max(1.0, 0.01 * max(camera.height, camera.width))


def check_one_camera(camera: Cameras) -> None:
    """Refuse anything but one camera.

    Args:
        camera: What was given.

    Raises:
        ValueError: If there are batch axes, or not exactly one frame.
    """
    if len(camera.batch_shape) > 0 or camera.num_frames != 1:
        shape = [*camera.batch_shape, camera.num_frames]
        raise ValueError(
            f"camera must be one camera without batch axes, such as path.select([0]), got {shape}."
        )
