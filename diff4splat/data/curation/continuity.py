"""Where a recording has to be cut: jumps of the camera, missing frames, another scene."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diff4splat.cameras import Cameras
from diff4splat.data.recordings import Recording

__all__ = [
    "camera_jumps",
    "color_changes",
    "continuous_runs",
    "find_cuts",
    "number_gaps",
    "rotation_steps_deg",
    "scene_cuts",
    "windows",
]

_BINS = 8
_MOST_PIXELS = 20_000
_NEIGHBOURS = 5
_LEAST_STEP = 0.1  # of the depth of the scene, or of the extent of the path


def windows(num_frames: int, length: int, stride: int | None = None) -> list[range]:
    """Windows of one length over the frames of a recording.

    Args:
        num_frames: Frames that there are.
        length: Frames of a window, at least 1.
        stride: Frames from the start of one window to that of the next, at least 1; `length` when omitted.

    Returns:
        Windows that fit, ascending; none where the recording is too short.

    Raises:
        ValueError: If `length` or `stride` is below 1, or `num_frames` below 0.

    Examples:
        >>> windows(10, 4, 3)
        [range(0, 4), range(3, 7), range(6, 10)]
    """
    stride = length if stride is None else stride
    if num_frames < 0 or length < 1 or stride < 1:
        raise ValueError(
            f"length and stride must be at least 1 and num_frames at least 0, got {length}, {stride} and "
            f"{num_frames}."
        )
    return [range(start, start + length) for start in range(0, num_frames - length + 1, stride)]


def continuous_runs(
    recording: Recording,
    *,
    min_frames: int = 1,
    max_rotation_deg: float | None = 45.0,
    max_step_ratio: float | None = 10.0,
    max_color_change: float | None = 0.5,
) -> list[range]:
    """Stretches of frames without a cut.

    Args:
        recording: Any.
        min_frames: Shorter stretches are left out.
        max_rotation_deg: As in `camera_jumps`; None looks at no rotation.
        max_step_ratio: As in `camera_jumps`; None looks at no translation.
        max_color_change: As in `scene_cuts`; None looks at no colours.

    Returns:
        Places of frames, ascending.

    Raises:
        ValueError: If `min_frames` is below 1.
    """
    if min_frames < 1:
        raise ValueError(f"min_frames must be at least 1, got {min_frames}.")
    cuts = find_cuts(
        recording,
        max_rotation_deg=max_rotation_deg,
        max_step_ratio=max_step_ratio,
        max_color_change=max_color_change,
    )
    edges = [0, *cuts, recording.num_frames]
    runs = [range(start, end) for start, end in zip(edges, edges[1:], strict=False)]
    return [run for run in runs if len(run) >= min_frames]


def find_cuts(
    recording: Recording,
    *,
    max_rotation_deg: float | None = 45.0,
    max_step_ratio: float | None = 10.0,
    max_color_change: float | None = 0.5,
) -> Mapping[int, str]:
    """Frames that do not go on from the one before, and why.

    Args:
        recording: Any.
        max_rotation_deg: As in `camera_jumps`; None looks at no rotation.
        max_step_ratio: As in `camera_jumps`; None looks at no translation.
        max_color_change: As in `scene_cuts`; None looks at no colours.

    Returns:
        Words by the place of the first frame after each cut, ascending.
    """
    numbers = recording.numbers
    cuts = {
        place: f"frame {numbers[place]} follows frame {numbers[place - 1]}" for place in number_gaps(numbers)
    }
    cameras = recording.cameras
    if cameras is not None:
        typical = None
        if recording.depth is not None and recording.depth_mask is not None:
            known = recording.depth[recording.depth_mask & torch.isfinite(recording.depth)]
            typical = float(known.median()) if len(known) else None
        jumps = camera_jumps(
            cameras, max_rotation_deg=max_rotation_deg, max_step_ratio=max_step_ratio, scene_depth=typical
        )
        angles = rotation_steps_deg(cameras)
        steps = (cameras.positions[1:] - cameras.positions[:-1]).double().norm(dim=-1)
        for place in jumps:
            angle, step, usual = float(angles[place - 1]), float(steps[place - 1]), float(steps.median())
            words = f"the camera turns by {angle:.3g} degrees (limit {max_rotation_deg}) and goes {step:.3g}"
            words += f" units, where {usual:.3g} is usual (limit {max_step_ratio} times)"
            cuts.setdefault(place, words)
    if max_color_change is not None:
        changes = color_changes(recording.video)
        for place in scene_cuts(recording.video, max_color_change):
            words = f"colours change by {float(changes[place - 1]):.3g}, more than {max_color_change:g}"
            cuts.setdefault(place, words)
    return dict(sorted(cuts.items()))


def number_gaps(numbers: Sequence[int]) -> list[int]:
    """Places where frames are missing: numbers rise by more than 1.5 times the smallest step, or not at all.

    Numbers that rise by 2 and 3 by turns, as where another frame rate is sampled, have no gaps.

    Args:
        numbers: Number of each frame in the source.

    Returns:
        Places of the first frames after the gaps, and of frames whose number does not rise.
    """
    steps = [later - earlier for earlier, later in zip(numbers, numbers[1:], strict=False)]
    least = min((step for step in steps if step > 0), default=0)
    return [place for place, step in enumerate(steps, 1) if step > 1.5 * least or step <= 0]


def rotation_steps_deg(cameras: Cameras) -> Float[Tensor, " pair"]:
    r"""Angles between neighbouring cameras.

    $$\theta_i = \arccos \tfrac12 (\operatorname{tr} R_i^\top R_{i+1} - 1)$$

    Args:
        cameras: One path, without batch axes.

    Returns:
        Degrees, in float64; NaN where a pose is not finite.
    """
    rotations = cameras.camera_to_world[:, :3, :3].double()
    trace = torch.einsum("fij,fij->f", rotations[:-1], rotations[1:])
    return torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))


def camera_jumps(
    cameras: Cameras,
    *,
    max_rotation_deg: float | None = 45.0,
    max_step_ratio: float | None = 10.0,
    scene_depth: float | None = None,
) -> list[int]:
    """Places where a camera cannot have gone on from the frame before.

    Args:
        cameras: One path, without batch axes.
        max_rotation_deg: Largest angle between neighbours. Source: MoVieS, 45 degrees. None looks at no
            rotation.
        max_step_ratio: Largest distance between neighbours, by the median distance over the path. None looks
            at no translation.
        scene_depth: Depth of the scene, units of the cameras. Steps below a tenth of it are no jumps, so that
            a camera that rests for most of the time may move; where it is not given, steps below a tenth of
            the extent of the path are none.

    Returns:
        Places of the first cameras after the jumps, and of those that are not finite or follow one that is
        not.
    """
    centres = cameras.positions.double()
    steps = (centres[1:] - centres[:-1]).norm(dim=-1)
    angles = rotation_steps_deg(cameras)
    jumps = ~(torch.isfinite(steps) & torch.isfinite(angles))
    if max_rotation_deg is not None:
        jumps |= angles > max_rotation_deg
    sound = steps[torch.isfinite(steps)]
    if max_step_ratio is not None and len(sound):
        if scene_depth is None:
            finite = centres[torch.isfinite(centres).all(-1)]
            extent = float((finite.amax(0) - finite.amin(0)).norm())
        least = _LEAST_STEP * (extent if scene_depth is None else scene_depth)
        jumps |= (steps > max_step_ratio * sound.median()) & (steps > least)
    return [place + 1 for place in jumps.nonzero()[:, 0].tolist()]


def color_changes(video: UInt8[Tensor, "frame rgb=3 height width"]) -> Float[Tensor, " pair"]:
    r"""How much the colours of neighbouring frames differ, wherever they are in the image.

    $$c_i = \tfrac12 \sum_k \lvert h_i(k) - h_{i+1}(k) \rvert$$

    with $h_i$ the share of the pixels in each of 8 x 8 x 8 boxes of colour, smoothed by (1, 2, 1) / 4 along
    each channel so that a slow change of light is a small one.

    Args:
        video: sRGB frames.

    Returns:
        From 0, the same colours, to 1, none alike.
    """
    frames, _, height, width = video.shape
    stride = max(1, int((height * width / _MOST_PIXELS) ** 0.5))
    boxes = video[:, :, ::stride, ::stride].flatten(2).long() * _BINS // 256
    index = (boxes[:, 0] * _BINS + boxes[:, 1]) * _BINS + boxes[:, 2]
    shares = torch.zeros(frames, _BINS**3, dtype=torch.float64)
    shares.scatter_add_(1, index.cpu(), torch.ones(index.shape, dtype=torch.float64))
    shares = (shares / index.shape[1]).reshape(frames, _BINS, _BINS, _BINS)
    for axis in (1, 2, 3):
        shares = _smoothed(shares, axis)
    return 0.5 * (shares[1:] - shares[:-1]).abs().flatten(1).sum(1)


def scene_cuts(
    video: UInt8[Tensor, "frame rgb=3 height width"], max_change: float = 0.5, *, min_ratio: float = 3.0
) -> list[int]:
    """Places where another scene begins, by colour alone.

    Args:
        video: sRGB frames.
        max_change: Largest of `color_changes` that is none.
        min_ratio: A cut changes so many times more than the median of the ten neighbouring changes, so that
            a fast camera cuts nothing.

    Returns:
        Places of the first frames after the cuts. A cut to a scene of the same colours is not seen, nor is a
        slow fade.
    """
    changes = color_changes(video).tolist()
    cuts = []
    for place, change in enumerate(changes):
        around = changes[max(0, place - _NEIGHBOURS) : place] + changes[place + 1 : place + 1 + _NEIGHBOURS]
        usual = float(torch.tensor(around).median()) if around else 0.0
        if change > max_change and change > min_ratio * usual:
            cuts.append(place + 1)
    return cuts


def _smoothed(shares: Tensor, axis: int) -> Tensor:
    """Weights 1, 2, 1 by 4 along an axis; what would leave it stays at its end."""
    first, last = shares.narrow(axis, 0, 1), shares.narrow(axis, _BINS - 1, 1)
    before = torch.cat((first, shares.narrow(axis, 0, _BINS - 1)), axis)
    after = torch.cat((shares.narrow(axis, 1, _BINS - 1), last), axis)
    return (before + 2 * shares + after) / 4
