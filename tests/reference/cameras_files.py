"""Files of cameras as their formats say, one camera at a time, in plain numpy and struct."""

import math
import struct

import numpy as np

COLMAP_MODELS = {"SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "OPENCV": 4, "OPENCV_FISHEYE": 5}


def rotation(axis, degrees):
    """Right-handed rotation about x, y or z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def rigid(turn, place):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, place
    return matrix


def wxyz(axis, degrees):
    """Quaternion of a rotation about x, y or z."""
    half = math.radians(degrees) / 2
    return [math.cos(half), *(math.sin(half) * (name == axis) for name in "xyz")]


def colmap_cameras_binary(cameras):
    """cameras.bin of (id, model, width, height, parameters)."""
    content = struct.pack("<Q", len(cameras))
    for key, model, width, height, parameters in cameras:
        content += struct.pack("<iiQQ", key, COLMAP_MODELS[model], width, height)
        content += struct.pack(f"<{len(parameters)}d", *parameters)
    return content


def colmap_images_binary(images):
    """images.bin of (id, wxyz, translation, camera, name, points)."""
    content = struct.pack("<Q", len(images))
    for key, quaternion, translation, camera, name, points in images:
        content += struct.pack("<i7di", key, *quaternion, *translation, camera) + name.encode() + b"\0"
        content += struct.pack("<Q", len(points))
        for x, y, point in points:
            content += struct.pack("<ddq", x, y, point)
    return content


def neoverse_orbit(degrees, radius):
    """On a circle around (0, 0, radius), facing it; positive angles to the right.

    Source: NeoVerse, docs/coordinate_system.md.
    """
    angle = math.radians(degrees)
    place = [radius * math.sin(angle), 0.0, radius * (1 - math.cos(angle))]
    return rigid(rotation("y", -degrees), place)
