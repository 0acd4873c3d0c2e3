import sys
from types import ModuleType

import pytest
import torch
from rendering.scenes import random_cameras, random_gaussians

from diff4splat.rendering import gsplat_backend

OPTIONS = {"height": 11, "width": 13, "near": 0.02, "far": 99.0, "eps2d": 0.1, "radius_clip": 1.5}


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for gsplat that records its calls; its arrays tell axes apart."""
    record = []

    def rasterization(
        means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane, far_plane,
        radius_clip, eps2d, sh_degree, packed, render_mode, rasterize_mode,
    ):  # fmt: skip
        record.append({name: value for name, value in locals().items() if name != "record"})
        shape = (*viewmats.shape[:-2], height, width)
        values = torch.arange(4, dtype=torch.float32).expand(*shape, 4)
        return values, torch.full((*shape, 1), 0.5), {}

    package, cuda, backend = (
        ModuleType("gsplat"),
        ModuleType("gsplat.cuda"),
        ModuleType("gsplat.cuda._backend"),
    )
    package.rasterization, package.__version__, backend._C = rasterization, "1.5.3", object()
    for module in (package, cuda, backend):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return record


def inputs(coefficients=1, batch=(), count=17):
    gaussians = random_gaussians(count, coefficients=coefficients, batch=batch)
    cameras = random_cameras(3, 11, 13, batch=batch)
    fields = (
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        gaussians.harmonics,
    )
    return (*fields, torch.linalg.inv(cameras.camera_to_world), cameras.intrinsics)


@pytest.mark.parametrize(("coefficients", "degree"), [(1, 0), (4, 1), (9, 2), (16, 3), (25, 4)])
def test_arguments_and_outputs(calls, coefficients, degree):
    tensors = inputs(coefficients, batch=(2,))
    color, alpha, depth = gsplat_backend.rasterize(*tensors, mode="antialiased", **OPTIONS)
    call = calls[0]
    names = ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks")
    for name, tensor in zip(names, tensors, strict=True):
        torch.testing.assert_close(call[name], tensor.float())
    assert (call["width"], call["height"]) == (13, 11)
    assert (call["near_plane"], call["far_plane"], call["eps2d"], call["radius_clip"]) == (
        0.02,
        99.0,
        0.1,
        1.5,
    )
    assert (call["sh_degree"], call["render_mode"], call["rasterize_mode"]) == (
        degree,
        "RGB+D",
        "antialiased",
    )
    assert color.shape == (2, 3, 3, 11, 13)
    assert alpha.shape == depth.shape == (2, 3, 1, 11, 13)
    assert color.dtype == torch.float64
    assert color[0, 0, :, 0, 0].tolist() == [0.0, 1.0, 2.0]
    assert depth.unique().tolist() == [3.0]


def test_no_gaussians_never_reach_gsplat(calls):
    color, alpha, depth = gsplat_backend.rasterize(*empty(), mode="classic", **OPTIONS)
    assert not calls
    assert color.shape == (3, 3, 11, 13)
    assert color.abs().sum() + alpha.abs().sum() + depth.abs().sum() == 0


def empty():
    means, quaternions, scales, opacities, harmonics, poses, intrinsics = inputs(count=50)
    return means[:0], quaternions[:0], scales[:0], opacities[:0], harmonics[:0], poses, intrinsics


@pytest.mark.parametrize("unbuilt", ["missing", "not built"])
def test_missing_gsplat_is_explained(calls, monkeypatch, unbuilt):
    if unbuilt == "missing":
        monkeypatch.setitem(sys.modules, "gsplat", None)
    else:
        sys.modules["gsplat.cuda._backend"]._C = None
    with pytest.raises(RuntimeError, match="pip install gsplat packaging"):
        gsplat_backend.rasterize(*inputs(), mode="classic", **OPTIONS)


@pytest.mark.parametrize(
    ("version", "expected"), [("1.5.3", 0.999), ("1.6.0", 0.99), ("2.0", 0.99), ("1.10.0rc1", 0.99)]
)
def test_opacity_cap_by_version(calls, version, expected):
    sys.modules["gsplat"].__version__ = version
    assert gsplat_backend.max_alpha() == expected
