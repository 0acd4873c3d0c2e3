"""Numba kernels: Gaussians onto the image plane of one camera, and the gradient of that.

Arithmetic is in float64: it costs nothing measurable beside the rasterizer, and keeps the depth order and thin footprints exact.
The notation follows `reference.project_gaussians`: N = J W R S is the 2x3 square root of the covariance on the image.
"""

import math

import numba
import numpy as np

from diff4splat.rendering.cpu_jit import NUM_BLOCKS, TILE, inlined, kernel
from diff4splat.rendering.reference import ALPHA_THRESHOLD, CUTOFF_SIGMAS

__all__ = ["project_backward", "project_forward"]

_LOG2_E = 1.4426950408889634
_BOX_MARGIN = 1.0005  # float32 rounding near the alpha threshold must not meet the edge of the box
_FLOAT32_MAX = 3.0e38


@inlined
def _camera_half(
    mean, quaternion, scale, camera, intrinsics, height, width, rotation, factor, jacobian, half
):
    """Fill R, W R S (`factor`), J and J W R S (`half`); return centre in the camera frame, x/z, y/z and |q|."""
    length = math.sqrt(quaternion[0] ** 2 + quaternion[1] ** 2 + quaternion[2] ** 2 + quaternion[3] ** 2)
    w, x, y, z = (
        quaternion[0] / length,
        quaternion[1] / length,
        quaternion[2] / length,
        quaternion[3] / length,
    )
    rotation[0, 0] = 1.0 - 2.0 * (y * y + z * z)
    rotation[0, 1] = 2.0 * (x * y - w * z)
    rotation[0, 2] = 2.0 * (x * z + w * y)
    rotation[1, 0] = 2.0 * (x * y + w * z)
    rotation[1, 1] = 1.0 - 2.0 * (x * x + z * z)
    rotation[1, 2] = 2.0 * (y * z - w * x)
    rotation[2, 0] = 2.0 * (x * z - w * y)
    rotation[2, 1] = 2.0 * (y * z + w * x)
    rotation[2, 2] = 1.0 - 2.0 * (x * x + y * y)
    for i in range(3):
        for k in range(3):
            total = 0.0
            for j in range(3):
                total += camera[i, j] * rotation[j, k]
            factor[i, k] = total * scale[k]
    px = camera[0, 0] * mean[0] + camera[0, 1] * mean[1] + camera[0, 2] * mean[2] + camera[0, 3]
    py = camera[1, 0] * mean[0] + camera[1, 1] * mean[1] + camera[1, 2] * mean[2] + camera[1, 3]
    pz = camera[2, 0] * mean[0] + camera[2, 1] * mean[1] + camera[2, 2] * mean[2] + camera[2, 3]
    u, v = px / pz, py / pz
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    clamped_u = min(max(u, -(cx + 0.15 * width) / fx), (1.15 * width - cx) / fx)
    clamped_v = min(max(v, -(cy + 0.15 * height) / fy), (1.15 * height - cy) / fy)
    jacobian[0, 0] = fx / pz
    jacobian[0, 1] = 0.0
    jacobian[0, 2] = -fx * clamped_u / pz
    jacobian[1, 0] = 0.0
    jacobian[1, 1] = fy / pz
    jacobian[1, 2] = -fy * clamped_v / pz
    for k in range(3):
        half[0, k] = jacobian[0, 0] * factor[0, k] + jacobian[0, 2] * factor[2, k]
        half[1, k] = jacobian[1, 1] * factor[1, k] + jacobian[1, 2] * factor[2, k]
    return pz, u, v, length


@kernel
def project_forward(
    means,
    quaternions,
    scales,
    opacities,
    colors,
    camera,
    intrinsics,
    height,
    width,
    near,
    far,
    eps2d,
    radius_clip,
    antialiased,
    rows,
    boxes,
    keys,
    num_tiles,
):
    """Fill one row per Gaussian and count the tiles it touches (0 = not visible); return how many are not finite.

    A row is (x, y, A, B, C, opacity, r, g, b, z) with the footprint 2^(A dx^2 + B dx dy + C dy^2); a box is
    (left, top, right, bottom) in pixels, ends excluded; a key is z as an ordered integer.
    """
    count = means.shape[0]
    broken = np.zeros(NUM_BLOCKS, np.int64)
    for block in numba.prange(NUM_BLOCKS):
        rotation, factor = np.empty((3, 3)), np.empty((3, 3))
        jacobian, half = np.empty((2, 3)), np.empty((2, 3))
        mean, quaternion, scale = np.empty(3), np.empty(4), np.empty(3)
        for g in range(count * block // NUM_BLOCKS, count * (block + 1) // NUM_BLOCKS):
            num_tiles[g] = 0
            size = 0.0
            for k in range(3):
                mean[k], scale[k] = means[g, k], scales[g, k]
                size = max(size, abs(mean[k]), abs(scale[k]))
                finite = abs(mean[k]) <= _FLOAT32_MAX and abs(scale[k]) <= _FLOAT32_MAX
                if not finite or not abs(colors[g, k]) <= _FLOAT32_MAX:
                    size = np.inf
            squared = 0.0
            for k in range(4):
                quaternion[k] = quaternions[g, k]
                squared += quaternion[k] * quaternion[k]
            if not (size <= _FLOAT32_MAX and 0.0 < squared < np.inf and abs(opacities[g]) <= _FLOAT32_MAX):
                broken[block] += 1
                continue
            pz = camera[2, 0] * mean[0] + camera[2, 1] * mean[1] + camera[2, 2] * mean[2] + camera[2, 3]
            opacity = np.float64(opacities[g])
            if pz < near or pz > far or opacity < ALPHA_THRESHOLD:
                continue
            pz, u, v, _ = _camera_half(
                mean, quaternion, scale, camera, intrinsics, height, width, rotation, factor, jacobian, half
            )
            xx = half[0, 0] * half[0, 0] + half[0, 1] * half[0, 1] + half[0, 2] * half[0, 2]
            xy = half[0, 0] * half[1, 0] + half[0, 1] * half[1, 1] + half[0, 2] * half[1, 2]
            yy = half[1, 0] * half[1, 0] + half[1, 1] * half[1, 1] + half[1, 2] * half[1, 2]
            before = xx * yy - xy * xy
            xx += eps2d
            yy += eps2d
            determinant = xx * yy - xy * xy
            if not determinant > 0.0:
                continue
            if antialiased:
                opacity *= math.sqrt(max(before / determinant, 0.0))
                if opacity < ALPHA_THRESHOLD:
                    continue
            reach = min(CUTOFF_SIGMAS, math.sqrt(2.0 * math.log(opacity / ALPHA_THRESHOLD)))
            reach_x, reach_y = reach * math.sqrt(xx), reach * math.sqrt(yy)
            if math.ceil(reach_x) <= radius_clip and math.ceil(reach_y) <= radius_clip:
                continue
            x = intrinsics[0] * u + intrinsics[2]
            y = intrinsics[1] * v + intrinsics[3]
            reach_x, reach_y = reach_x * _BOX_MARGIN, reach_y * _BOX_MARGIN
            # clamped before the conversion: a float beyond the integers has no defined integer
            left = int(math.ceil(min(max(x - reach_x - 0.5, 0.0), float(width))))
            top = int(math.ceil(min(max(y - reach_y - 0.5, 0.0), float(height))))
            right = int(math.floor(min(max(x + reach_x + 0.5, 0.0), float(width))))
            bottom = int(math.floor(min(max(y + reach_y + 0.5, 0.0), float(height))))
            if left >= right or top >= bottom:
                continue
            rows[g, 0], rows[g, 1] = np.float32(x), np.float32(y)
            rows[g, 2] = np.float32(-0.5 * _LOG2_E * yy / determinant)
            rows[g, 3] = np.float32(_LOG2_E * xy / determinant)
            rows[g, 4] = np.float32(-0.5 * _LOG2_E * xx / determinant)
            rows[g, 5] = np.float32(opacity)
            rows[g, 6], rows[g, 7], rows[g, 8] = colors[g, 0], colors[g, 1], colors[g, 2]
            depth = np.float32(pz)
            rows[g, 9] = depth
            keys[g] = depth.view(np.uint32)
            boxes[g, 0], boxes[g, 1], boxes[g, 2], boxes[g, 3] = left, top, right, bottom
            across = (right - 1) // TILE - left // TILE + 1
            num_tiles[g] = across * ((bottom - 1) // TILE - top // TILE + 1)
    return broken.sum()


@kernel
def project_backward(
    means,
    quaternions,
    scales,
    opacities,
    camera,
    intrinsics,
    height,
    width,
    eps2d,
    antialiased,
    num_tiles,
    slot_starts,
    slots,
    grad_means,
    grad_quaternions,
    grad_scales,
    grad_opacities,
    grad_colors,
    grad_camera,
):
    """Add the gradients of one frame, from those of its (Gaussian, tile) pairs.

    A slot holds sums over the pixels of one pair: gradients of r, g, b and z, then the moments 1, dx, dy, dx^2, dx dy, dy^2 of
    -dL/dsigma, where sigma is half the squared Mahalanobis distance. `grad_camera` gets, per block of Gaussians, the
    gradients of the 3x4 `camera` and of (fx, fy, cx, cy).
    """
    count = means.shape[0]
    for block in numba.prange(NUM_BLOCKS):
        rotation, factor = np.empty((3, 3)), np.empty((3, 3))
        jacobian, half = np.empty((2, 3)), np.empty((2, 3))
        mean, quaternion, scale = np.empty(3), np.empty(4), np.empty(3)
        sums, d_half, d_jacobian = np.empty(10), np.empty((2, 3)), np.empty((2, 3))
        d_factor, d_shape, d_center = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
        pose = np.zeros((3, 4))
        d_fx, d_fy, d_cx, d_cy = 0.0, 0.0, 0.0, 0.0
        fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
        for g in range(count * block // NUM_BLOCKS, count * (block + 1) // NUM_BLOCKS):
            if num_tiles[g] == 0:
                continue
            sums[:] = 0.0
            for slot in range(slot_starts[g], slot_starts[g] + num_tiles[g]):
                for k in range(10):
                    sums[k] += slots[slot, k]
            for k in range(3):
                mean[k], scale[k] = means[g, k], scales[g, k]
                grad_colors[g, k] += np.float32(sums[k])
            for k in range(4):
                quaternion[k] = quaternions[g, k]
            pz, u, v, length = _camera_half(
                mean, quaternion, scale, camera, intrinsics, height, width, rotation, factor, jacobian, half
            )
            xx = half[0, 0] * half[0, 0] + half[0, 1] * half[0, 1] + half[0, 2] * half[0, 2]
            xy = half[0, 0] * half[1, 0] + half[0, 1] * half[1, 1] + half[0, 2] * half[1, 2]
            yy = half[1, 0] * half[1, 0] + half[1, 1] * half[1, 1] + half[1, 2] * half[1, 2]
            before = xx * yy - xy * xy
            determinant = (xx + eps2d) * (yy + eps2d) - xy * xy
            conic_xx, conic_xy, conic_yy = (
                (yy + eps2d) / determinant,
                -xy / determinant,
                (xx + eps2d) / determinant,
            )

            # sigma -> conic (as a full symmetric matrix) and centre -> 2D covariance: dL/dC = -Q (dL/dQ) Q
            q_xx, q_xy, q_yy = -0.5 * sums[7], -0.5 * sums[8], -0.5 * sums[9]
            d_x = conic_xx * sums[5] + conic_xy * sums[6]
            d_y = conic_xy * sums[5] + conic_yy * sums[6]
            a_x, a_y = conic_xx * q_xx + conic_xy * q_xy, conic_xx * q_xy + conic_xy * q_yy
            b_x, b_y = conic_xy * q_xx + conic_yy * q_xy, conic_xy * q_xy + conic_yy * q_yy
            c_xx = -(a_x * conic_xx + a_y * conic_xy)
            c_xy = -(a_x * conic_xy + a_y * conic_yy)
            c_yy = -(b_x * conic_xy + b_y * conic_yy)
            opacity = np.float64(opacities[g])
            if antialiased:
                ratio = before / determinant
                root = math.sqrt(ratio)
                grad_opacities[g] += np.float32(sums[4] / opacity)
                d_ratio = (
                    0.5 * sums[4] / ratio
                )  # opacity' = opacity root, so dL/dratio = opacity dL/dopacity' / (2 root)
                c_xx += d_ratio * (yy - ratio * (yy + eps2d)) / determinant
                c_yy += d_ratio * (xx - ratio * (xx + eps2d)) / determinant
                c_xy -= d_ratio * (1.0 - ratio) * xy / determinant
            else:
                grad_opacities[g] += np.float32(sums[4] / opacity)

            # 2D covariance -> N = J (W R S)
            for k in range(3):
                d_half[0, k] = 2.0 * (c_xx * half[0, k] + c_xy * half[1, k])
                d_half[1, k] = 2.0 * (c_xy * half[0, k] + c_yy * half[1, k])
            for i in range(2):
                for j in range(3):
                    total = 0.0
                    for k in range(3):
                        total += d_half[i, k] * factor[j, k]
                    d_jacobian[i, j] = total
            for j in range(3):
                for k in range(3):
                    d_factor[j, k] = jacobian[0, j] * d_half[0, k] + jacobian[1, j] * d_half[1, k]

            # centre and Jacobian -> x/z, y/z, 1/z and intrinsics
            right, left = (1.15 * width - cx) / fx, (cx + 0.15 * width) / fx
            lower, upper = (1.15 * height - cy) / fy, (cy + 0.15 * height) / fy
            clamped_u, clamped_v = min(max(u, -left), right), min(max(v, -upper), lower)
            inverse = 1.0 / pz
            d_u, d_v = fx * d_x, fy * d_y
            d_fx += u * d_x + inverse * (d_jacobian[0, 0] - clamped_u * d_jacobian[0, 2])
            d_fy += v * d_y + inverse * (d_jacobian[1, 1] - clamped_v * d_jacobian[1, 2])
            d_cx += d_x
            d_cy += d_y
            d_clamped_u, d_clamped_v = -fx * inverse * d_jacobian[0, 2], -fy * inverse * d_jacobian[1, 2]
            if u > right:
                d_fx -= d_clamped_u * right / fx
                d_cx -= d_clamped_u / fx
            elif u < -left:
                d_fx += d_clamped_u * left / fx
                d_cx -= d_clamped_u / fx
            else:
                d_u += d_clamped_u
            if v > lower:
                d_fy -= d_clamped_v * lower / fy
                d_cy -= d_clamped_v / fy
            elif v < -upper:
                d_fy += d_clamped_v * upper / fy
                d_cy -= d_clamped_v / fy
            else:
                d_v += d_clamped_v
            d_inverse = fx * (d_jacobian[0, 0] - clamped_u * d_jacobian[0, 2])
            d_inverse += fy * (d_jacobian[1, 1] - clamped_v * d_jacobian[1, 2])
            d_inverse += d_u * u * pz + d_v * v * pz
            d_center[0], d_center[1] = d_u * inverse, d_v * inverse
            d_center[2] = sums[3] - inverse * inverse * d_inverse

            # camera frame -> world frame, and the pose
            for j in range(3):
                total = 0.0
                for i in range(3):
                    total += camera[i, j] * d_center[i]
                    pose[i, j] += d_center[i] * mean[j]
                    for k in range(3):
                        pose[i, j] += d_factor[i, k] * rotation[j, k] * scale[k]
                grad_means[g, j] += np.float32(total)
                for k in range(3):
                    d_shape[j, k] = (
                        camera[0, j] * d_factor[0, k]
                        + camera[1, j] * d_factor[1, k]
                        + camera[2, j] * d_factor[2, k]
                    )
            for i in range(3):
                pose[i, 3] += d_center[i]

            # R S -> scales and unit quaternion -> quaternion
            for k in range(3):
                total = 0.0
                for j in range(3):
                    total += rotation[j, k] * d_shape[j, k]
                    d_shape[j, k] *= scale[k]
                grad_scales[g, k] += np.float32(total)
            w, x, y, z = (
                quaternion[0] / length,
                quaternion[1] / length,
                quaternion[2] / length,
                quaternion[3] / length,
            )
            d = d_shape
            d_w = 2.0 * (x * (d[2, 1] - d[1, 2]) + y * (d[0, 2] - d[2, 0]) + z * (d[1, 0] - d[0, 1]))
            d_qx = 2.0 * (
                y * (d[0, 1] + d[1, 0])
                + z * (d[0, 2] + d[2, 0])
                + w * (d[2, 1] - d[1, 2])
                - 2.0 * x * (d[1, 1] + d[2, 2])
            )
            d_qy = 2.0 * (
                x * (d[0, 1] + d[1, 0])
                + z * (d[1, 2] + d[2, 1])
                + w * (d[0, 2] - d[2, 0])
                - 2.0 * y * (d[0, 0] + d[2, 2])
            )
            d_qz = 2.0 * (
                x * (d[0, 2] + d[2, 0])
                + y * (d[1, 2] + d[2, 1])
                + w * (d[1, 0] - d[0, 1])
                - 2.0 * z * (d[0, 0] + d[1, 1])
            )
            along = d_w * w + d_qx * x + d_qy * y + d_qz * z
            grad_quaternions[g, 0] += np.float32((d_w - along * w) / length)
            grad_quaternions[g, 1] += np.float32((d_qx - along * x) / length)
            grad_quaternions[g, 2] += np.float32((d_qy - along * y) / length)
            grad_quaternions[g, 3] += np.float32((d_qz - along * z) / length)
        for i in range(3):
            for j in range(4):
                grad_camera[block, 4 * i + j] = pose[i, j]
        grad_camera[block, 12] = d_fx
        grad_camera[block, 13] = d_fy
        grad_camera[block, 14] = d_cx
        grad_camera[block, 15] = d_cy
