"""MoVieS in plain numpy float64: its codes, a block, the field of its maps, and the names of its weights."""

import math

import numpy as np
from reference.models_assembly import from_matrix, multiply, unproject

CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0])


def camera_code(camera_to_world, intrinsics, height, width):
    """Translation, quaternion xyzw of world-to-camera, then the vertical and the horizontal view angle."""
    inverse = np.linalg.inv(camera_to_world)
    w, x, y, z = from_matrix(inverse[:3, :3])
    vertical = 2 * math.atan(height / (2 * intrinsics[1, 1]))
    horizontal = 2 * math.atan(width / (2 * intrinsics[0, 0]))
    return np.array([*inverse[:3, 3], x, y, z, w, vertical, horizontal])


def time_code(time, dim):
    half = range(dim // 2)
    return np.array([math.sin(time * 2**k) for k in half] + [math.cos(time * 2**k) for k in half])


def place_code(channels, height, width, aspect):
    code = np.zeros((channels, height, width))
    quarter = channels // 4
    diagonal = math.hypot(aspect, 1.0)
    for row in range(height):
        for column in range(width):
            u = (2 * (column + 0.5) / width - 1) * aspect / diagonal
            v = (2 * (row + 0.5) / height - 1) / diagonal
            for i in range(quarter):
                rate = 100.0 ** (-i / quarter)
                code[i, row, column] = math.sin(u * rate)
                code[quarter + i, row, column] = math.cos(u * rate)
                code[2 * quarter + i, row, column] = math.sin(v * rate)
                code[3 * quarter + i, row, column] = math.cos(v * rate)
    return code


def _layer_norm(x, weight, bias, eps):
    return (x - x.mean()) / math.sqrt(x.var() + eps) * weight + bias


def _turned(vector, place):
    """The first half of a head by the row, the second by the column, as pairs (i, i + quarter)."""
    quarter = len(vector) // 4
    result = vector.copy()
    for axis in range(2):
        for i in range(quarter):
            first, second = 2 * axis * quarter + i, (2 * axis + 1) * quarter + i
            angle = place[axis] * 100.0 ** (-i / quarter)
            cos, sin = math.cos(angle), math.sin(angle)
            result[first] = vector[first] * cos - vector[second] * sin
            result[second] = vector[first] * sin + vector[second] * cos
    return result


def block(tokens, weights, num_heads, places, eps):
    """One block on `token dim`; `places` are (row, column) of each token."""
    count, dim = tokens.shape
    size = dim // num_heads
    norm = [_layer_norm(x, weights["norm1.weight"], weights["norm1.bias"], eps) for x in tokens]
    rows = [weights["attn.qkv.weight"] @ x + weights["attn.qkv.bias"] for x in norm]
    mixed = np.zeros((count, dim))
    for head in range(num_heads):
        part = slice(head * size, (head + 1) * size)
        query, key, value = ([row[kind * dim :][part] for row in rows] for kind in range(3))
        query, key = (
            [
                _turned(_layer_norm(x, weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5), place)
                for x, place in zip(vectors, places, strict=True)
            ]
            for name, vectors in (("attn.q_norm", query), ("attn.k_norm", key))
        )
        for i in range(count):
            scores = np.array([math.exp(query[i] @ key[j] / math.sqrt(size)) for j in range(count)])
            mixed[i, part] = sum(s * v for s, v in zip(scores / scores.sum(), value, strict=True))
    result = np.zeros((count, dim))
    for i in range(count):
        x = weights["attn.proj.weight"] @ mixed[i] + weights["attn.proj.bias"]
        x = tokens[i] + weights["ls1.gamma"] * x
        hidden = _layer_norm(x, weights["norm2.weight"], weights["norm2.bias"], eps)
        hidden = weights["mlp.fc1.weight"] @ hidden + weights["mlp.fc1.bias"]
        hidden = np.array([h * 0.5 * (1 + math.erf(h / math.sqrt(2))) for h in hidden])
        result[i] = x + weights["ls2.gamma"] * (weights["mlp.fc2.weight"] @ hidden + weights["mlp.fc2.bias"])
    return result


def residual_unit(features, weights):
    """relu(x) + conv2(relu(conv1(relu(x)))) on `channel row column`: the sum is over rectified features."""
    rectified = np.maximum(features, 0)
    inner = _convolution(rectified, weights["conv1.weight"], weights["conv1.bias"])
    return rectified + _convolution(np.maximum(inner, 0), weights["conv2.weight"], weights["conv2.bias"])


def _convolution(features, weight, bias):
    _, height, width = features.shape
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(weight), height, width))
    for row in range(height):
        for column in range(width):
            window = padded[:, row : row + 3, column : column + 3]
            result[:, row, column] = (weight * window).sum((1, 2, 3)) + bias
    return result


def splat(raw):
    """Colour, scale, orientation and opacity of eleven raw numbers."""
    color = np.tanh(raw[:3]) / 2 + 0.5
    scale = np.minimum(0.001 * np.log1p(np.exp(raw[3:6])), 0.3)
    quaternion = raw[6:10] / np.linalg.norm(raw[6:10])
    return color, scale, quaternion, math.tanh(raw[10] - 1) / 2 + 0.5


def field(depth, splats, motions, moved, camera_to_world, intrinsics, scene_scale):
    """Attributes of one clip's field by name, `gaussian ...`; deltas are `gaussian time ...`."""
    origin = camera_to_world[0]
    turn = from_matrix(origin[:3, :3])
    names = ("means", "quaternions", "scales", "opacities", "colors")
    result = {name: [] for name in (*names, "delta_means", "delta_quaternions", "delta_scales")}
    frames, height, width = depth.shape
    for f in range(frames):
        for row in range(height):
            for column in range(width):
                z = min(max(depth[f, row, column], 0.001), 100.0) * scene_scale
                _, scale, quaternion, _ = splat(splats[f, :, row, column])
                times = [
                    (m[f, :, row, column], *splat(s[f, :, row, column]))
                    for m, s in zip(motions, moved, strict=True)
                ]
                turns = [multiply(quaternion * CONJUGATE, now[3]) for now in times]
                result["means"].append(unproject(z, camera_to_world[f], intrinsics[f], row, column))
                result["quaternions"].append(multiply(turn, quaternion))
                result["scales"].append(scene_scale * scale)
                result["colors"].append(np.mean([now[1] for now in times], axis=0))
                result["opacities"].append(np.mean([now[4] for now in times]))
                result["delta_means"].append([scene_scale * origin[:3, :3] @ now[0] for now in times])
                result["delta_quaternions"].append([-q if q[0] < 0 else q for q in turns])
                result["delta_scales"].append([np.log(now[2]) - np.log(scale) for now in times])
    return {name: np.array(values) for name, values in result.items()}


def published_shapes():
    """Names and shapes of all tensors of `movies_ckpt.safetensors`."""
    shapes = {"plucker_embed.net.weight": (1024, 6, 1, 14, 14), "plucker_embed.net.bias": (1024,)}
    shapes |= {"plucker_ln.weight": (1024,), "plucker_ln.bias": (1024,)}
    shapes |= {
        "encoder.cls_token": (1, 1, 1024),
        "encoder.pos_embed": (1, 1370, 1024),
        "encoder.register_tokens": (1, 4, 1024),
        "encoder.mask_token": (1, 1024),
        "encoder.patch_embed.proj.weight": (1024, 3, 14, 14),
        "encoder.patch_embed.proj.bias": (1024,),
        "encoder.norm.weight": (1024,),
        "encoder.norm.bias": (1024,),
        "backbone.camera_token": (1, 2, 1, 1024),
        "backbone.register_token": (1, 2, 4, 1024),
        "backbone.extra_embed.weight": (1024, 9),
        "backbone.extra_embed.bias": (1024,),
        "backbone.time_embed.weight": (1024, 20),
        "backbone.time_embed.bias": (1024,),
    }
    for stack in ("encoder.blocks", "backbone.frame_blocks", "backbone.global_blocks"):
        for layer in range(24):
            shapes |= {f"{stack}.{layer}.{name}": shape for name, shape in _block_shapes().items()}
            if stack.startswith("backbone"):
                for norm in ("q_norm", "k_norm"):
                    shapes |= {f"{stack}.{layer}.attn.{norm}.{name}": (64,) for name in ("weight", "bias")}
    for head, channels, shortcut, timed in (
        ("depth_head", 2, 0, False),
        ("splat_head", 12, 3, False),
        ("motion_head", 4, 0, True),
        ("motion_splat_head", 12, 11, True),
    ):
        shapes |= {f"{head}.{name}": shape for name, shape in _head_shapes(channels, shortcut, timed).items()}
    return {f"backbone.{name}": shape for name, shape in shapes.items()}


def _block_shapes():
    shapes = {name: (1024,) for name in ("ls1.gamma", "ls2.gamma", "norm1.weight", "norm1.bias")}
    shapes |= {"norm2.weight": (1024,), "norm2.bias": (1024,)}
    for name, after, before in (
        ("attn.qkv", 3072, 1024),
        ("attn.proj", 1024, 1024),
        ("mlp.fc1", 4096, 1024),
        ("mlp.fc2", 1024, 4096),
    ):
        shapes |= {f"{name}.weight": (after, before), f"{name}.bias": (after,)}
    return shapes


def _head_shapes(channels, shortcut, timed):
    shapes = {"norm.weight": (2048,), "norm.bias": (2048,)}

    def convolution(name, after, before, side, transposed=False):
        ends = (before, after) if transposed else (after, before)
        shapes[f"{name}.weight"] = (*ends, side, side)
        shapes[f"{name}.bias"] = (after,)

    for number, width in enumerate((256, 512, 1024, 1024)):
        convolution(f"projects.{number}", width, 2048, 1)
        shapes[f"scratch.layer{number + 1}_rn.weight"] = (256, width, 3, 3)
    convolution("resize_layers.0", 256, 256, 4, transposed=True)
    convolution("resize_layers.1", 512, 512, 2, transposed=True)
    convolution("resize_layers.3", 1024, 1024, 3)
    for number in (1, 2, 3, 4):
        convolution(f"scratch.refinenet{number}.out_conv", 256, 256, 1)
        for unit in (1, 2) if number < 4 else (2,):
            for layer in (1, 2):
                convolution(f"scratch.refinenet{number}.resConfUnit{unit}.conv{layer}", 256, 256, 3)
    convolution("scratch.output_conv1", 128, 256, 3)
    convolution("scratch.output_conv2.0", 32, 128, 3)
    convolution("scratch.output_conv2.2", channels, 32, 1)
    if shortcut:
        convolution("shortcut.0", 32, shortcut, 3)
        convolution("shortcut.2", channels, 32, 1)
    if timed:
        shapes |= {"time_embed.weight": (4096, 20), "time_embed.bias": (4096,)}
    return shapes
