"""What the cameras of a scene see, computed by hand: a wall under a sky, and a panel that slides before it.

All in float64, metres, OpenCV axes, centres of pixels at +0.5. The world is right-handed, y points down.
"""

from dataclasses import dataclass

import numpy as np

SLOPE, DISTANCE, TOP = 0.2, 6.0, -1.0  # wall: z = DISTANCE + SLOPE x, where y > TOP
PANEL = (4.0, 0.5, 0.4)  # z, half a width, half a height


@dataclass(frozen=True)
class Scene:
    """What one camera sees; any scene of this kind can be written in the layout of any dataset."""

    frames: np.ndarray  # frame height width rgb, uint8
    camera_to_world: np.ndarray  # frame 4 4
    intrinsics: np.ndarray  # 3 3, pixels
    depth: np.ndarray  # frame height width, along z; 0 in the sky
    moving: np.ndarray  # frame height width, bool
    points: np.ndarray  # frame point 3, in the world
    pixels: np.ndarray  # frame point 2, x before y
    visible: np.ndarray  # frame point, bool
    fps: float = 30.0

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def height(self) -> int:
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        return self.frames.shape[2]

    @property
    def world_to_camera(self) -> np.ndarray:
        return np.linalg.inv(self.camera_to_world)


def make_scene(
    num_frames: int,
    height: int,
    width: int,
    lens: np.ndarray,
    *,
    baseline: float = 0.0,
    plain: bool = False,
    fps: float = 30.0,
) -> Scene:
    """The scene as seen by a camera that stands `baseline` metres to the right of its path.

    Five frames or fewer step as far as those of five do; more of them share the way of five. Frames have a
    pattern that lies on the things in the world, or, if `plain`, one colour each.
    """
    pace = 4 / max(num_frames - 1, 4)
    (focal_x, _, cx), (_, focal_y, cy), _ = lens
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack(((columns - cx) / focal_x, (rows - cy) / focal_y, np.ones_like(rows)), -1)
    poses = np.stack([pose_at(frame * pace, baseline) for frame in range(num_frames)])
    seen = [first_hit(pose, rays, frame * pace) for frame, pose in enumerate(poses)]
    depth, moving = (np.stack(values) for values in zip(*seen, strict=True))
    places = [(x, y) for x in (-1.5, -0.4, 0.7, 1.8) for y in (-0.6, 0.3, 1.1)]
    rest = np.array([(x, y, DISTANCE + SLOPE * x) for x, y in places])
    slides = np.array([(x, y, PANEL[0]) for x, y in ((-0.3, -0.2), (0.0, 0.1), (0.3, 0.25))])
    times = [frame * pace for frame in range(num_frames)]
    points = np.stack([np.vstack((rest, slides + [panel_centre(time), 0, 0])) for time in times])
    local = (points - poses[:, None, :3, 3]) @ poses[:, :3, :3]
    directions = local / local[..., 2:]
    pixels = (directions @ np.transpose(lens))[..., :2]
    nearest = np.stack(
        [first_hit(pose, directions[frame], times[frame])[0] for frame, pose in enumerate(poses)]
    )
    inside = ((pixels >= 0) & (pixels < [width, height])).all(-1)
    visible = inside & (np.abs(nearest - local[..., 2]) < 1e-6)
    if plain:
        shown = [np.full((height, width, 3), (int(40 * time) + 20, 100, 60)) for time in times]
    else:
        seen_from = zip(poses, depth, moving, times, strict=True)
        shown = [_pattern(*each, rays) for each in seen_from]
    frames = np.stack(shown).astype(np.uint8)
    return Scene(frames, poses, np.asarray(lens), depth, moving, points, pixels, visible, fps)


def panel_centre(time: float) -> float:
    """Where the middle of the panel is, x; time is in steps of five frames."""
    return -0.6 + 0.25 * time


def pose_at(time: float, baseline: float = 0.0) -> np.ndarray:
    """Camera to world."""
    pose = np.eye(4)
    pose[:3, :3] = turned(0.05 * time - 0.08, 0.03 - 0.02 * time, 0.02 * time)
    pose[:3, 3] = np.array([0.15, -0.05, 0.1]) * time + pose[:3, 0] * baseline
    return pose


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (a, b), (c, d), (e, f) = ((np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll))
    about_y = np.array([[a, 0, b], [0, 1, 0], [-b, 0, a]])
    about_x = np.array([[1, 0, 0], [0, c, -d], [0, d, c]])
    about_z = np.array([[e, -f, 0], [f, e, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def first_hit(pose: np.ndarray, rays: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """z-depth along rays of the camera, whose z is 1, and whether they end on the panel; 0 in the sky."""
    directions, start = rays @ pose[:3, :3].T, pose[:3, 3]
    z, half_width, half_height = PANEL
    to_panel = (z - start[2]) / directions[..., 2]
    x, y = (start[axis] + to_panel * directions[..., axis] for axis in (0, 1))
    panel = (to_panel > 0) & (np.abs(x - panel_centre(time)) <= half_width) & (np.abs(y) <= half_height)
    to_wall = (DISTANCE + SLOPE * start[0] - start[2]) / (directions[..., 2] - SLOPE * directions[..., 0])
    wall = (to_wall > 0) & (start[1] + to_wall * directions[..., 1] > TOP)
    return np.where(panel, to_panel, np.where(wall, to_wall, 0.0)), panel


def _pattern(
    pose: np.ndarray, depth: np.ndarray, moving: np.ndarray, time: float, rays: np.ndarray
) -> np.ndarray:
    """Colours of a frame: waves on the wall, others that the panel takes along, and a blue sky."""
    places = depth[..., None] * rays @ pose[:3, :3].T + pose[:3, 3]
    x, y = places[..., 0] - np.where(moving, panel_centre(time), 0), places[..., 1]
    waves, slow = np.sin(4 * x) * np.sin(3 * y + 1), np.sin(x + 2 * y)
    wall = np.stack((waves + 0.3 * slow, waves, waves - 0.3 * slow), -1)
    waves = np.sin(9 * x + 4 * y)
    panel = np.stack((waves + 0.5, waves, waves - 0.5), -1)
    sky = np.stack((rays[..., 1], rays[..., 1], 1 + 0 * rays[..., 0]), -1)
    shown = np.where(moving[..., None], panel, np.where(depth[..., None] > 0, wall, sky))
    return np.rint(127.5 + 100 * np.clip(shown, -1, 1))
