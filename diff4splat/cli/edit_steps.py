"""The edits of `diff4splat edit`, each from scene to scene: calls of the library, in words of options.

Importing this loads torch; the command itself does so after it has read its options.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.cli.errors import naming
from diff4splat.cli.options import MAX_FPS, check_between, printable, recorded_fps
from diff4splat.cli.scenes import read_scene
from diff4splat.editing import (
    floaters,
    freeze,
    gaussians_in_box,
    gaussians_in_mask,
    merge_fields,
    moving_gaussians,
    resample_times,
    retime,
    scale_motion,
    similarity_matrix,
    transform_cameras,
    travel_distances,
)
from diff4splat.editing.arguments import Moment
from diff4splat.gaussians import DeformableGaussianField

__all__ = [
    "Scene",
    "boomerang",
    "box",
    "box_time",
    "cut_box",
    "cut_mask",
    "exaggerate",
    "grow",
    "hold",
    "join",
    "keep_moving",
    "limit",
    "load",
    "numbers",
    "part",
    "play",
    "prune",
    "remove_floaters",
    "resample",
    "reverse",
    "shift",
    "trim",
    "turn",
    "words",
]


@dataclass(frozen=True)
class Scene:
    """A field and the camera path that was recorded with it, if any."""

    field: DeformableGaussianField
    cameras: Cameras | None


def load(option: str, path: Path) -> Scene:
    """A scene with its cameras, of any format that commands take."""
    return Scene(*read_scene(path, option))


def words(option: str, value: object) -> str:
    """An edit as it was asked for; of a file, its name without the folder."""
    shown = (
        printable(value.name)
        if isinstance(value, Path)
        else f"{value:g}"
        if isinstance(value, float)
        else value
    )
    return option if value is True else f"{option} {shown}"


def numbers(option: str, text: str, count: int) -> list[float]:
    """Numbers from a text such as "0,90,0"."""
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise ValueError(f"{option} must be {count} numbers with commas between them, got {text!r}.")
    return values


def box(option: str, text: str) -> tuple[list[float], list[float]]:
    """Smallest and largest corner."""
    values = numbers(option, text, 6)
    low, high = values[:3], values[3:]
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise ValueError(f"{option} must be the smallest x,y,z and then the largest x,y,z, got {text!r}.")
    return low, high


def box_time(text: str | None) -> Moment:
    """When a box looks."""
    if text is None:
        return None
    if text == "any":
        return "any"
    if text == "all":
        return "all"
    (time,) = numbers("--box-time", text, 1)
    check_between("--box-time", time, 0, 1)
    return time


def part(text: str) -> tuple[float, float]:
    """Start and end of a part of the clip."""
    start, end = numbers("--trim", text, 2)
    if not 0 <= start < end <= 1:
        raise ValueError(f"--trim must be two times from 0 to 1, the smaller one first, got {text!r}.")
    return start, end


def cut_box(
    scene: Scene,
    *,
    option: str,
    box: tuple[list[float], list[float]],
    time: Moment,
) -> Scene:
    """What is inside of a box, or what is outside."""
    inside = gaussians_in_box(scene.field, *box, time=time)
    return _selected(scene, option, inside if option == "--keep-box" else ~inside)


def cut_mask(scene: Scene, *, option: str, path: Path, frame: int, depth: float | None) -> Scene:
    """What a picture shows in white, or what it does not."""
    if scene.cameras is None:
        raise ValueError(f"{option} needs the recorded cameras, which SCENE does not hold.")
    last = scene.cameras.num_frames - 1
    check_between("--mask-frame", frame, 0, last)
    mask = _white(option, path)
    height, width = mask.shape
    own = (scene.cameras.height, scene.cameras.width)
    if abs(width * own[0] - height * own[1]) > 0.01 * width * own[0]:
        raise ValueError(
            f"{option} must be a picture of the shape of the recorded frames, {own[1]}x{own[0]} pixels, "
            f"got {width}x{height}."
        )
    cameras = scene.cameras.select(slice(frame, frame + 1)).resize(height, width).to(dtype=scene.field.dtype)
    times = torch.tensor([frame / max(last, 1)], dtype=scene.field.times.dtype)
    far: float | Tensor = math.inf
    if depth is not None:
        far = scene.field.render(cameras, times).depth[:, 0] + depth
    shown = gaussians_in_mask(scene.field, mask[None], cameras, times, far=far)
    return _selected(scene, option, shown if option == "--keep-mask" else ~shown)


def keep_moving(scene: Scene, *, which: str, threshold: float | None) -> Scene:
    """What travels, or what does not."""
    if threshold is None:
        threshold = 0.1 * travel_distances(scene.field).max().item()
    moving = moving_gaussians(scene.field, threshold)
    return _selected(scene, "--keep", moving if which == "moving" else ~moving)


def prune(scene: Scene, *, min_opacity: float) -> Scene:
    """Without what is too transparent."""
    return _selected(scene, "--min-opacity", scene.field.canonical.opacities >= min_opacity)


def remove_floaters(scene: Scene) -> Scene:
    """Without debris."""
    return _selected(scene, "--remove-floaters", ~floaters(scene.field))


def trim(scene: Scene, *, part: tuple[float, float]) -> Scene:
    """A part of the clip; as many frames of the path as fall into it, at the speed of before."""
    cameras = scene.cameras
    if cameras is not None:
        count = max(2, round((part[1] - part[0]) * (cameras.num_frames - 1)) + 1)
        cameras = cameras.interpolate(torch.linspace(*part, count, dtype=torch.float64))
    return Scene(retime(scene.field, part), cameras)


def reverse(scene: Scene) -> Scene:
    """Backwards, the path too."""
    return Scene(retime(scene.field, (1.0, 0.0)), _frames(scene.cameras, back=True, forth=False))


def boomerang(scene: Scene) -> Scene:
    """There and back: twice as many frames, less the one where it turns."""
    return Scene(retime(scene.field, (0.0, 1.0, 0.0)), _frames(scene.cameras, back=True, forth=True))


def exaggerate(scene: Scene, *, factor: float) -> Scene:
    """More or less motion since the start of the clip."""
    return replace(scene, field=scale_motion(scene.field, factor))


def hold(scene: Scene, *, time: float) -> Scene:
    """One moment for the whole clip; the path goes on."""
    return replace(scene, field=freeze(scene.field, time))


def resample(scene: Scene, *, count: int) -> Scene:
    """The motion stored at other times."""
    times = torch.linspace(0, 1, count, dtype=scene.field.times.dtype)
    return replace(scene, field=resample_times(scene.field, times))


def play(scene: Scene, *, factor: float) -> Scene:
    """More or fewer frames per second."""
    fps = factor * recorded_fps(scene.field.metadata)
    if not 0.1 <= fps <= MAX_FPS:
        raise ValueError(f"--speed must leave 0.1 to {MAX_FPS} frames per second, got {fps:g}.")
    return replace(scene, field=replace(scene.field, metadata={**scene.field.metadata, "fps": fps}))


def turn(scene: Scene, *, degrees: Sequence[float]) -> Scene:
    """Turned about its middle; the path goes along."""
    angle = math.hypot(*degrees)
    if not angle:
        return scene
    return _moved(scene, similarity_matrix(axis=degrees, angle_deg=angle, center=_middle(scene)))


def grow(scene: Scene, *, factor: float) -> Scene:
    """Larger or smaller about its middle; the path goes along."""
    return _moved(scene, similarity_matrix(scale=factor, center=_middle(scene)))


def shift(scene: Scene, *, by: Sequence[float]) -> Scene:
    """Somewhere else; the path goes along."""
    return _moved(scene, similarity_matrix(translation=by))


def join(scene: Scene, *, path: Path) -> Scene:
    """With the Gaussians of another scene; speed and path stay, as far as there are any."""
    other = load("--merge", path)
    if other.field.scale_space != scene.field.scale_space:
        raise ValueError(
            f"--merge must be a scene whose scales change in {scene.field.scale_space} space, as those of "
            f"SCENE do, got {other.field.scale_space}."
        )
    merged = merge_fields([scene.field, other.field])
    speed = {key: value for key, value in scene.field.metadata.items() if key == "fps"}
    merged = replace(merged, metadata={**merged.metadata, **speed})
    return Scene(merged, scene.cameras or other.cameras)


def limit(scene: Scene, *, count: int) -> Scene:
    """At most so many Gaussians."""
    cameras = None if scene.cameras is None else scene.cameras.to(dtype=scene.field.dtype)
    return replace(scene, field=scene.field.limit(count, cameras=cameras))


def _selected(scene: Scene, option: str, mask: Tensor) -> Scene:
    if not mask.any():
        low, high = (
            scene.field.canonical.means.amin(dim=0).tolist(),
            scene.field.canonical.means.amax(dim=0).tolist(),
        )
        spans = ", ".join(f"{axis} {a:.3g} to {b:.3g}" for axis, a, b in zip("xyz", low, high, strict=True))
        raise ValueError(
            f"{option} must leave at least one Gaussian, got 0 of {len(mask)}; they lie at {spans}."
        )
    return replace(scene, field=scene.field.select(mask))


def _white(option: str, path: Path) -> Tensor:
    """Where a picture is white, `[height, width]`."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with naming(f"{option} cannot be read", path), Image.open(path) as picture:
            return torch.from_numpy(np.array(picture.convert("L"))) > 127
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"{option} must be a picture: {error}.") from error


def _frames(cameras: Cameras | None, *, back: bool, forth: bool) -> Cameras | None:
    if cameras is None:
        return None
    count = cameras.num_frames
    ahead = list(range(count)) if forth else []
    behind = list(range(count - 1, -1, -1)) if back else []
    return cameras.select(ahead + behind[bool(ahead) :])


def _middle(scene: Scene) -> Tensor:
    """Median of the centres: what lies far out does not count."""
    return scene.field.canonical.means.median(dim=0).values


def _moved(scene: Scene, matrix: Tensor) -> Scene:
    cameras = None if scene.cameras is None else transform_cameras(scene.cameras, matrix)
    return Scene(scene.field.transform(matrix), cameras)
