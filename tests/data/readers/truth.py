"""A small scene whose depth, tracks and masks are computed by hand, and a PNG writer that knows no library.

A slanted wall fills the lower part of the view, above it is sky; a panel in front of the wall slides to the
right. The camera moves and turns. All in float64, metres, OpenCV axes, centres of pixels at +0.5.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from diff4splat.data.recordings import Recording
from diff4splat.geometry import unproject

FRAMES = 5
SLOPE, DISTANCE, TOP = 0.2, 6.0, -1.0  # wall: z = DISTANCE + SLOPE x, where y > TOP
PANEL = (4.0, 0.5, 0.4)  # z, half a width, half a height


@dataclass(frozen=True)
class Truth:
    """What a camera sees: depth is 0 in the sky."""

    camera_to_world: np.ndarray  # frame 4 4
    intrinsics: np.ndarray  # 3 3
    depth: np.ndarray  # frame height width
    moving: np.ndarray  # frame height width
    points: np.ndarray  # frame point 3
    pixels: np.ndarray  # frame point 2
    visible: np.ndarray  # frame point
    height: int
    width: int

    @property
    def world_to_camera(self) -> np.ndarray:
        return np.linalg.inv(self.camera_to_world)


def panel_centre(frame: int) -> float:
    return -0.6 + 0.25 * frame


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (a, b), (c, d), (e, f) = ((np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll))
    about_y = np.array([[a, 0, b], [0, 1, 0], [-b, 0, a]])
    about_x = np.array([[1, 0, 0], [0, c, -d], [0, d, c]])
    about_z = np.array([[e, -f, 0], [f, e, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def make_truth(
    height: int = 22,
    width: int = 34,
    focal: tuple[float, float] = (30.0, 30.0),
    centre: tuple[float, float] | None = None,
    baseline: float = 0.0,
) -> Truth:
    """The scene as seen by a camera that stands `baseline` metres to the right of its path."""
    cx, cy = centre or (width / 2, height / 2)
    lens = np.array([[focal[0], 0, cx], [0, focal[1], cy], [0, 0, 1]])
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    depth = np.zeros((FRAMES, height, width))
    moving = np.zeros((FRAMES, height, width), bool)
    for frame in range(FRAMES):
        poses[frame, :3, :3] = turned(0.05 * frame - 0.08, 0.03 - 0.02 * frame, 0.02 * frame)
        poses[frame, :3, 3] = np.array([0.15, -0.05, 0.1]) * frame + poses[frame, :3, 0] * baseline
        for row in range(height):
            for column in range(width):
                ray = np.array([(column + 0.5 - cx) / focal[0], (row + 0.5 - cy) / focal[1], 1])
                depth[frame, row, column], moving[frame, row, column] = first_hit(poses[frame], ray, frame)
    rows = [(x, y) for x in (-1.5, -0.4, 0.7, 1.8) for y in (-0.6, 0.3, 1.1)]
    rest = np.array([(x, y, DISTANCE + SLOPE * x) for x, y in rows])
    slides = np.array([(x, y, PANEL[0]) for x, y in ((-0.3, -0.2), (0.0, 0.1), (0.3, 0.25))])
    points = np.stack([np.vstack((rest, slides + [panel_centre(frame), 0, 0])) for frame in range(FRAMES)])
    pixels, visible = np.zeros((*points.shape[:2], 2)), np.zeros(points.shape[:2], bool)
    for frame in range(FRAMES):
        for index, point in enumerate(points[frame]):
            local = poses[frame, :3, :3].T @ (point - poses[frame, :3, 3])
            pixel = (lens @ local)[:2] / local[2]
            nearest, _ = first_hit(poses[frame], local / local[2], frame)
            pixels[frame, index] = pixel
            inside = (pixel >= 0).all() and (pixel < [width, height]).all()
            visible[frame, index] = inside and abs(nearest - local[2]) < 1e-6
    assert visible.any(0).any() and not visible.all() and moving.any(), "a scene with something to see"
    return Truth(poses, lens, depth, moving, points, pixels, visible, height, width)


def first_hit(pose: np.ndarray, ray: np.ndarray, frame: int) -> tuple[float, bool]:
    """z-depth along a ray of the camera, whose z is 1, and whether it ends on the panel; 0 in the sky."""
    direction, start = pose[:3, :3] @ ray, pose[:3, 3]
    z, half_width, half_height = PANEL
    way = (z - start[2]) / direction[2]
    place = start + way * direction
    if way > 0 and abs(place[0] - panel_centre(frame)) <= half_width and abs(place[1]) <= half_height:
        return way, True
    way = (DISTANCE + SLOPE * start[0] - start[2]) / (direction[2] - SLOPE * direction[0])
    return (way, False) if way > 0 and (start + way * direction)[1] > TOP else (0.0, False)


def pictures(truth: Truth) -> np.ndarray:
    """Smooth colours that tell frames apart, also after JPEG: frame height width rgb."""
    colors = np.zeros((FRAMES, truth.height, truth.width, 3), np.uint8)
    for frame in range(FRAMES):
        colors[frame] = (40 * frame + 20, 100, 60)
    return colors


def write_png(file: Path, pixels: np.ndarray, palette: bool = False) -> None:
    """A PNG of uint8 (grey, rgb, rgba, indices) or uint16 (grey), big-endian as the format wants."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    depth = pixels.dtype.itemsize * 8
    kind = 3 if palette else {1: 0, 3: 2, 4: 6}[channels]
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(len(pixels), -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    if palette:
        chunks.insert(1, (b"PLTE", bytes(value for index in range(256) for value in (index, 0, 255 - index))))
    file.parent.mkdir(parents=True, exist_ok=True)
    packed = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def cut(file: Path, share: float = 0.6) -> None:
    """What a download that broke off leaves of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def check_cameras(recording: Recording, truth: Truth, frames: list[int], tolerance: float = 1e-5) -> None:
    """Cameras are those of the scene, and rigid."""
    recording.validate()
    np.testing.assert_allclose(
        recording.cameras.camera_to_world.numpy(), truth.camera_to_world[frames], atol=tolerance
    )
    np.testing.assert_allclose(
        recording.cameras.intrinsics.numpy(),
        np.tile(truth.intrinsics, (len(frames), 1, 1)),
        rtol=1e-6,
        atol=1e-4,
    )
    rotations = recording.cameras.camera_to_world[:, :3, :3].double()
    gram = rotations.mT @ rotations
    assert torch.allclose(gram, torch.eye(3, dtype=torch.float64).expand_as(gram), atol=1e-6)


def check_depth(recording: Recording, truth: Truth, frames: list[int], tolerance: float) -> None:
    """Depth is known but in the sky, right within metres, and with the cameras lies on the wall."""
    known = truth.depth[frames] > 0
    assert np.array_equal(recording.depth_mask.numpy(), known)
    error = np.abs(recording.depth.numpy() - truth.depth[frames])[known].max()
    assert error <= tolerance, error
    points = unproject(recording.depth, recording.cameras.camera_to_world, recording.cameras.intrinsics)
    wall = torch.from_numpy(known & ~truth.moving[frames])
    off = (points[..., 2] - SLOPE * points[..., 0] - DISTANCE).abs()[wall].max().item()
    assert off <= 2 * tolerance + 1e-5, off
    panel = torch.from_numpy(known & truth.moving[frames])
    assert (points[..., 2] - PANEL[0]).abs()[panel].max().item() <= 2 * tolerance + 1e-5


def check_tracks(recording: Recording, truth: Truth, frames: list[int], metres: float, pixels: float) -> None:
    """Tracks that are seen in these frames, and no others, are where they should be."""
    seen = truth.visible[frames]
    kept = seen.any(0)
    assert np.array_equal(recording.visible.numpy(), seen[:, kept].T)
    where = recording.visible.numpy()
    expected = truth.points[frames][:, kept].swapaxes(0, 1)
    assert np.abs(recording.tracks.numpy() - expected)[where].max() <= metres
    expected = truth.pixels[frames][:, kept].swapaxes(0, 1)
    assert np.abs(recording.track_pixels.numpy() - expected)[where].max() <= pixels
