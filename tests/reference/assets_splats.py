"""Files of Gaussians read by other libraries and loops, as plain numpy; shares nothing with what wrote them.

Each reader gives means, quaternions (wxyz), scales (linear), opacities (probabilities) and harmonics
[gaussian, coefficient, rgb] in the axes of the file.
"""

import math
import struct

import numpy as np
from reference.gaussians_harmonics import basis


def read_ply(path):
    from plyfile import PlyData

    vertex = PlyData.read(path, mmap=False)["vertex"]
    count = len(vertex["x"])
    number = sum(item.name.startswith("f_rest_") for item in vertex.properties) // 3
    harmonics = np.zeros((count, 1 + number, 3))
    for channel in range(3):
        harmonics[:, 0, channel] = vertex[f"f_dc_{channel}"]
        for index in range(number):
            harmonics[:, 1 + index, channel] = vertex[f"f_rest_{channel * number + index}"]
    return {
        "means": np.stack([vertex[name] for name in "xyz"], axis=1).astype(np.float64),
        "quaternions": np.stack([vertex[f"rot_{index}"] for index in range(4)], axis=1).astype(np.float64),
        "scales": np.exp(
            np.stack([vertex[f"scale_{index}"] for index in range(3)], axis=1, dtype=np.float64)
        ),
        "opacities": 1 / (1 + np.exp(-np.asarray(vertex["opacity"], np.float64))),
        "harmonics": harmonics,
    }


def read_splat(path):
    rows = []
    data = path.read_bytes()
    for start in range(0, len(data), 32):
        rows.append(struct.unpack("<6f8B", data[start : start + 32]))
    table = np.array(rows, dtype=np.float64)
    quaternions = (table[:, 10:] - 128) / 128
    return {
        "means": table[:, :3],
        "scales": table[:, 3:6],
        "harmonics": ((table[:, 6:9] / 255 - 0.5) / 0.28209479177387814)[:, None],
        "opacities": table[:, 9] / 255,
        "quaternions": quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
    }


def read_glb(path):
    """Through pygltflib, in the axes of glTF; also the parsed file."""
    import pygltflib

    file = pygltflib.GLTF2().load_binary(str(path))
    blob = file.binary_blob()
    (primitive,) = file.meshes[0].primitives
    widths = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}

    def read(name):
        accessor = file.accessors[getattr(primitive.attributes, name)]
        view = file.bufferViews[accessor.bufferView]
        kind, one = {
            pygltflib.FLOAT: ("<f4", 1),
            pygltflib.UNSIGNED_SHORT: ("<u2", 65535),
            pygltflib.UNSIGNED_BYTE: ("<u1", 255),
        }[accessor.componentType]
        flat = np.frombuffer(blob[view.byteOffset : view.byteOffset + view.byteLength], kind)
        return flat.reshape(accessor.count, widths[accessor.type]).astype(np.float64) / one

    prefix = "KHR_gaussian_splatting:"
    names = [name for name in vars(primitive.attributes) if name.startswith(prefix + "SH_DEGREE")]
    degree = math.isqrt(len(names)) - 1
    values = {
        "means": read("POSITION"),
        "quaternions": read(prefix + "ROTATION")[:, [3, 0, 1, 2]],
        "scales": read(prefix + "SCALE"),
        "opacities": read(prefix + "OPACITY")[:, 0],
        "harmonics": np.stack(
            [
                read(f"{prefix}SH_DEGREE_{level}_COEF_{index}")
                for level in range(degree + 1)
                for index in range(2 * level + 1)
            ],
            axis=1,
        ),
    }
    return values, read("COLOR_0"), file


def read_usd(path):
    """Through pxr: one set of values per time code, those codes, and the stage."""
    from pxr import Usd, UsdVol

    stage = Usd.Stage.Open(str(path))
    (prim,) = [prim for prim in stage.Traverse() if prim.IsA(UsdVol.ParticleField3DGaussianSplat)]
    particles = UsdVol.ParticleField3DGaussianSplat(prim)
    degree = particles.GetRadianceSphericalHarmonicsDegreeAttr().Get()
    codes = particles.GetPositionsAttr().GetTimeSamples() or [Usd.TimeCode.Default()]
    frames = []
    for code in codes:
        quaternions = [
            (item.GetReal(), *item.GetImaginary()) for item in particles.GetOrientationsAttr().Get(code)
        ]
        harmonics = np.array(particles.GetRadianceSphericalHarmonicsCoefficientsAttr().Get(code), np.float64)
        frames.append(
            {
                "means": np.array(particles.GetPositionsAttr().Get(code), np.float64),
                "quaternions": np.array(quaternions, np.float64),
                "scales": np.array(particles.GetScalesAttr().Get(code), np.float64),
                "opacities": np.array(particles.GetOpacitiesAttr().Get(code), np.float64),
                "harmonics": harmonics.reshape(-1, (degree + 1) ** 2, 3),
            }
        )
    return frames, codes, stage


def quaternion_to_matrix(quaternion):
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def covariance(quaternion, scales):
    """R diag(s)^2 R^T of one Gaussian."""
    rotation = quaternion_to_matrix(np.asarray(quaternion, np.float64))
    return rotation @ np.diag(np.asarray(scales, np.float64) ** 2) @ rotation.T


def seen_color(harmonics, direction):
    """Colour of one Gaussian along a direction."""
    harmonics = np.asarray(harmonics, np.float64)
    return 0.5 + basis(direction, math.isqrt(len(harmonics)) - 1) @ harmonics
