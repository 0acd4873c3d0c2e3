"""Splatting as loops over pixels and Gaussians, float64: Kerbl et al., 3D Gaussian Splatting, Eq. 3 to 5.

Jacobian clamping, dilation, opacity cap, skip and stop are those of gsplat 1.5 `rasterization`, classic mode.
"""

import numpy as np


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """R v = q v q*, column by column, by the Hamilton product."""
    w, v = quaternion[0], quaternion[1:]
    w, v = w / np.linalg.norm(quaternion), v / np.linalg.norm(quaternion)
    columns = [e + 2 * w * np.cross(v, e) + 2 * np.cross(v, np.cross(v, e)) for e in np.eye(3)]
    return np.stack(columns, axis=1)


def footprint(mean, quaternion, scale, world_to_camera, intrinsics, height, width, eps2d=0.3):
    """Centre on the image, dilated 2D covariance and depth of one Gaussian."""
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    x, y, z = rotation @ mean + translation
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    slope_x = np.clip(x / z, -cx / fx - 0.15 * width / fx, (width - cx) / fx + 0.15 * width / fx)
    slope_y = np.clip(y / z, -cy / fy - 0.15 * height / fy, (height - cy) / fy + 0.15 * height / fy)
    jacobian = np.array([[fx / z, 0, -fx * slope_x / z], [0, fy / z, -fy * slope_y / z]])
    shape = rotation_matrix(quaternion)
    covariance = shape @ np.diag(scale**2) @ shape.T
    covariance = jacobian @ rotation @ covariance @ rotation.T @ jacobian.T + eps2d * np.eye(2)
    return np.array([fx * x / z + cx, fy * y / z + cy]), covariance, z


def splat(
    means, quaternions, scales, opacities, colors, world_to_camera, intrinsics, height, width, near=0.01
):
    """Colour, alpha and depth times alpha of one camera, (5, height, width), over black."""
    image = np.zeros((5, height, width))
    depths = means @ world_to_camera[2, :3] + world_to_camera[2, 3]
    prints = {
        i: footprint(means[i], quaternions[i], scales[i], world_to_camera, intrinsics, height, width)
        for i in np.argsort(depths, kind="stable")
        if depths[i] >= near
    }
    for row in range(height):
        for column in range(width):
            left_over = 1.0
            for i, (center, covariance, depth) in prints.items():
                offset = np.array([column + 0.5, row + 0.5]) - center
                alpha = min(0.999, opacities[i] * np.exp(-0.5 * offset @ np.linalg.inv(covariance) @ offset))
                if alpha < 1 / 255:
                    continue
                if left_over * (1 - alpha) <= 1e-4:
                    break
                image[:, row, column] += left_over * alpha * np.array([*colors[i], 1.0, depth])
                left_over *= 1 - alpha
    return image
