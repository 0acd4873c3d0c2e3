"""The reconstruction model on the latents of real video models, and its sizes."""

import json
from types import SimpleNamespace

import pytest
import torch
from models.parts import NARROW, latents, path, small_ldrm

from diff4splat.backbones import LatentSpec
from diff4splat.hub import resolve_pretrained
from diff4splat.models import LDRM, LatentGeometry

MODELS = {
    "CogVideoX": LatentSpec(channels=16, temporal_stride=4, spatial_stride=8, patch=2, frame_multiple=8),
    "Wan 2.1": LatentSpec(channels=16, temporal_stride=4, spatial_stride=8, patch=2),
    "Wan 2.2 5B": LatentSpec(channels=48, temporal_stride=4, spatial_stride=16, patch=2),
    "LTX-Video": LatentSpec(channels=128, temporal_stride=8, spatial_stride=32),
    "HunyuanVideo 1.5": LatentSpec(channels=32, temporal_stride=4, spatial_stride=16),
}
PRESETS = {"paper": LDRM.paper, "base": LDRM.base, "compact": LDRM.compact}


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize("every_frame", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_latents_of_real_video_models(name, every_frame) -> None:
    """Their true channels, strides and frame rules, at a small width; about 32 x 64 pixels."""
    spec = MODELS[name]
    torch.manual_seed(0)
    model = LDRM.from_spec(spec, **NARROW, every_frame=every_frame)
    assert model.spatial_stride * model.patch_size == max(16, spec.spatial_stride)
    frames, height, width = spec.frame_step + 1, 32, 64
    shape = (1, *spec.latent_shape(frames, height, width))
    z = torch.randn(shape, requires_grad=True)
    field = model(z, path(1, frames, height, width).to(dtype=torch.float32), times=times(0, 1))
    carriers = frames if every_frame else spec.num_latents(frames)
    assert field.num_gaussians == carriers * (height // 2) * (width // 2)
    assert field.delta_means.shape == (1, 2, field.num_gaussians, 3)
    field.validate()
    (field.canonical.means.square().sum() + field.canonical.harmonics.square().sum()).backward()
    assert torch.isfinite(z.grad).all() and (z.grad != 0).all()
    kernels = [part.weight[0, 0].numel() for part in model.modules() if hasattr(part, "output_padding")]
    assert max(kernels) <= 4**3


@pytest.mark.parametrize("spatial_stride", [2, 4, 6, 8, 12, 16, 32, 64])
def test_tokens_cover_sixteen_pixels_or_one_latent(spatial_stride) -> None:
    spec = LatentSpec(channels=3, temporal_stride=2, spatial_stride=spatial_stride)
    patch_size = LDRM.from_spec(spec, **NARROW, pixel_stride=1).patch_size
    assert patch_size == {2: 8, 4: 4, 6: 2, 8: 2}.get(spatial_stride, 1)
    assert LDRM.from_spec(spec, **NARROW, pixel_stride=1, patch_size=4).patch_size == 4


def test_anything_with_the_four_attributes_is_a_spec() -> None:
    spec = SimpleNamespace(channels=12, temporal_stride=2, spatial_stride=4, frame_multiple=None)
    assert isinstance(spec, LatentGeometry) and isinstance(MODELS["CogVideoX"], LatentGeometry)
    model = LDRM.from_spec(spec, **NARROW)
    given = {name: model.config[name] for name in ("latent_channels", "temporal_stride", "spatial_stride")}
    assert given == {"latent_channels": 12, "temporal_stride": 2, "spatial_stride": 4}


def test_cogvideox_has_odd_numbers_of_latents() -> None:
    """Its clips have 8k + 1 frames; an even number of latents would decode to 4n frames, not 4n - 3."""
    model = LDRM.from_spec(MODELS["CogVideoX"], **NARROW)
    z = latents(1, 4, 16, 2, 2).float()
    message = (
        r"latents must have 2k \+ 1 frames \(clips of 8k \+ 1 pixel frames\), got 4; nearest valid 3 or 5\."
    )
    with pytest.raises(ValueError, match=message):
        model(z, path(1, 13, 16, 16))
    assert LDRM.from_spec(MODELS["Wan 2.1"], **NARROW)(z, path(1, 13, 16, 16)).num_gaussians == 4 * 64
    assert model(z[:, :3], path(1, 9, 16, 16)).num_gaussians == 3 * 64
    assert model(z[:, :1], path(1, 1, 16, 16)).num_gaussians == 64


@pytest.mark.parametrize("multiple", [0, 6, -4])
def test_frame_rules_that_do_not_fit_the_stride_are_refused(multiple) -> None:
    message = rf"frame_multiple must be a positive multiple of temporal_stride=4, got {multiple}\."
    with pytest.raises(ValueError, match=message):
        LDRM(frame_multiple=multiple)


@pytest.mark.parametrize("preset", PRESETS)
def test_sizes_need_no_memory_on_the_meta_device(preset) -> None:
    with torch.device("meta"):
        model = PRESETS[preset]()
    assert all(parameter.is_meta for parameter in model.parameters())
    count = sum(parameter.numel() for parameter in model.parameters())
    low, high = {"paper": (1e8, 1e9), "base": (2e7, 1e8), "compact": (5e6, 1e7)}[preset]
    assert low < count < high
    assert all(part.num_key_value_heads < part.num_heads for part in (b.attention for b in model.blocks))


def test_size_of_the_paper_is_what_the_paper_states() -> None:
    with torch.device("meta"):
        config = LDRM.paper().config
    stated = {
        "num_layers": 16,
        "embed_dim": 64,
        "every_frame": True,
        "pixel_stride": 1,
        "temporal_stride": 4,
        "spatial_stride": 8,
        "frame_multiple": 8,
        "temporal_context": 0,
        "backdrop_cells": 0,
        "feature_channels": 0,
        "attention": "full",
        "pose_encoding": "plucker",
    }
    assert {name: config[name] for name in stated} == stated


@pytest.mark.parametrize("name", [None, *MODELS])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_size_reads_every_model_and_starts_still(preset, name) -> None:
    spec = None if name is None else MODELS[name]
    model = PRESETS[preset](spec, **NARROW)
    if spec is not None:
        assert (model.latent_channels, model.temporal_stride) == (spec.channels, spec.temporal_stride)
    frames, side = model.frame_multiple + 1, model.spatial_stride * model.patch_size
    z = latents(1, model.frame_multiple // model.temporal_stride + 1, model.latent_channels, 1, 1).float()
    z = z.expand(-1, -1, -1, model.patch_size, model.patch_size)
    field = model(z, path(1, frames, side, side), times=times(0, 0.3, 1))
    assert (field.delta_means == 0).all() and (field.delta_scales == 0).all()
    assert (field.delta_quaternions == torch.tensor([1.0, 0, 0, 0])).all()
    if preset == "paper":
        assert field.num_gaussians == frames * side * side, "one per pixel of every frame"


def test_bundled_weights_are_those_of_the_compact_size() -> None:
    bundled = LDRM.from_pretrained(resolve_pretrained("compact"), subfolder="ldrm")
    assert bundled.config == LDRM.compact().config
    with torch.device("meta"):
        fresh = LDRM.compact()
    shapes = {name: value.shape for name, value in fresh.state_dict().items()}
    assert shapes == {name: value.shape for name, value in bundled.state_dict().items()}


def test_a_config_from_before_an_option_gets_its_default(tmp_path) -> None:
    model = small_ldrm().float()
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    for name in ("frame_multiple", "feature_channels", "attention", "pose_encoding"):
        del config[name]
    file.write_text(json.dumps(config))
    loaded = LDRM.from_pretrained(tmp_path)
    assert loaded.config == model.config
    z, cameras = latents(1, 3, 3, 4, 6).float(), path(1, 9, 32, 48).to(dtype=torch.float32)
    assert torch.equal(loaded.encode(z, cameras).gaussian_map, model.encode(z, cameras).gaussian_map)


@pytest.mark.parametrize(
    "options", [{"attention": "factorized", "frame_multiple": 8}, {"feature_channels": 5}]
)
def test_options_are_saved(tmp_path, options) -> None:
    model = small_ldrm(pose_encoding="vectors", **options).float()
    model.save_pretrained(tmp_path)
    loaded = LDRM.from_pretrained(tmp_path)
    assert loaded.config == model.config
    z, cameras = latents(1, 3, 3, 4, 6).float(), path(1, 9, 32, 48).to(dtype=torch.float32)
    features = latents(1, 3, 5, 2, 3).float() if "feature_channels" in options else None
    first, second = (each.encode(z, cameras, features=features).gaussian_map for each in (model, loaded))
    assert torch.equal(first, second)
