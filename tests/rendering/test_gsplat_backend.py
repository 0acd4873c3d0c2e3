"""gsplat runs on CUDA devices alone: these tests put a stand-in with its signature in its place."""

import importlib
import inspect
import sys
import threading
from types import ModuleType

import pytest
import torch
from rendering.scenes import random_cameras, random_gaussians

from diff4splat.gaussians import evaluate_harmonics
from diff4splat.rendering import backends, gsplat_backend, reference, render, render_field, require_backend

OPTIONS = {"height": 11, "width": 13, "near": 0.02, "far": 99.0, "eps2d": 0.1, "radius_clip": 1.5}
FIELDS = ("means", "quaternions", "scales", "opacities", "harmonics")


def rasterization(
    means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane, far_plane,
    radius_clip, eps2d, sh_degree, packed, render_mode, rasterize_mode,
):  # fmt: skip
    """The oracle behind the signature of gsplat, for one batch axis or none."""
    assert not packed and render_mode == "RGB+D"
    batched = means.ndim == 3
    each = (means, quats, scales, opacities, colors, viewmats, Ks)
    images = []
    for tensors in zip(*each, strict=True) if batched else [each]:
        center, turn, size, opacity, color, poses, lenses = tensors
        if sh_degree is not None:
            assert color.shape == (len(center), (sh_degree + 1) ** 2, 3)
            eyes = torch.linalg.inv(poses)[:, :3, 3]
            color = torch.stack([evaluate_harmonics(color, center - eye) for eye in eyes]).clamp_min(0)
        parts = reference.rasterize(
            *(center, turn, size, opacity, color, poses, lenses),
            height=height,
            width=width,
            near=near_plane,
            far=far_plane,
            eps2d=eps2d,
            radius_clip=radius_clip,
            mode=rasterize_mode,
            max_alpha=gsplat_backend.opacity_cap(),
        )
        images.append(torch.cat(parts, dim=1).movedim(1, -1))
    stacked = torch.stack(images) if batched else images[0]
    return stacked[..., [0, 1, 2, 4]], stacked[..., 3:4], {}


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for gsplat that records its calls."""
    record = []

    def recording(**arguments):
        record.append(arguments)
        return rasterization(**arguments)

    package, cuda, backend = (
        ModuleType("gsplat"),
        ModuleType("gsplat.cuda"),
        ModuleType("gsplat.cuda._backend"),
    )

    def positional(means, quats, scales, opacities, colors, viewmats, Ks, **options):
        named = {"means": means, "quats": quats, "scales": scales, "opacities": opacities, "colors": colors}
        return recording(**named, viewmats=viewmats, Ks=Ks, **options)

    package.rasterization, package.__version__, backend._C = positional, "1.5.3", object()
    for module in (package, cuda, backend):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(gsplat_backend._state, "rasterization", None)
    monkeypatch.setattr(gsplat_backend._state, "failure", None)
    return record


@pytest.fixture
def on_gsplat(calls, monkeypatch):
    """Let `render` take CPU tensors for CUDA tensors."""
    monkeypatch.setattr(
        importlib.import_module("diff4splat.rendering.render"), "choose_backend", lambda *_: "gsplat"
    )
    return calls


def inputs(coefficients=1, batch=(), count=17):
    gaussians = random_gaussians(count, coefficients=coefficients, batch=batch)
    cameras = random_cameras(3, 11, 13, batch=batch)
    fields = [getattr(gaussians, name) for name in FIELDS]
    return (*fields, torch.linalg.inv(cameras.camera_to_world), cameras.intrinsics)


@pytest.mark.parametrize(("coefficients", "degree"), [(1, 0), (4, 1), (9, 2), (16, 3), (25, 4)])
def test_arguments_and_outputs(calls, coefficients, degree):
    tensors = inputs(coefficients)
    color, alpha, depth = gsplat_backend.rasterize(*tensors, mode="antialiased", **OPTIONS)
    call = calls[0]
    names = ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks")
    for name, tensor in zip(names, tensors, strict=True):
        torch.testing.assert_close(call[name], tensor.float(), rtol=0, atol=0)
    expected = {
        **{"width": 13, "height": 11, "near_plane": 0.02, "far_plane": 99.0, "eps2d": 0.1},
        **{"radius_clip": 1.5, "sh_degree": degree, "rasterize_mode": "antialiased"},
        **{"packed": False, "render_mode": "RGB+D"},
    }
    assert {name: call[name] for name in expected} == expected
    assert color.shape == (3, 3, 11, 13)
    assert alpha.shape == depth.shape == (3, 1, 11, 13)
    assert color.dtype == alpha.dtype == depth.dtype == torch.float64


def test_arguments_are_those_of_the_installed_gsplat(calls, monkeypatch):
    gsplat_backend.rasterize(*inputs(), mode="classic", **OPTIONS)
    for name in [name for name in sys.modules if name.partition(".")[0] == "gsplat"]:
        monkeypatch.delitem(sys.modules, name)
    real = pytest.importorskip("gsplat")
    signature = inspect.signature(real.rasterization)
    signature.bind(**calls[0])
    assert list(signature.parameters)[:7] == list(calls[0])[:7]  # those that are passed by position
    assert "RGB+D" in str(signature.parameters["render_mode"].annotation)


@pytest.mark.parametrize("version", ["1.5.3", "1.6.0"])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize(
    ("coefficients", "mode", "depth_mode"), [(1, "classic", "expected"), (4, "antialiased", "accumulated")]
)
def test_pictures_and_gradients_are_those_of_the_cpu(
    on_gsplat, version, batch, coefficients, mode, depth_mode
):
    sys.modules["gsplat"].__version__ = version
    options = {"mode": mode, "depth_mode": depth_mode}

    def pictures(**options):
        gaussians = random_gaussians(53, coefficients=coefficients, batch=batch, dtype=torch.float32)
        cameras = random_cameras(3, 11, 13, batch=batch, dtype=torch.float32)
        background = torch.tensor([0.3, 0.1, 0.7], requires_grad=True)
        leaves = [background, cameras.camera_to_world, *(getattr(gaussians, name) for name in FIELDS)]
        for leaf in leaves:
            leaf.requires_grad_()
        rendering = render(gaussians, cameras, background=background, **options)
        images = [rendering.color, rendering.alpha, rendering.depth]
        weights = [torch.sin(0.3 * torch.arange(image.numel())).reshape(image.shape) for image in images]
        total = sum((w * image).sum() for w, image in zip(weights, images, strict=True))
        return images, torch.autograd.grad(total, leaves)

    images, gradients = pictures(**options)
    called = on_gsplat[0]
    assert called["colors"].shape[:-1] == ((53, coefficients) if not batch else (2, 3, 53))  # as 1.6 asks
    choose = backends.choose_backend
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("diff4splat.rendering.render"), "choose_backend", choose)
        cap = 0.999 if version == "1.5.3" else 0.99
        expected_images, expected_gradients = pictures(backend="cpu", max_alpha=cap, **options)
    for image, expected in zip(images, expected_images, strict=True):
        torch.testing.assert_close(image, expected, rtol=2e-5, atol=2e-5)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        assert expected.abs().sum() > 0
        assert torch.linalg.vector_norm(gradient - expected) < 1e-4 * torch.linalg.vector_norm(expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gsplat_gets_float32_and_the_caller_his_own_type(on_gsplat, dtype):
    gaussians, cameras = random_gaussians(17, dtype=dtype), random_cameras(2, 11, 13, dtype=dtype)
    rendering = render(gaussians, cameras)
    assert all(value.dtype == torch.float32 for value in on_gsplat[0].values() if torch.is_tensor(value))
    assert rendering.color.dtype == rendering.alpha.dtype == rendering.depth.dtype == dtype


def test_no_gaussians_never_reach_gsplat(calls):
    *fields, poses, intrinsics = inputs()
    nothing = [tensor[:0] for tensor in fields]
    color, alpha, depth = gsplat_backend.rasterize(*nothing, poses, intrinsics, mode="classic", **OPTIONS)
    assert not calls
    assert color.shape == (3, 3, 11, 13)
    assert color.abs().sum() + alpha.abs().sum() + depth.abs().sum() == 0


def test_missing_gsplat_is_explained_with_its_cure(calls, monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(RuntimeError, match="pip install gsplat packaging"):
        gsplat_backend.rasterize(*inputs(), mode="classic", **OPTIONS)


def test_missing_compiler_is_explained_with_its_cure(calls):
    sys.modules["gsplat.cuda._backend"]._C = None
    with pytest.raises(RuntimeError, match="no nvcc was found(.|\n)*cuda-toolkit=(.|\n)*--device cpu"):
        require_backend("cuda")


def failing_build(log):
    """A module whose attributes take minutes to build, and then are not there."""

    class Backend(ModuleType):
        attempts = 0

        def __getattr__(self, name):
            if name != "_C":
                raise AttributeError(name)
            Backend.attempts += 1
            raise RuntimeError(log)

    return Backend("gsplat.cuda._backend")


def test_failed_build_is_explained_in_short_and_not_tried_again(calls, monkeypatch):
    log = "Error building extension 'gsplat_cuda'\n" + "[1/9] nvcc -O3\n" * 99 + "a.cu(3): error: no cub\n"
    backend = failing_build(log + "b.cu(4): error: no glm\n")
    monkeypatch.setitem(sys.modules, "gsplat.cuda._backend", backend)
    with pytest.raises(RuntimeError) as first:
        require_backend("cuda:1")
    text = str(first.value)
    assert "Error building extension 'gsplat_cuda' a.cu(3): error: no cub" in text
    assert "cuda-toolkit=" in text and "[1/9]" not in text and len(text) < 700
    assert str(first.value.__cause__) == log + "b.cu(4): error: no glm\n"
    with pytest.raises(RuntimeError, match="failed before: .* no cub Once .* start Python again"):
        require_backend("cuda")
    with pytest.raises(RuntimeError, match="failed before"):
        gsplat_backend.rasterize(*inputs(), mode="classic", **OPTIONS)
    assert type(backend).attempts == 1


def test_interrupted_build_may_be_tried_again(calls, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gsplat_backend, "_import_rasterization", interrupt)
        require_backend("cuda")
    require_backend("cuda")


def test_threads_build_once(calls, monkeypatch):
    attempts = []
    slow = threading.Event()

    def build():
        attempts.append(1)
        slow.wait(0.2)
        return rasterization

    monkeypatch.setattr(gsplat_backend, "_import_rasterization", build)
    threads = [threading.Thread(target=require_backend, args=("cuda",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(attempts) == 1


def test_gsplat_is_looked_for_before_any_work(on_gsplat, monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    monkeypatch.setattr(
        importlib.import_module("diff4splat.rendering.drawing"),
        "rigid_inverse",
        lambda *_: pytest.fail("work was done"),
    )
    with pytest.raises(RuntimeError, match="pip install gsplat packaging"):
        render(random_gaussians(5), random_cameras())
    with pytest.raises(ValueError, match="near"):  # what is wrong with the call comes first
        render(random_gaussians(5), random_cameras(), near=-1.0)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "meta"])
def test_other_devices_require_nothing(calls, monkeypatch, device):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    require_backend(device)


@pytest.mark.parametrize(
    ("version", "expected"), [("1.5.3", 0.999), ("1.6.0", 0.99), ("2.0", 0.99), ("1.10.0rc1", 0.99)]
)
def test_opacity_cap_by_version(on_gsplat, version, expected):
    sys.modules["gsplat"].__version__ = version
    assert gsplat_backend.opacity_cap() == expected
    gaussians, cameras = random_gaussians(5), random_cameras()
    render(gaussians, cameras, max_alpha=expected)
    other = 0.999 if expected == 0.99 else 0.99
    words = f"max_alpha must be {expected} .* gsplat {version}, got {other}.* CPU with max_alpha={expected}"
    with pytest.raises(ValueError, match=words):
        render(gaussians, cameras, max_alpha=other)


def test_a_field_passes_the_cap_on(on_gsplat):
    from rendering.test_render import field

    with pytest.raises(ValueError, match="max_alpha"):
        render_field(field(), random_cameras(3), [0.0, 0.3, 1.0], max_alpha=0.5)
