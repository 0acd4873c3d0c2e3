"""Numba functions: Gaussians onto the image plane of one camera, and the gradient of that.

Arithmetic is in float64: beside the rasterizer it costs nothing that could be measured, and it keeps the
depth order and thin footprints exact. Notation as in `reference.project_gaussians`: N = J W R S is the 2x3
square root of the covariance on the image. Matrices are flat tuples, row by row, which numba keeps in
registers.
"""

import math

import numpy as np

from diff4splat.rendering.cpu_jit import TILE, inlined
from diff4splat.rendering.reference import (
    ALPHA_THRESHOLD,
    CUTOFF_SIGMAS,
    LARGEST,
    LARGEST_PX,
    MIN_QUATERNION_LENGTH,
)

__all__ = ["project_backward", "project_forward"]

_HALF_LOG2_E = 0.7213475204444817
_BOX_MARGIN = 1.0005  # float32 rounding near the alpha threshold must not meet the edge of the box
_BLOCK_REACH = 1.5  # pixels from the middle of a block of 4x4 to its outer ones
_FLOAT32_MAX = 3.4028235e38


@inlined
def _product(a, b):
    """3x3 times 3x3."""
    return (
        a[0] * b[0] + a[1] * b[3] + a[2] * b[6],
        a[0] * b[1] + a[1] * b[4] + a[2] * b[7],
        a[0] * b[2] + a[1] * b[5] + a[2] * b[8],
        a[3] * b[0] + a[4] * b[3] + a[5] * b[6],
        a[3] * b[1] + a[4] * b[4] + a[5] * b[7],
        a[3] * b[2] + a[4] * b[5] + a[5] * b[8],
        a[6] * b[0] + a[7] * b[3] + a[8] * b[6],
        a[6] * b[1] + a[7] * b[4] + a[8] * b[7],
        a[6] * b[2] + a[7] * b[5] + a[8] * b[8],
    )


@inlined
def _transposed(a):
    return a[0], a[3], a[6], a[1], a[4], a[7], a[2], a[5], a[8]


@inlined
def _dot(ax, ay, az, bx, by, bz):
    return ax * bx + ay * by + az * bz


@inlined
def _rotation(w, x, y, z, two):
    """Rotation matrix of a quaternion; `two` is 2 over its squared length."""
    return (
        1.0 - two * (y * y + z * z),
        two * (x * y - w * z),
        two * (x * z + w * y),
        two * (x * y + w * z),
        1.0 - two * (x * x + z * z),
        two * (y * z - w * x),
        two * (x * z - w * y),
        two * (y * z + w * x),
        1.0 - two * (x * x + y * y),
    )


@inlined
def _stretched(a, sx, sy, sz):
    """A 3x3 matrix with its columns scaled."""
    return a[0] * sx, a[1] * sy, a[2] * sz, a[3] * sx, a[4] * sy, a[5] * sz, a[6] * sx, a[7] * sy, a[8] * sz


@inlined
def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@inlined
def _combined(p, a, q, b):
    """Sum p a + q b of vectors a and b."""
    return p * a[0] + q * b[0], p * a[1] + q * b[1], p * a[2] + q * b[2]


@inlined
def _half(f, jx, jxz, jy, jyz):
    """Rows a, b of N = J F for the Jacobian [[jx, 0, jxz], [0, jy, jyz]], and entries xx, xy, yy of N N^T."""
    ax, ay, az = jx * f[0] + jxz * f[6], jx * f[1] + jxz * f[7], jx * f[2] + jxz * f[8]
    bx, by, bz = jy * f[3] + jyz * f[6], jy * f[4] + jyz * f[7], jy * f[5] + jyz * f[8]
    covariance = (ax * ax + ay * ay + az * az, ax * bx + ay * by + az * bz, bx * bx + by * by + bz * bz)
    return (ax, ay, az), (bx, by, bz), covariance


@inlined
def _determinants(a, b, xx, yy, eps2d):
    """The vector a x b, and the determinants of N N^T and of N N^T + eps2d I.

    They are sums of squares here; the usual difference xx yy - xy^2 cancels for needles.
    """
    normal = _cross(a, b)
    before = _dot(*normal, *normal)
    return normal, before, before + eps2d * (xx + yy + eps2d)


@inlined
def _limits(size, focal, center):
    """Range of x/z (y/z) outside which the Jacobian is taken at its end: the field of view and 15 % more."""
    return -(center + 0.15 * size) / focal, (1.15 * size - center) / focal


@inlined
def _within(limit, a, b, c):
    return (abs(a) <= limit) & (abs(b) <= limit) & (abs(c) <= limit)


@inlined
def _pose(camera):
    """The rotation of a 3x4 camera matrix."""
    return (
        camera[0, 0],
        camera[0, 1],
        camera[0, 2],
        camera[1, 0],
        camera[1, 1],
        camera[1, 2],
        camera[2, 0],
        camera[2, 1],
        camera[2, 2],
    )


@inlined
def project_forward(
    first, last, means, quaternions, scales, shift, opacities, colors, camera, intrinsics, limits,
    rows, spans, keys, num_tiles, offset,
):  # fmt: skip
    """Fill one row per Gaussian and count the tiles it touches; return how many are no Gaussians.

    Gaussian g is entry g - `shift` of means, quaternions and scales, g - `first` of the colours, and
    `offset` + g of what is filled in.

    A row is (x, y, A, B, C, opacity, r, g, b, z, e, p, q) with the footprint 2^-((A dx + B dy)^2 + (C dy)^2):
    squares of Cholesky factors, because the terms of the expanded form cancel in float32 along thin splats. A
    block of 4x4 pixels can be reached only if in its middle the exponent is at most e, dx^2 at most p and
    dy^2 at most q. A span is (left, top, right, bottom) in tiles, ends excluded; a key is z as an integer of
    the same order. Gaussians that are not visible touch 0 tiles and have nothing else filled in.
    """
    w = _pose(camera)
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    width, height = float(limits.width), float(limits.height)
    low_u, high_u = _limits(width, fx, cx)
    low_v, high_v = _limits(height, fy, cy)
    broken = 0
    for g in range(first, last):
        i, at = g - shift, offset + g
        num_tiles[at] = 0
        mx, my, mz = np.float64(means[i, 0]), np.float64(means[i, 1]), np.float64(means[i, 2])
        sx, sy, sz = np.float64(scales[i, 0]), np.float64(scales[i, 1]), np.float64(scales[i, 2])
        qw, qx = np.float64(quaternions[i, 0]), np.float64(quaternions[i, 1])
        qy, qz = np.float64(quaternions[i, 2]), np.float64(quaternions[i, 3])
        opacity = np.float64(opacities[g])
        square = qw * qw + qx * qx + qy * qy + qz * qz
        finite = _within(_FLOAT32_MAX, mx, my, mz) & _within(_FLOAT32_MAX, sx, sy, sz)
        finite &= _within(_FLOAT32_MAX, qw, qx, qy) & _within(_FLOAT32_MAX, qz, opacity, 0.0)
        finite &= _within(LARGEST, colors[g - first, 0], colors[g - first, 1], colors[g - first, 2])
        if not (finite & (square >= MIN_QUATERNION_LENGTH * MIN_QUATERNION_LENGTH)):
            broken += 1
            continue
        z = _dot(w[6], w[7], w[8], mx, my, mz) + camera[2, 3]
        if z < limits.near or z > limits.far or opacity < ALPHA_THRESHOLD:
            continue
        inverse = 1.0 / z
        u = (_dot(w[0], w[1], w[2], mx, my, mz) + camera[0, 3]) * inverse
        v = (_dot(w[3], w[4], w[5], mx, my, mz) + camera[1, 3]) * inverse
        rotation = _rotation(qw, qx, qy, qz, 2.0 / square)
        factor = _stretched(_product(w, rotation), sx, sy, sz)
        jx, jy = fx * inverse, fy * inverse
        jxz, jyz = -jx * min(max(u, low_u), high_u), -jy * min(max(v, low_v), high_v)
        a, b, (xx, xy, yy) = _half(factor, jx, jxz, jy, jyz)
        _, before, determinant = _determinants(a, b, xx, yy, limits.eps2d)
        if not 0.0 < determinant < math.inf:
            continue
        xx += limits.eps2d
        yy += limits.eps2d
        if limits.antialiased:
            opacity *= math.sqrt(max(before / determinant, 0.0))
            if opacity < ALPHA_THRESHOLD:
                continue
        exponent = math.log(opacity / ALPHA_THRESHOLD)
        reach = min(CUTOFF_SIGMAS * CUTOFF_SIGMAS, 2.0 * exponent)
        reach_x, reach_y = math.sqrt(reach * xx), math.sqrt(reach * yy)
        if math.ceil(reach_x) <= limits.radius_clip and math.ceil(reach_y) <= limits.radius_clip:
            continue
        x, y = fx * u + cx, fy * v + cy
        reach_x, reach_y = reach_x * _BOX_MARGIN, reach_y * _BOX_MARGIN
        # clamped before the conversion: a float beyond the integers has no defined integer
        left = int(math.ceil(min(max(x - reach_x - 0.5, 0.0), width)))
        top = int(math.ceil(min(max(y - reach_y - 0.5, 0.0), height)))
        right = int(math.floor(min(max(x + reach_x + 0.5, 0.0), width)))
        bottom = int(math.floor(min(max(y + reach_y + 0.5, 0.0), height)))
        if left >= right or top >= bottom:
            continue
        flat = _HALF_LOG2_E / yy
        steep = math.sqrt(_HALF_LOG2_E * yy / determinant)
        shear = -xy / yy * steep
        if not (_within(LARGEST_PX, x, y, 0.0) & _within(LARGEST_PX, steep, shear, flat / LARGEST_PX)):
            continue
        # |L d| >= |L m| - |L (m - d)| for a pixel d and the middle m of its block
        slack = _BLOCK_REACH * math.sqrt((steep + abs(shear)) ** 2 + flat)
        edge = math.sqrt(2.0 * _HALF_LOG2_E * exponent) * _BOX_MARGIN + slack
        rows[at, 0], rows[at, 1] = np.float32(x), np.float32(y)
        rows[at, 2], rows[at, 3], rows[at, 4] = (
            np.float32(steep),
            np.float32(shear),
            np.float32(math.sqrt(flat)),
        )
        rows[at, 5] = np.float32(opacity)
        for k in range(3):
            rows[at, 6 + k] = max(colors[g - first, k], np.float32(0.0))
        depth = np.float32(z)
        rows[at, 9], rows[at, 10] = depth, np.float32(edge * edge * _BOX_MARGIN)
        rows[at, 11] = np.float32((reach_x + _BLOCK_REACH) ** 2 * _BOX_MARGIN)
        rows[at, 12] = np.float32((reach_y + _BLOCK_REACH) ** 2 * _BOX_MARGIN)
        keys[at] = depth.view(np.uint32)
        first_x, first_y, end_x, end_y = (
            left // TILE,
            top // TILE,
            (right - 1) // TILE + 1,
            (bottom - 1) // TILE + 1,
        )
        spans[at, 0], spans[at, 1], spans[at, 2], spans[at, 3] = first_x, first_y, end_x, end_y
        num_tiles[at] = (end_x - first_x) * (end_y - first_y)
    return broken


@inlined
def project_backward(
    first, last, means, quaternions, scales, shift, opacities, colors, camera, intrinsics, limits,
    num_tiles, slot_starts, offset, sums, start,
    grad_means, grad_quaternions, grad_scales, grad_opacities, grad_colors, grad_camera,
):  # fmt: skip
    """Add the gradients of one frame, from those of its (Gaussian, tile) pairs.

    Entries are as in `project_forward`.

    A row of `sums` holds those over the pixels of one pair: gradients of r, g, b and z, then the moments 1,
    s, t, s^2, s t, t^2 of -dL/dsigma, where sigma is half the squared Mahalanobis distance and (s, t) are the
    two terms of the footprint in `project_forward`. `grad_camera` gets the gradients of the 3x4 `camera` and
    of (fx, fy, cx, cy).
    """
    w = _pose(camera)
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    width, height, eps2d = float(limits.width), float(limits.height), limits.eps2d
    low_u, high_u = _limits(width, fx, cx)
    low_v, high_v = _limits(height, fy, cy)
    pose = np.zeros((3, 4))
    d_fx, d_fy, d_cx, d_cy = 0.0, 0.0, 0.0, 0.0
    for g in range(first, last):
        i, at = g - shift, offset + g
        if num_tiles[at] == 0:
            continue
        begin = start + slot_starts[at]
        d_r, d_g, d_b, d_z = 0.0, 0.0, 0.0, 0.0
        m_0, m_s, m_t, m_ss, m_st, m_tt = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for slot in range(begin, begin + num_tiles[at]):
            d_r += sums[slot, 0]
            d_g += sums[slot, 1]
            d_b += sums[slot, 2]
            d_z += sums[slot, 3]
            m_0 += sums[slot, 4]
            m_s += sums[slot, 5]
            m_t += sums[slot, 6]
            m_ss += sums[slot, 7]
            m_st += sums[slot, 8]
            m_tt += sums[slot, 9]
        if colors[g - first, 0] >= 0.0:
            grad_colors[g - first, 0] += np.float32(d_r)
        if colors[g - first, 1] >= 0.0:
            grad_colors[g - first, 1] += np.float32(d_g)
        if colors[g - first, 2] >= 0.0:
            grad_colors[g - first, 2] += np.float32(d_b)
        mx, my, mz = np.float64(means[i, 0]), np.float64(means[i, 1]), np.float64(means[i, 2])
        sx, sy, sz = np.float64(scales[i, 0]), np.float64(scales[i, 1]), np.float64(scales[i, 2])
        qw, qx = np.float64(quaternions[i, 0]), np.float64(quaternions[i, 1])
        qy, qz = np.float64(quaternions[i, 2]), np.float64(quaternions[i, 3])
        length = math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        qw, qx, qy, qz = qw / length, qx / length, qy / length, qz / length
        inverse = 1.0 / (_dot(w[6], w[7], w[8], mx, my, mz) + camera[2, 3])
        u = (_dot(w[0], w[1], w[2], mx, my, mz) + camera[0, 3]) * inverse
        v = (_dot(w[3], w[4], w[5], mx, my, mz) + camera[1, 3]) * inverse
        rotation = _rotation(qw, qx, qy, qz, 2.0)
        factor = _stretched(_product(w, rotation), sx, sy, sz)
        clamped_u, clamped_v = min(max(u, low_u), high_u), min(max(v, low_v), high_v)
        jx, jxz, jy, jyz = (
            fx * inverse,
            -fx * clamped_u * inverse,
            fy * inverse,
            -fy * clamped_v * inverse,
        )
        a, b, (xx, xy, yy) = _half(factor, jx, jxz, jy, jyz)
        normal, before, determinant = _determinants(a, b, xx, yy, eps2d)
        # L d has the squared length d^T Q d, Q = L^T L the inverse covariance; (s, t) are L d in units
        # of 2^-(s^2 + t^2) = e^-sigma
        root = math.sqrt((yy + eps2d) * determinant)
        l_xx, l_xy, l_yy = math.sqrt((yy + eps2d) / determinant), -xy / root, 1.0 / math.sqrt(yy + eps2d)
        m_s, m_t = m_s / math.sqrt(_HALF_LOG2_E), m_t / math.sqrt(_HALF_LOG2_E)
        m_ss, m_st, m_tt = m_ss / _HALF_LOG2_E, m_st / _HALF_LOG2_E, m_tt / _HALF_LOG2_E
        d_x, d_y = l_xx * m_s, l_xy * m_s + l_yy * m_t
        grad_opacities[g] += np.float32(m_0 / opacities[g])

        # sigma -> N = (a, b): dL/dN = L^T M (L N) with the second moments M. The first row of L N is
        # l_xx a + l_xy b, which cancels along needles; written as (eps2d a + b x (a x b)) / root it does
        # not.
        b_normal = _cross(b, normal)
        head = _combined(eps2d / root, a, 1.0 / root, b_normal)
        d_head = _combined(m_ss, head, m_st * l_yy, b)
        d_second = _combined(m_st, head, m_tt * l_yy, b)
        d_a = _combined(l_xx, d_head, 0.0, d_second)
        d_b = _combined(l_xy, d_head, l_yy, d_second)
        if limits.antialiased:  # the opacity was multiplied by sqrt(before / determinant)
            fade = m_0 * eps2d / determinant
            rise = fade * (xx + yy + eps2d) / before
            change_a = _combined(rise, b_normal, -fade, a)
            change_b = _combined(rise, _cross(normal, a), -fade, b)
            d_a, d_b = _combined(1.0, d_a, 1.0, change_a), _combined(1.0, d_b, 1.0, change_b)

        # N -> J and F = W R S
        ax, ay, az = d_a
        bx, by, bz = d_b
        d_jx, d_jxz = (
            _dot(ax, ay, az, factor[0], factor[1], factor[2]),
            _dot(ax, ay, az, factor[6], factor[7], factor[8]),
        )
        d_jy, d_jyz = (
            _dot(bx, by, bz, factor[3], factor[4], factor[5]),
            _dot(bx, by, bz, factor[6], factor[7], factor[8]),
        )
        d_factor = (
            jx * ax, jx * ay, jx * az, jy * bx, jy * by, jy * bz,
            jxz * ax + jyz * bx, jxz * ay + jyz * by, jxz * az + jyz * bz,
        )  # fmt: skip

        # J and centre -> x/z, y/z, 1/z and intrinsics
        d_u, d_v = fx * d_x, fy * d_y
        d_fx += u * d_x + inverse * (d_jx - clamped_u * d_jxz)
        d_fy += v * d_y + inverse * (d_jy - clamped_v * d_jyz)
        d_cx += d_x
        d_cy += d_y
        d_clamped_u, d_clamped_v = -jx * d_jxz, -jy * d_jyz
        if low_u <= u <= high_u:
            d_u += d_clamped_u
        else:  # both ends are (constant - centre) / focal
            d_fx -= d_clamped_u * clamped_u / fx
            d_cx -= d_clamped_u / fx
        if low_v <= v <= high_v:
            d_v += d_clamped_v
        else:
            d_fy -= d_clamped_v * clamped_v / fy
            d_cy -= d_clamped_v / fy
        d_inverse = fx * (d_jx - clamped_u * d_jxz) + fy * (d_jy - clamped_v * d_jyz)
        px, py = d_u * inverse, d_v * inverse
        pz = d_z - inverse * (d_u * u + d_v * v + inverse * d_inverse)

        # camera frame -> world frame and pose
        grad_means[i, 0] += np.float32(_dot(w[0], w[3], w[6], px, py, pz))
        grad_means[i, 1] += np.float32(_dot(w[1], w[4], w[7], px, py, pz))
        grad_means[i, 2] += np.float32(_dot(w[2], w[5], w[8], px, py, pz))
        turned = _product(d_factor, _transposed(_stretched(rotation, sx, sy, sz)))
        pose[0, 0] += px * mx + turned[0]
        pose[0, 1] += px * my + turned[1]
        pose[0, 2] += px * mz + turned[2]
        pose[0, 3] += px
        pose[1, 0] += py * mx + turned[3]
        pose[1, 1] += py * my + turned[4]
        pose[1, 2] += py * mz + turned[5]
        pose[1, 3] += py
        pose[2, 0] += pz * mx + turned[6]
        pose[2, 1] += pz * my + turned[7]
        pose[2, 2] += pz * mz + turned[8]
        pose[2, 3] += pz

        # R S -> scales, R -> unit quaternion -> quaternion
        d = _product(_transposed(w), d_factor)
        grad_scales[i, 0] += np.float32(_dot(rotation[0], rotation[3], rotation[6], d[0], d[3], d[6]))
        grad_scales[i, 1] += np.float32(_dot(rotation[1], rotation[4], rotation[7], d[1], d[4], d[7]))
        grad_scales[i, 2] += np.float32(_dot(rotation[2], rotation[5], rotation[8], d[2], d[5], d[8]))
        d = _stretched(d, sx, sy, sz)
        skew_x, skew_y, skew_z = d[7] - d[5], d[2] - d[6], d[3] - d[1]
        even_x, even_y, even_z = d[7] + d[5], d[2] + d[6], d[3] + d[1]
        d_qw = 2.0 * (qx * skew_x + qy * skew_y + qz * skew_z)
        d_qx = 2.0 * (qw * skew_x + qy * even_z + qz * even_y) - 4.0 * qx * (d[4] + d[8])
        d_qy = 2.0 * (qw * skew_y + qx * even_z + qz * even_x) - 4.0 * qy * (d[0] + d[8])
        d_qz = 2.0 * (qw * skew_z + qx * even_y + qy * even_x) - 4.0 * qz * (d[0] + d[4])
        along = d_qw * qw + d_qx * qx + d_qy * qy + d_qz * qz
        grad_quaternions[i, 0] += np.float32((d_qw - along * qw) / length)
        grad_quaternions[i, 1] += np.float32((d_qx - along * qx) / length)
        grad_quaternions[i, 2] += np.float32((d_qy - along * qy) / length)
        grad_quaternions[i, 3] += np.float32((d_qz - along * qz) / length)
    for row in range(3):
        for column in range(4):
            grad_camera[4 * row + column] = pose[row, column]
    grad_camera[12] = d_fx
    grad_camera[13] = d_fy
    grad_camera[14] = d_cx
    grad_camera[15] = d_cy
