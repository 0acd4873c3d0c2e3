"""Random scenes with hostile values, each made from its seed alone, and what rendering them ends in.

One scene again, in a terminal at the root of the repository:

    python tests/rendering/hostile_scenes.py cpu 1234 1235
"""

import math
import random
import re
import sys

import torch

from diff4splat.cameras import Cameras
from diff4splat.gaussians import Gaussians
from diff4splat.rendering import render

FIELDS = ("means", "quaternions", "scales", "opacities", "harmonics", "camera_to_world", "intrinsics")
ARGUMENTS = (*FIELDS, "background", "near and far", "eps2d", "radius_clip", "height", "width")
NOT_FINITE = (math.nan, math.inf, -math.inf)
MAGNITUDES = (0.0, 1e-45, 1e-38, 1e-30, 1e-15, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9, 1e12, 1e15)
FAR_MAGNITUDES = (1e18, 1e25, 1e30, 1e38, 3.4e38)


def hostile_scene(seed):
    """Leaves (seven fields and the background, None for some), image size, and options of `render`."""
    choose = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    batch = choose.choices([(), (1,), (2,), (0,)], [40, 5, 5, 1])[0]
    frames = choose.choices([0, 1, 2, 3], [1, 30, 10, 10])[0]
    count = choose.choices([0, 1, 5, 29], [1, 5, 10, 20])[0]
    height, width = choose.choice([(1, 1), (1, 37), (17, 1), (7, 11), (16, 16), (13, 33)])
    coefficients = choose.choice([1, 1, 4, 9, 16, 25])

    def normal(*shape):
        return torch.randn(*batch, *shape, generator=generator, dtype=torch.float64)

    means = normal(count, 3) + torch.tensor([0.0, 0.0, 3.0])
    turns = torch.linalg.qr(torch.eye(3) + 0.2 * normal(frames, 3, 3))[0]
    turns = turns * torch.sign(torch.linalg.det(turns))[..., None, None]
    poses = torch.zeros(*batch, frames, 4, 4, dtype=torch.float64)
    poses[..., :3, :3], poses[..., :3, 3], poses[..., 3, 3] = turns, 0.2 * normal(frames, 3), 1.0
    lens = torch.tensor([[width, 0, 0.5 * width], [0, width, 0.5 * height], [0, 0, 1]], dtype=torch.float64)
    values = [
        means,
        normal(count, 4),
        torch.exp(normal(count, 3) - 1.5),
        torch.sigmoid(2 * normal(count)),
        normal(count, coefficients, 3),
        poses,
        lens.expand(*batch, frames, 3, 3).clone(),
        torch.rand(3, generator=generator, dtype=torch.float64),
    ]
    options = {
        "mode": choose.choice(["classic", "antialiased"]),
        "depth_mode": choose.choice(["expected", "accumulated"]),
    }
    for _ in range(choose.choice([0, 1, 1, 2, 3])):
        choose.choice([_spoil_values] * 5 + [_spoil_places, _spoil_lens, _spoil_options])(
            values, options, choose, generator
        )
    dtype = choose.choice([torch.float32] * 4 + [torch.float64, torch.bfloat16])
    values = [v.to(dtype) for v in values]
    if choose.random() < 0.3:
        values[7] = None
    return values, (height, width), options


def _spoil_values(values, options, choose, generator):
    """Write one hostile number into one entry, some entries or all of one tensor."""
    value = choose.choices([NOT_FINITE, MAGNITUDES, FAR_MAGNITUDES], [1, 6, 3])[0]
    number = choose.choice(value) * choose.choice([1.0, 1.0, -1.0])
    tensor = values[choose.choice([0, 0, 1, 1, 2, 2, 2, 3, 4, 5, 6, 7])]
    if tensor.numel():
        entries = tensor.view(-1, tensor.shape[-1])
        row, column = choose.randrange(entries.shape[0]), choose.randrange(entries.shape[1])
        some = torch.rand(entries.shape, generator=generator) < 0.3
        entries[choose.choice([(row, column), row, (slice(None), column), some, slice(None)])] = number


def _spoil_places(values, options, choose, generator):
    """Gaussians in the plane or the centre of the camera, at the near plane, behind, or all in one place."""
    means, poses = values[0], values[5]
    if poses.shape[-3] == 0 or means.numel() == 0:
        return
    place = choose.choice(["plane", "centre", "near", "behind", "one place", "far aside"])
    pose = poses[..., :1, :, :]
    local = torch.randn(means.shape, generator=generator, dtype=torch.float64)
    if place == "one place":
        local[:] = torch.tensor([0.1, 0.2, 3.0])
    elif place == "centre":
        local[:] = 0.0
    elif place == "far aside":
        local[..., :2] *= 10.0 ** choose.randrange(1, 30)
    else:
        local[..., 2] = {"plane": 0.0, "near": 0.01, "behind": -2.0}[place]
        local[..., 2] += choose.choice([0.0, 1e-7, 1e-4])
    chosen = torch.rand(means.shape[:-1], generator=generator) < choose.choice([0.3, 1.0])
    means[chosen] = (local @ pose[..., 0, :3, :3].mT + pose[..., 0, None, :3, 3])[chosen]


def _spoil_lens(values, options, choose, generator):
    """Tiny and enormous focal lengths, principal points far outside of the image."""
    intrinsics = values[6]
    if choose.random() < 0.5:
        for axis in choose.choice([(0,), (1,), (0, 1)]):
            intrinsics[..., axis, axis] = 10.0 ** choose.randrange(-38, 38)
    else:
        intrinsics[..., choose.choice([0, 1]), 2] = choose.choice([-1, 1]) * 10.0 ** choose.randrange(0, 38)


def _spoil_options(values, options, choose, generator):
    """Extreme and impossible numbers for the options."""
    name = choose.choice(["near", "far", "eps2d", "eps2d", "radius_clip"])
    good = {
        "near": (1e-300, 1e-38, 1e-20, 1e-6, 1.0, 2.9999),
        "far": (0.0101, 3.0, 1e20, 1e38, 1e300, math.inf),
        "eps2d": (0.0, 0.0, 1e-38, 1e-12, 1e-3, 1e3, 1e20, 1e38),
        "radius_clip": (0.5, 3.0, 1e3, 1e300),
    }
    options[name] = choose.choice(good[name] if choose.random() < 0.9 else (math.nan, -math.inf, -1.0))


def outcome(seed, backend="cpu"):
    """How rendering and going back end: "refused", "seen", "empty", or words on what is wrong."""
    values, (height, width), options = hostile_scene(seed)
    leaves = [None if v is None else v.requires_grad_() for v in values]
    try:
        cameras = Cameras(*leaves[5:7], height, width)
        rendering = render(Gaussians(*leaves[:5]), cameras, background=leaves[7], backend=backend, **options)
    except (ValueError, TypeError) as error:
        named = re.match("|".join(ARGUMENTS), str(error))
        return "refused" if named else f"an error that names no argument: {error!r}"
    images = {"color": rendering.color, "alpha": rendering.alpha, "depth": rendering.depth}
    for name, image in images.items():
        if not image.isfinite().all():
            return f"{name} is not finite"
    if (rendering.alpha < 0).any() or (rendering.alpha > 1).any():
        return f"alpha lies in {rendering.alpha.aminmax()}"
    differentiable = [v for v in images.values() if v.requires_grad]  # none of them where there is no set
    generator = torch.Generator().manual_seed(seed)
    torch.autograd.backward(
        differentiable, [torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in differentiable]
    )
    for name, leaf in zip((*FIELDS, "background"), leaves, strict=True):
        if leaf is not None and leaf.grad is not None and not leaf.grad.isfinite().all():
            return f"the gradient of {name} is not finite"
    return "seen" if (rendering.alpha > 0).any() else "empty"


if __name__ == "__main__":
    for one in range(int(sys.argv[2]), int(sys.argv[3])):
        print(one, end=" ", flush=True)  # before the work: a crash leaves the seed behind
        print(outcome(one, sys.argv[1]), flush=True)
