"""From raw maps to points, rotations and the whole field in plain numpy float64, one pixel at a time."""

import math

import numpy as np
from reference.layers import resize
from reference.models_layout import guided_value


def depth(raw):
    return 4.0 * math.exp(min(max(raw, -5.0), 5.0))


def unproject(z, camera_to_world, intrinsics, row, column):
    local = np.linalg.inv(intrinsics) @ np.array([column + 0.5, row + 0.5, 1.0]) * z
    return camera_to_world[:3, :3] @ local + camera_to_world[:3, 3]


def displacement(raw, z, camera_to_world):
    """Units of depth along the camera's axes, to the world."""
    return camera_to_world[:3, :3] @ (np.asarray(raw) * z)


def multiply(p, q):
    """Hamilton product, wxyz."""
    w = p[0] * q[0] - np.dot(p[1:], q[1:])
    return np.array([w, *(p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:]))])


def turn(raw):
    """Offset from the identity, made unit length."""
    q = np.asarray(raw) + np.array([1.0, 0.0, 0.0, 0.0])
    return q / np.linalg.norm(q)


def rotation(gaussian_raw, change_raw):
    """Vector part of q r q^-1 for one pixel, the scalar part of r made positive."""
    q, r = turn(gaussian_raw), turn(change_raw)
    r = -r if r[0] < 0 else r
    return multiply(multiply(q, r), q * np.array([1, -1, -1, -1]))[1:]


def to_matrix(q):
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def from_matrix(matrix):
    """Quaternion with positive real part of a rotation below half a turn."""
    w = 0.5 * math.sqrt(1 + np.trace(matrix))
    turned = [matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]
    return np.array([w, *(value / (4 * w) for value in turned)])


def on_grid(intrinsics, size, rows, columns):
    """Intrinsics of an image of `size` = (height, width) for a grid of other numbers of pixels."""
    return np.diag([columns / size[1], rows / size[0], 1.0]) @ intrinsics


def footprint(depth, intrinsics, side):
    """Standard deviations of a fresh Gaussian, scene units, that stands for a block of `side` pixels.

    0.35 pixels and the renderer's blur of variance 0.3 cover one pixel; a block of s pixels is covered alike:
    variance (0.35 s)^2 + 0.3 s^2 in all, of which the renderer adds 0.3. Along z it is as wide as across and
    down on average.
    """
    across, down = depth / intrinsics[0, 0], depth / intrinsics[1, 1]
    wide = math.sqrt((0.35 * side) ** 2 + 0.3 * side**2 - 0.3)
    return wide * np.array([across, down, (across + down) / 2])


def gaussian(raw, changes, start, x, y, side, color, pose, intrinsics):
    """Canonical values and deltas of one Gaussian: 12 raw values, 10 changes per time and to time 0."""
    z = depth(raw[0])
    seen = pose[:3, :3] @ (np.linalg.inv(intrinsics) @ np.array([x, y, 1.0]) * z) + pose[:3, 3]
    facing = multiply(from_matrix(pose[:3, :3]), turn(raw[7:11]))
    size = footprint(z, intrinsics, side) * np.exp(np.clip(raw[4:7], -3, 3))
    moved = [displacement(change[:3], z, pose) for change in (*changes, start)]
    back = turn(start[3:7]) * np.array([1, -1, -1, -1])
    return {
        "means": seen + moved[-1],
        "quaternions": multiply(facing, turn(start[3:7])),
        "scales": size * np.exp(start[7:]),
        "opacities": 1 / (1 + math.exp(-raw[11] - 3)),
        "colors": np.asarray(color),
        "delta_means": np.array(moved[:-1]) - moved[-1],
        "delta_quaternions": np.array([multiply(back, turn(change[3:7])) for change in changes]),
        "delta_scales": np.array([change[7:] - start[7:] for change in changes]),
    }


def field(
    gaussian_map,
    deformation,
    start,
    poses,
    intrinsics,
    size,
    *,
    seen=None,
    image=None,
    blocks=None,
    origin=None,
):
    """Field of one sample: maps `[frame, 12, h, w]`, `[time, frame, 10, h, w]` and `[frame, 10, h, w]`.

    With an image the first frame has a Gaussian per block of it: centre x and y, side, colour. Pixels of
    later frames that were seen, `[frame, h, w]`, have no opacity.
    """
    frames, _, rows, columns = gaussian_map.shape
    parts = []
    for frame in range(frames):
        if frame == 0 and image is not None:
            coarse = resize(image, rows, columns, antialias=True)
            height, width = image.shape[1:]
            grid = on_grid(intrinsics[0], size, height, width)
            stacked = np.concatenate((gaussian_map[0], *deformation[:, 0], start[0]))
            for x, y, side, color in blocks:
                values = guided_value(stacked, coarse, x / width, y / height, color, 0.08)
                changes = values[12:-10].reshape(-1, 10)
                place = (x, y, side, color)
                parts.append(gaussian(values[:12], changes, values[-10:], *place, poses[0], grid))
        else:
            grid = on_grid(intrinsics[frame], size, rows, columns)
            for i, j in np.ndindex(rows, columns):
                raw = gaussian_map[frame, :, i, j]
                changes, back = deformation[:, frame, :, i, j], start[frame, :, i, j]
                place = (j + 0.5, i + 0.5, 1, raw[1:4] + 0.5)
                parts.append(gaussian(raw, changes, back, *place, poses[frame], grid))
                if seen is not None and frame > 0 and seen[frame, i, j]:
                    parts[-1]["opacities"] = 0.0
    result = {name: np.array([part[name] for part in parts]) for name in parts[0]}
    if origin is not None:
        rotation, whole = origin[:3, :3], from_matrix(origin[:3, :3])
        result["means"] = result["means"] @ rotation.T + origin[:3, 3]
        result["quaternions"] = np.array([multiply(whole, q) for q in result["quaternions"]])
        result["delta_means"] = result["delta_means"] @ rotation.T
    return result


def seen_before(gaussian_map, at_frames, poses, intrinsics, size):
    """Pixels `[frame, h, w]` whose point an earlier frame shows; changes as `[target, frame, 10, h, w]`."""
    frames, _, rows, columns = gaussian_map.shape
    shown = np.array([[[depth(v) for v in row] for row in maps[0]] for maps in gaussian_map])
    grids = [on_grid(matrix, size, rows, columns) for matrix in intrinsics]
    seen = np.zeros(shown.shape, dtype=bool)
    for k, i, j in np.ndindex(*shown.shape):
        own = unproject(shown[k, i, j], poses[k], grids[k], i, j)
        for earlier in range(k):
            moved = own + displacement(at_frames[earlier, k, :3, i, j], shown[k, i, j], poses[k])
            seen[k, i, j] |= is_shown(moved, shown[earlier], poses[earlier], grids[earlier])
    return seen


def is_shown(point, shown, pose, intrinsics, tolerance=0.1):
    """Whether a point falls into a depth map and not behind the farthest depth of the 3 x 3 places there."""
    local = pose[:3, :3].T @ (point - pose[:3, 3])
    if local[2] <= 0:
        return False
    x, y, _ = intrinsics @ local / local[2]
    rows, columns = shown.shape
    if not (0 <= x < columns and 0 <= y < rows):
        return False
    i, j = int(y), int(x)
    surface = shown[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].max()
    return local[2] < surface * (1 + tolerance)
