"""A camera path in numbers and words: how far it goes, how fast, and what about it looks like a mistake."""

import math
from dataclasses import dataclass

import numpy as np

from diff4splat.cameras.cameras import Cameras

__all__ = ["PathDescription", "describe_path"]

_USUAL_DEPTH = 4.0  # where the named paths look
_JUMP = 5.0  # times the faster of the neighbouring steps
_LARGEST_SHARE_OF_VIEW = 0.25  # that a camera may turn by from frame to frame


@dataclass(frozen=True)
class PathDescription:
    """What a camera path does; `str()` of it is the same in words.

    Args:
        num_frames: Number of cameras.
        height: Image rows.
        width: Image columns.
        length: Way that the camera travels, scene units.
        extent: Largest distance from the first camera, scene units.
        largest_turn_deg: Largest angle between the first camera and another, degrees.
        median_step: Median way from frame to frame, scene units.
        fastest_step: Longest way from frame to frame, scene units.
        fastest_turn_deg: Largest angle from frame to frame, degrees.
        field_of_view_deg: Horizontal field of view of the first and the last frame, degrees.
        starts_at_identity: Whether the first camera is the origin of the world.
        focus: Point that the path looks at, in the coordinates of the first camera; None if there is none.
        warnings: What is probably a mistake, one sentence each.
    """

    num_frames: int
    height: int
    width: int
    length: float
    extent: float
    largest_turn_deg: float
    median_step: float
    fastest_step: float
    fastest_turn_deg: float
    field_of_view_deg: tuple[float, float]
    starts_at_identity: bool
    focus: tuple[float, float, float] | None
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        start, end = self.field_of_view_deg
        lens = f"{start:.4g}" if abs(start - end) < 0.05 else f"{start:.4g} to {end:.4g}"
        point = "no single point"
        if self.focus is not None:
            numbers = ", ".join(f"{round(value, 6) + 0.0:.3g}" for value in self.focus)
            point = f"{numbers} (right, down, forward of the first camera)"
        place = "at the identity" if self.starts_at_identity else "elsewhere than the identity"
        lines = [
            f"cameras      {self.num_frames} of {self.width}x{self.height} pixels, first {place}",
            f"lens         {lens} degrees wide",
            f"length       {self.length:.4g} units, {self.extent:.4g} at most from the first camera",
            f"turning      {self.largest_turn_deg:.4g} degrees at most from the first camera",
            f"from frame   {self.median_step:.3g} units (median), {self.fastest_step:.3g} at most; "
            f"{self.fastest_turn_deg:.3g} degrees at most",
            f"looks at     {point}",
            *(f"warning      {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


def describe_path(cameras: Cameras, focus_depth: float | None = None) -> PathDescription:
    """Length, extent, speed and lens of a camera path, and what about it looks like a mistake.

    Lengths are in scene units, those of the file. What they mean is known only beside the depth of the scene:
    moving by a tenth of the depth of what is looked at is a small motion, moving by all of it a large one.

    Args:
        cameras: One path without batch axes, in any world frame.
        focus_depth: Depth of the scene in the first camera, scene units, > 0. When omitted, the point where
            the viewing directions meet, or 4 units ahead where they do not.

    Returns:
        The description. Its warnings tell of cameras that jump, a translation that is tiny or huge beside the
        depth, cameras that do not see the focus, turns by more than a quarter of the field of view from frame
        to frame, and lenses that look wrong.

    Raises:
        ValueError: If there are batch axes or no frames, a value is no camera, or `focus_depth` is not > 0.

    Examples:
        >>> from diff4splat.cameras import trajectory
        >>> description = describe_path(trajectory.orbit(25, height=64, width=96, degrees=90.0))
        >>> round(description.length, 2), round(description.largest_turn_deg), description.warnings
        (6.28, 90, ())
    """
    if cameras.batch_shape or cameras.num_frames < 1:
        raise ValueError(
            "cameras must be one path of at least one frame without batch axes, "
            f"got batch shape {list(cameras.batch_shape)} and {cameras.num_frames} frames."
        )
    if focus_depth is not None and not 0 < focus_depth < math.inf:
        raise ValueError(f"focus_depth must be > 0 and finite, got {focus_depth}.")
    cameras.validate()
    world = cameras.camera_to_world.detach().cpu().double().numpy()
    lenses = cameras.intrinsics.detach().cpu().double().numpy()
    first = world[0]
    rotations = first[:3, :3].T @ world[:, :3, :3]
    positions = (world[:, :3, 3] - first[:3, 3]) @ first[:3, :3]
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=-1)
    turns = _angles_deg(rotations[:-1].swapaxes(-1, -2) @ rotations[1:])
    views = 2 * np.degrees(np.arctan(cameras.width / 2 / lenses[:, 0, 0]))
    focus = _focus(positions, rotations, focus_depth)
    depth = _USUAL_DEPTH if focus is None else float(np.linalg.norm(focus))
    description = PathDescription(
        num_frames=cameras.num_frames,
        height=cameras.height,
        width=cameras.width,
        length=float(steps.sum()),
        extent=float(np.linalg.norm(positions, axis=-1).max()),
        largest_turn_deg=float(_angles_deg(rotations).max()),
        median_step=float(np.median(steps)) if len(steps) else 0.0,
        fastest_step=float(steps.max(initial=0)),
        fastest_turn_deg=float(turns.max(initial=0)),
        field_of_view_deg=(float(views[0]), float(views[-1])),
        starts_at_identity=bool(np.abs(first - np.eye(4)).max() < 1e-4),
        focus=None if focus is None else (float(focus[0]), float(focus[1]), float(focus[2])),
        warnings=(),
    )
    warnings = [
        *_jumps(steps),
        *_fast_turns(turns, views),
        *_sizes(description, depth),
        *(() if focus is None else _unseen(positions, rotations, lenses, focus, cameras)),
        *_lenses(lenses, cameras),
    ]
    return PathDescription(**{**vars(description), "warnings": tuple(warnings)})


def _angles_deg(rotations: np.ndarray) -> np.ndarray:
    """Angles of rotations, accurate for small ones too."""
    skew = (rotations - rotations.swapaxes(-1, -2))[..., [2, 0, 1], [1, 2, 0]]
    sine = np.linalg.norm(skew, axis=-1) / 2
    cosine = (np.trace(rotations, axis1=-2, axis2=-1) - 1) / 2
    return np.degrees(np.arctan2(sine, cosine))


def _focus(positions: np.ndarray, rotations: np.ndarray, depth: float | None) -> np.ndarray | None:
    """Point at the depth that was given, else where the viewing directions meet, if they do."""
    if depth is not None:
        return np.array([0.0, 0.0, depth])
    ahead = rotations[:, :, 2]
    across = np.eye(3) - ahead[:, :, None] * ahead[:, None, :]  # what of a vector is across each direction
    left, right = across.sum(axis=0), (across @ positions[:, :, None]).sum(axis=0)[:, 0]
    if np.linalg.eigvalsh(left)[0] > 1e-4 * len(ahead):  # else the directions are parallel
        point = np.linalg.solve(left, right)
        depths = ((point - positions) * ahead).sum(axis=-1)
        misses = np.linalg.norm((across @ (point - positions)[:, :, None])[:, :, 0], axis=-1)
        if (depths > 0).all() and misses.max() < 0.1 * depths.min():
            return point
    return None


def _jumps(steps: np.ndarray) -> list[str]:
    around = np.concatenate(([0.0], steps, [0.0]))
    neighbours = np.maximum(around[:-2], around[2:])
    jumps = (steps > _JUMP * neighbours) & (steps > 0.05 * steps.sum())
    if len(steps) < 3 or not jumps.any():
        return []
    return [
        f"the camera jumps by {steps[index]:.3g} units between frames {index} and {index + 1}"
        for index in np.flatnonzero(jumps)[:3]
    ]


def _fast_turns(turns: np.ndarray, views: np.ndarray) -> list[str]:
    share = turns / np.minimum(views[:-1], views[1:])
    if share.max(initial=0) <= _LARGEST_SHARE_OF_VIEW + 1e-6:
        return []
    index = int(share.argmax())
    return [
        f"the camera turns by {turns[index]:.3g} degrees between frames {index} and {index + 1}, "
        f"{share[index]:.0%} of what the lens sees: use more frames, or turn less"
    ]


def _sizes(path: PathDescription, depth: float) -> list[str]:
    if path.extent > 10 * depth:
        return [
            f"the camera goes {path.extent:.3g} units far, {path.extent / depth:.3g} times the depth of what "
            f"it looks at ({depth:.3g}): are these millimetres, or another scale?"
        ]
    if path.extent < 0.005 * depth and path.largest_turn_deg < 1 and path.length > 0:
        return [
            f"the camera goes {path.extent:.3g} units far, hardly anything beside the depth of what it looks "
            f"at ({depth:.3g}): are these kilometres, or another scale?"
        ]
    return []


def _unseen(
    positions: np.ndarray, rotations: np.ndarray, lenses: np.ndarray, focus: np.ndarray, cameras: Cameras
) -> list[str]:
    seen = ((focus - positions)[:, None] @ rotations)[:, 0]
    pixels = (lenses @ seen[:, :, None])[:, :, 0]
    in_front = seen[:, 2] > 0
    pixels = pixels[:, :2] / np.where(in_front, pixels[:, 2], 1.0)[:, None]
    inside = in_front & ((pixels >= 0) & (pixels <= [cameras.width, cameras.height])).all(axis=-1)
    if inside.all():
        return []
    away = np.flatnonzero(~inside)
    return [
        f"{len(away)} of {len(inside)} frames, from frame {away[0]} on, do not see the point "
        f"{np.linalg.norm(focus):.3g} units ahead of the first camera"
    ]


def _lenses(lenses: np.ndarray, cameras: Cameras) -> list[str]:
    found = []
    focal, centre = lenses[:, [0, 1], [0, 1]], lenses[:, :2, 2]
    aspect = focal[0, 0] / focal[0, 1]
    if abs(aspect - 1) > 0.02:
        width = round(cameras.width / aspect)
        found.append(
            f"pixels are {1 / aspect:.3g} times as wide as high: the images are probably of another shape, "
            f"such as {width}x{cameras.height}"
        )
    if np.abs(centre - [(cameras.width - 1) / 2, (cameras.height - 1) / 2]).max() < 1e-3:
        found.append(
            "the principal point is half a pixel beside the middle, as where pixel centres have whole "
            "numbers; here they are at +0.5: add 0.5 to cx and cy"
        )
    return found
