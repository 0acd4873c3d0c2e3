"""Camera adapters: features by the loop, nothing changed at the start, nothing left behind, files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models.parts import path, stir, weights_of
from reference import backbones_camera_adapter as reference
from slopes import check_slope
from torch import Tensor, nn

from diff4splat.backbones import (
    LatentSpec,
    PluckerAdapter,
    PluckerConcatenation,
    added_camera,
    load_camera_adapter,
)
from diff4splat.backbones.camera_adapter import CameraAdapter
from diff4splat.cameras import Cameras, plucker_rays

WAN = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": 16,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 1,
    "rope_max_seq_len": 32,
}


def cameras(frames: int = 5, height: int = 32, width: int = 64, batch: int = 2) -> Cameras:
    return path(batch, frames, height, width).to(dtype=torch.float32)


def stirred(adapter: CameraAdapter) -> CameraAdapter:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        stir(adapter, 0.3)
    return adapter


def small(kind: type[CameraAdapter], **options) -> CameraAdapter:
    """An adapter with few channels, in float64, whose weights are not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        width = {"hidden_dim": 3} if kind is PluckerAdapter else {"camera_channels": 3}
        return stirred(kind(5, **width, **options)).double()


@pytest.mark.parametrize("temporal_patch", [1, 2])
def test_features_match_the_loop_with_their_gradient(temporal_patch: int) -> None:
    adapter = small(PluckerAdapter, temporal_stride=2, spatial_stride=2, temporal_patch=temporal_patch)
    rays = plucker_rays(path(1, 5, 4, 8)).requires_grad_()
    weight = adapter.read.weight

    def by_loop(rays, read):
        weights = {**weights_of(adapter), "read.weight": read}
        return [reference.plucker_adapter(rays[0], weights, 2, 2, 2, temporal_patch)]

    check_slope([adapter.from_rays(rays)], by_loop, [rays, weight], atol=1e-12, rel=1e-6)


def test_widened_embedding_matches_the_loop_with_its_gradient() -> None:
    """Model output plus features = widened patch embedding of noisy and camera latents side by side."""
    adapter = small(PluckerConcatenation, temporal_stride=2, spatial_stride=2)
    embedding = nn.Conv3d(7, 5, (1, 2, 2), stride=(1, 2, 2)).double()
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 7, 3, 2, 4, generator=generator, dtype=torch.float64)
    rays = plucker_rays(path(1, 5, 4, 8)).requires_grad_()

    def by_loop(rays, write):
        weights = {**weights_of(adapter), "write.weight": write}
        own = weights_of(embedding)
        return [
            reference.plucker_concatenation(
                rays[0], latents[0].numpy(), weights, own["weight"], own["bias"], (2, 2), 2
            )
        ]

    with added_camera(embedding, adapter.from_rays(rays)):
        output = embedding(latents)
    joined = torch.cat((latents, adapter.camera_latents(rays).transpose(1, 2)), dim=1)
    torch.testing.assert_close(adapter.widened(embedding)(joined), output, rtol=0, atol=1e-12)
    check_slope([output], by_loop, [rays, adapter.write.weight], atol=1e-12, rel=1e-6)


@pytest.mark.parametrize("kind", [PluckerAdapter, PluckerConcatenation])
def test_features_do_not_change_with_the_world_frame_but_with_the_path(kind: type[CameraAdapter]) -> None:
    adapter, given = small(kind), path(2, 5, 32, 64)
    moved = given.relative_to(given.camera_to_world[:, 2])
    torch.testing.assert_close(adapter(moved), adapter(given), rtol=0, atol=1e-9)
    assert not torch.allclose(adapter(given.at_rest()), adapter(given), atol=1e-3)
    assert torch.equal(adapter(given), adapter.from_rays(plucker_rays(given.relative_to(None))))


def test_translation_scale_is_that_of_the_camera_positions() -> None:
    given, adapter = path(1, 5, 32, 64), small(PluckerAdapter)
    scaled = small(PluckerAdapter, translation_scale=3.0)
    further = given.relative_to(None).camera_to_world.clone()
    further[..., :3, 3] *= 3
    moved = replace(given, camera_to_world=further)
    torch.testing.assert_close(scaled(given), adapter(moved), rtol=0, atol=1e-12)


def test_rays_in_float32_are_held_for_one_frame_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of 121 frames of 704 x 1280 would take several gigabytes."""
    made: list[int] = []

    def counted(cameras: Cameras) -> Tensor:
        made.append(cameras.num_frames)
        return plucker_rays(cameras)

    monkeypatch.setattr("diff4splat.backbones.camera_adapter.plucker_rays", counted)
    small(PluckerAdapter)(cameras(frames=5))
    assert made == [1] * 5


@pytest.mark.parametrize("unconditional", ["cameras", "zeros"])
def test_the_unconditional_pass_may_be_without_cameras(unconditional: str) -> None:
    adapter, given = small(PluckerAdapter, unconditional=unconditional), cameras()
    without = adapter(given, conditional=False)
    assert torch.equal(without, adapter(given)) == (unconditional == "cameras")
    if unconditional == "zeros":
        assert torch.equal(without, adapter(given.at_rest(), conditional=False))


def wan(latent_channels: int = 16) -> nn.Module:
    diffusers = pytest.importorskip("diffusers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = diffusers.WanTransformer3DModel(
            in_channels=latent_channels, out_channels=latent_channels, **WAN
        )
    return model.eval().requires_grad_(False)


def run_wan(model: nn.Module, latents: Tensor) -> Tensor:
    text = torch.linspace(-1, 1, 3 * 16).reshape(1, 3, 16).expand(len(latents), -1, -1)
    return model(latents, torch.full((len(latents),), 500.0), text, return_dict=False)[0]


@pytest.mark.parametrize("kind", [PluckerAdapter, PluckerConcatenation])
@pytest.mark.parametrize("stride", [8, 16])
def test_a_new_adapter_leaves_wan_as_it_is_to_the_last_bit(kind: type[CameraAdapter], stride: int) -> None:
    model, adapter = wan(), kind(24, spatial_stride=stride)
    latents = torch.randn(2, 16, 2, 32 // stride, 64 // stride, generator=torch.Generator().manual_seed(1))
    bare = run_wan(model, latents)
    with added_camera(model.patch_embedding, adapter(cameras())):
        assert torch.equal(run_wan(model, latents), bare)
    stirred(adapter)
    with added_camera(model.patch_embedding, adapter(cameras())):
        led = run_wan(model, latents)
    assert (led - bare).abs().max() > 1e-3
    assert torch.equal(run_wan(model, latents), bare)


@pytest.mark.parametrize("temporal_patch", [1, 2])
def test_cogvideox_gets_features_at_its_video_tokens_alone(temporal_patch: int) -> None:
    diffusers = pytest.importorskip("diffusers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = diffusers.CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=8,
            out_channels=4,
            time_embed_dim=2,
            text_embed_dim=7,
            num_layers=1,
            max_text_seq_length=3,
            patch_size_t=None if temporal_patch == 1 else 2,
            use_rotary_positional_embeddings=True,
        )
    text, latents = torch.ones(2, 3, 7), torch.ones(2, 4, 8, 4, 8)
    adapter = PluckerAdapter(32, temporal_patch=temporal_patch)
    bare = model.patch_embed(text, latents)
    frames = 13 if temporal_patch == 1 else 9  # 4 latent frames, or 3 that are filled up to 4 in front
    with added_camera(model.patch_embed, adapter(cameras(frames))):
        assert torch.equal(model.patch_embed(text, latents), bare)
    features = stirred(adapter)(cameras(frames))
    with added_camera(model.patch_embed, features):
        added = model.patch_embed(text, latents) - bare
    assert not added[:, :3].any()
    grid = added[:, 3:].unflatten(1, features.shape[2:]).movedim(-1, 1)
    torch.testing.assert_close(grid, features, rtol=1e-6, atol=1e-5)


def test_nothing_is_left_behind_after_an_error_or_in_a_nest() -> None:
    embedding = nn.Conv3d(2, 3, 1)
    inputs, one = torch.ones(1, 2, 1, 2, 2), torch.ones(1, 3, 1, 2, 2)
    bare = embedding(inputs)
    with added_camera(embedding, one):
        with added_camera(embedding, 2 * one):
            torch.testing.assert_close(embedding(inputs), bare + 3)
        with added_camera(embedding, None):
            torch.testing.assert_close(embedding(inputs), bare + 1)
    with pytest.raises(ZeroDivisionError), added_camera(embedding, one):
        raise ZeroDivisionError
    assert not embedding._forward_hooks
    assert torch.equal(embedding(inputs), bare)


@pytest.mark.parametrize(
    ("layer", "shape", "error", "words"),
    [
        (nn.Identity(), (1, 3, 1, 2, 5), ValueError, "must fit the output of the patch embedding"),
        (nn.Identity(), (1, 3, 3), ValueError, "must fit the output of the patch embedding"),
        (nn.Identity(), (1, 7, 2), ValueError, "must fit the output of the patch embedding"),
        (nn.LSTM(2, 2), (1, 2), TypeError, "must give a tensor, got tuple"),
    ],
)
def test_features_without_a_place_are_refused(layer, shape, error, words) -> None:
    with added_camera(layer, torch.ones(1, 3, 1, 2, 2)), pytest.raises(error, match=words):
        layer(torch.ones(shape))


def test_features_take_the_type_of_the_model() -> None:
    embedding = nn.Conv3d(2, 3, 1).bfloat16()
    with added_camera(embedding, torch.ones(1, 3, 1, 2, 2)):
        assert embedding(torch.ones(1, 2, 1, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [PluckerAdapter, PluckerConcatenation])
def test_an_adapter_comes_back_from_its_folder(kind: type[CameraAdapter], tmp_path: Path) -> None:
    adapter = stirred(kind(24, spatial_stride=8, base="somebody/some-model"))
    adapter.save_pretrained(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_camera_adapter(tmp_path)
    assert type(loaded) is kind
    assert loaded.config == adapter.config
    assert torch.equal(loaded(cameras()), adapter(cameras()))


def test_an_adapter_for_another_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    adapter = PluckerAdapter(24, base="somebody/some-model")
    adapter.check_base(LatentSpec(16, 4, 8, 2), 24)
    for spec, width, patch in [
        (LatentSpec(48, 4, 16, 2), 24, 1),
        (LatentSpec(16, 8, 8, 2), 24, 1),
        (LatentSpec(16, 4, 8, 1), 24, 1),
        (LatentSpec(16, 4, 8, 2), 36, 1),
        (LatentSpec(16, 4, 8, 2), 24, 2),
    ]:
        with pytest.raises(ValueError, match=r"got one for stride 4x8x8, patch 1x2x2, width 24 \(somebody"):
            adapter.check_base(spec, width, temporal_patch=patch)
    (tmp_path / "config.json").write_text(json.dumps({"_class": "LDRM"}))
    with pytest.raises(ValueError, match="holds LDRM, not a camera adapter"):
        load_camera_adapter(tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PluckerAdapter(0), "embed_dim must be >= 1, got 0"),
        (lambda: PluckerAdapter(3, hidden_dim=0), "hidden_dim must be >= 1, got 0"),
        (lambda: PluckerAdapter(3, temporal_stride=0), "temporal_stride must be >= 1, got 0"),
        (lambda: PluckerAdapter(3, unconditional="none"), "unconditional"),
        (lambda: PluckerAdapter(3, translation_scale=0.0), "translation_scale must be finite and > 0, got 0"),
        (lambda: PluckerConcatenation(3, camera_channels=5, num_groups=2), "multiple of num_groups=2, got 5"),
        (lambda: PluckerAdapter(3)(cameras(frames=6)), "num_frames must be 4k\\+1"),
        (lambda: PluckerAdapter(3)(cameras(height=24)), "height must be a multiple of 16"),
        (lambda: PluckerAdapter(3)(cameras().batch(0)), "cameras must have one batch axis"),
        (lambda: PluckerConcatenation(3).widened(nn.Conv3d(2, 3, 1)), "embedding must have kernel"),
    ],
)
def test_bad_input(make, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()
