"""The compact video model: causality, sampling, prompts, loading."""

import copy
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from models.parts import path, stir, weights_of
from reference import backbones_dit, backbones_vae
from slopes import check_slope
from torch import nn

from diff4splat.backbones import VideoBackbone, get_backbone
from diff4splat.backbones.compact import ByteTextEncoder, CausalVideoVAE, CompactBackbone, CompactDiT
from diff4splat.backbones.compact.text import bytes_to_ids
from diff4splat.cameras import Cameras, latent_rays
from diff4splat.diffusion import ConstantGuidance


def seeded(make, *, stirred: bool = True) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = make().eval()
        if stirred:
            stir(module, 0.05)
    return module


def small_dit() -> CompactDiT:
    return CompactDiT(
        latent_channels=5,
        dim=24,
        num_layers=2,
        num_heads=3,
        num_key_value_heads=1,
        text_dim=16,
        text_layers=1,
    )


@pytest.fixture(scope="module")
def vae() -> CausalVideoVAE:
    return seeded(lambda: CausalVideoVAE(latent_channels=5, width=7, num_blocks=1))


@pytest.fixture(scope="module")
def backbone(vae: CausalVideoVAE) -> CompactBackbone:
    return CompactBackbone(vae, seeded(small_dit))


@pytest.fixture
def video() -> torch.Tensor:
    return torch.rand(2, 9, 3, 16, 32, generator=torch.Generator().manual_seed(1))


def cameras(batch: int = 2, frames: int = 9, height: int = 16, width: int = 32) -> Cameras:
    return path(batch, frames, height, width).to(dtype=torch.float32)


def check_values_and_slope(results, by_loop, module: nn.Module, leaves: list[torch.Tensor]) -> None:
    """Outputs of one sample and their gradient by inputs and weights are those of the loop.

    Parts of these networks compute in float32 whatever their weights are: six to seven digits.
    """
    parameters = dict(module.named_parameters())
    buffers = {name: value for name, value in weights_of(module).items() if name not in parameters}
    moving = [*leaves, *parameters.values()]

    def values(*arrays: np.ndarray) -> list[np.ndarray]:
        weights = dict(zip(parameters, arrays[len(leaves) :], strict=True))
        return by_loop(*(array[0] for array in arrays[: len(leaves)]), {**weights, **buffers})

    check_slope(results, values, moving, atol=2e-5, rel=1e-4)


# --- autoencoder


@pytest.mark.parametrize("num_blocks", [1, 2])
def test_encoder_matches_the_loop_with_its_gradient(num_blocks) -> None:
    vae = seeded(lambda: CausalVideoVAE(latent_channels=2, width=3, num_blocks=num_blocks)).double()
    vae.set_normalization(torch.tensor([0.3, -0.2]).double(), torch.tensor([0.7, 1.9]).double())
    video = torch.rand(1, 5, 3, 8, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    video.requires_grad_()
    results = [*vae.posterior(video), vae.encode(video)]

    def by_loop(video: np.ndarray, weights: dict[str, np.ndarray]) -> list[np.ndarray]:
        distribution = backbones_vae.posterior(video, weights, num_blocks)
        return [*distribution, backbones_vae.encode(video, weights, num_blocks)]

    check_values_and_slope(results, by_loop, vae, [video])


@pytest.mark.parametrize("num_blocks", [1, 2])
def test_decoder_matches_the_loop_with_its_gradient(num_blocks) -> None:
    vae = seeded(lambda: CausalVideoVAE(latent_channels=2, width=3, num_blocks=num_blocks)).double()
    vae.set_normalization(torch.tensor([0.3, -0.2]).double(), torch.tensor([0.7, 1.9]).double())
    latents = torch.randn(1, 2, 2, 1, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = [vae.decode(latents.requires_grad_())]
    check_values_and_slope(
        results, lambda z, weights: [backbones_vae.decode(z, weights, num_blocks)], vae, [latents]
    )


@torch.no_grad()
def test_shapes_of_clips(vae, video) -> None:
    latents = vae.encode(video)
    assert latents.shape == (2, 3, 5, 2, 4)
    assert vae.decode(latents).shape == video.shape
    assert vae.encode(video[:, :1]).shape == (2, 1, 5, 2, 4)
    assert vae.decode(latents[:, :1]).shape == (2, 1, 3, 16, 32)


@torch.no_grad()
@pytest.mark.parametrize("frame", range(9))
def test_a_frame_reaches_its_latent_and_later_ones_alone(vae, video, frame) -> None:
    changed = video.clone()
    changed[:, frame] = 1 - changed[:, frame]
    difference = (vae.encode(changed) - vae.encode(video)).abs().amax((0, 2, 3, 4))
    first = (frame + 3) // 4  # latent j stands for frames 4j - 3 to 4j
    assert (difference[:first] == 0).all()
    assert (difference[first:] > 0).all()


@torch.no_grad()
@pytest.mark.parametrize("latent", range(3))
def test_a_latent_reaches_its_frames_and_later_ones_alone(vae, video, latent) -> None:
    latents = vae.encode(video)
    changed = latents.clone()
    changed[:, latent] += 1
    difference = (vae.decode(changed) - vae.decode(latents)).abs().amax((0, 2, 3, 4))
    first = max(4 * latent - 3, 0)
    assert (difference[:first] == 0).all()
    assert difference[first] > 0


@torch.no_grad()
def test_the_first_latent_is_that_of_the_still_image(vae, video) -> None:
    # another batch size takes another path through the convolutions: float32 rounding
    torch.testing.assert_close(vae.encode(video)[:, :1], vae.encode(video[:, :1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(vae.encode(video)[:, :2], vae.encode(video[:, :5]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_normalisation_is_undone_by_decoding(video) -> None:
    vae = seeded(lambda: CausalVideoVAE(latent_channels=5, width=7, num_blocks=1))
    raw, decoded = vae.encode(video), vae.decode(vae.encode(video))
    mean, std = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0]), torch.tensor([0.5, 2.0, 1.0, 3.0, 0.1])
    vae.set_normalization(mean, std)
    normalised = vae.encode(video)
    expected = (raw - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(normalised, expected)
    torch.testing.assert_close(vae.decode(normalised), decoded, atol=1e-5, rtol=0)


def test_log_variance_is_limited(vae, video) -> None:
    mean, log_variance = vae.posterior(video)
    assert mean.shape == log_variance.shape == (2, 3, 5, 2, 4)
    assert log_variance.min() >= -20 and log_variance.max() <= 4
    (mean.square().mean() + log_variance.mean()).backward()
    for name, parameter in vae.encoder.named_parameters():
        assert torch.isfinite(parameter.grad).all() and (parameter.grad != 0).any(), name


@pytest.mark.parametrize(
    "shape", [(1, 8, 3, 16, 16), (1, 3, 3, 16, 16), (1, 5, 3, 12, 16), (1, 5, 3, 16, 20)]
)
def test_clips_that_do_not_fit_the_autoencoder_are_refused(vae, shape) -> None:
    with pytest.raises(ValueError, match=r"4k \+ 1 frames and sides that are multiples of 8, got"):
        vae.encode(torch.rand(shape))


# --- prompts


def test_bytes_are_framed_and_padded() -> None:
    ids = bytes_to_ids(["Ab", "", " a\t B\n"])
    assert ids.tolist() == [[256, 97, 98, 257], [256, 257, 257, 257], [256, 97, 32, 98]]


def test_any_text_has_bytes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ids = bytes_to_ids(["a wave 🌊 波 волна", "\ud800", "x" * 300], max_bytes=31)
    assert ids.shape == (3, 32) and int(ids.max()) <= 257
    assert ids[1, :3].tolist() == [256, ord("?"), 257]
    assert "prompt cut to its first 31 of 300 bytes" in caplog.text


def test_a_prompt_is_encoded_alike_alone_and_among_longer_ones() -> None:
    encoder = seeded(lambda: ByteTextEncoder(dim=12, num_layers=2, num_heads=3)).double()
    prompts = ["a ball", "", "a much longer prompt about a red ball"]
    words, mask = encoder(prompts)
    assert mask.sum(1).tolist() == [7, 1, 38]
    assert (words[~mask] == 0).all()
    for index, prompt in enumerate(prompts):
        alone, places = encoder([prompt])
        assert places.all()
        torch.testing.assert_close(words[index, : alone.shape[1]], alone[0], atol=1e-12, rtol=0)
    assert not torch.allclose(encoder(["a ball"])[0], encoder(["b ball"])[0])


# --- velocity


def velocity(dit: CompactDiT, prompts: list[str], *, time: float = 0.7, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 3, 5, 4, 6, generator=generator)
    rays = latent_rays(path(2, 9, 32, 48, seed=seed), height=4, width=6, temporal_stride=4).float()
    with torch.no_grad():
        return dit(latents, torch.full((2,), time), rays, prompts)


@pytest.mark.parametrize("prompt", ["", "a ball"])
def test_velocity_matches_the_loop_with_its_gradient(prompt) -> None:
    options = {"num_heads": 2, "num_key_value_heads": 1, "patch_size": 2, "temporal_stride": 2}
    dit = seeded(
        lambda: CompactDiT(latent_channels=2, dim=12, num_layers=2, text_dim=8, text_layers=1, **options)
    ).double()
    generator = torch.Generator().manual_seed(1)
    latents, rays = (
        torch.randn(1, 3, channels, 2, 4, generator=generator, dtype=torch.float64) for channels in (2, 12)
    )
    time = torch.tensor([0.7], dtype=torch.float64)
    leaves = [value.requires_grad_() for value in (latents, time, rays)]

    def by_loop(latents, time, rays, weights) -> list[np.ndarray]:
        return [backbones_dit.velocity(latents, float(time), rays, prompt, weights, dit.config)]

    # a second, longer prompt makes the first one padded
    result = dit(*(value.expand(2, *value.shape[1:]) for value in leaves), [prompt, "a longer prompt"])
    check_values_and_slope([result[:1]], by_loop, dit, leaves)


def test_fresh_velocity_is_zero_and_the_first_frame_always_rests() -> None:
    assert (velocity(seeded(small_dit, stirred=False), ["a", "b"]) == 0).all()
    stirred = velocity(seeded(small_dit), ["a", "b"])
    assert (stirred[:, 0] == 0).all() and (stirred[:, 1:] != 0).all()


def test_prompt_time_and_cameras_matter() -> None:
    dit = seeded(small_dit)
    base = velocity(dit, ["a ball rises", "b"])
    assert torch.equal(base, velocity(dit, ["a ball rises", "b"]))
    other = velocity(dit, ["a ball sinks", "b"])
    assert not torch.allclose(base[0], other[0])
    torch.testing.assert_close(base[1], other[1], atol=1e-5, rtol=0)
    assert not torch.allclose(base, velocity(dit, ["a ball rises", "b"], time=0.3))
    assert not torch.allclose(base, velocity(dit, ["a ball rises", "b"], seed=2))


def test_latents_of_one_sample_do_not_reach_the_other() -> None:
    dit = seeded(small_dit).double()
    latents = torch.randn(2, 2, 5, 2, 4, dtype=torch.float64)
    rays = torch.randn(2, 2, 24, 2, 4, dtype=torch.float64)
    time = torch.tensor([0.2, 0.9], dtype=torch.float64)
    both = dit(latents, time, rays, ["a", "longer"])
    alone = dit(latents[1:], time[1:], rays[1:], ["longer"])
    # the velocity is rounded to float32
    torch.testing.assert_close(both[1:], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("latents", "rays", "prompts", "message"),
    [
        ((2, 2, 5, 2, 4), (2, 2, 24, 2, 4), ["a"], r"prompts must have one text per sample \(2\), got 1\."),
        ((2, 2, 3, 2, 4), (2, 2, 24, 2, 4), ["a", "b"], r"latents must have 5 channels, got 3\."),
        ((2, 2, 5, 2, 4), (2, 2, 6, 2, 4), ["a", "b"], r"rays must have 24 channels, got 6\."),
        ((2, 2, 5, 2, 3), (2, 2, 24, 2, 3), ["a", "b"], r"multiples of patch_size=2, got 2 x 3\."),
    ],
)
def test_velocity_refuses_what_does_not_fit(latents, rays, prompts, message) -> None:
    with pytest.raises(ValueError, match=message):
        small_dit()(torch.randn(latents), torch.rand(2), torch.randn(rays), prompts)


# --- backbone


def test_contract(backbone) -> None:
    assert isinstance(backbone, VideoBackbone)
    spec = backbone.spec
    assert (spec.channels, spec.temporal_stride, spec.spatial_stride, spec.pixel_multiple) == (5, 4, 8, 16)


@torch.no_grad()
def test_decoded_video_is_an_image_sequence(backbone, video) -> None:
    decoded = backbone.decode(5 * backbone.encode(video))
    assert decoded.shape == video.shape
    assert decoded.min() >= 0 and decoded.max() <= 1


def generate(
    backbone: CompactBackbone, prompt: list[str] | None, *, seed: int = 0, **options
) -> torch.Tensor:
    image = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(2))
    return backbone.generate(
        image, cameras(), prompt, num_steps=2, generator=torch.Generator().manual_seed(seed), **options
    )


def test_the_seed_decides(backbone) -> None:
    latents = generate(backbone, ["a", "b"])
    assert latents.shape == (2, 3, 5, 2, 4) and torch.isfinite(latents).all()
    assert torch.equal(latents, generate(backbone, ["a", "b"]))
    other = generate(backbone, ["a", "b"], seed=1)
    assert torch.equal(other[:, 0], latents[:, 0]) and not torch.allclose(other[:, 1:], latents[:, 1:])


def test_the_clip_starts_at_the_image(backbone) -> None:
    image = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = backbone.vae.encode(image[:, None])
    assert torch.equal(generate(backbone, None)[:, :1], expected)


def test_no_prompt_is_the_empty_prompt_and_another_prompt_another_clip(backbone) -> None:
    without = generate(backbone, None)
    assert torch.equal(without, generate(backbone, ["", " \n"]))
    assert not torch.allclose(without, generate(backbone, ["a ball rises", "a ball rises"]))
    strange = generate(backbone, ["🌊 波 волна", "long " * 1000])
    assert torch.isfinite(strange).all()


def test_guidance_amplifies_the_prompt_and_costs_a_pass(backbone) -> None:
    passes = []
    plain = generate(
        backbone, ["a", "b"], guidance=ConstantGuidance(1.0), callback=lambda s: passes.append(s.num_passes)
    )
    guided = generate(
        backbone, ["a", "b"], guidance=ConstantGuidance(3.0), callback=lambda s: passes.append(s.num_passes)
    )
    assert passes == [1, 2, 2, 4]
    assert torch.equal(plain[:, 0], guided[:, 0]) and not torch.allclose(plain, guided)


@torch.no_grad()
@pytest.mark.parametrize("text_scale", [1.0, 3.0])
def test_camera_guidance_leads_away_from_a_resting_camera(backbone, text_scale) -> None:
    prompts, nothing, scale = ["a", "b"], ["", ""], 2.5
    led = CompactBackbone(backbone.vae, backbone.dit, camera_guidance=scale)
    found = generate(led, prompts, guidance=ConstantGuidance(text_scale))

    moving = cameras()
    resting = replace(moving, camera_to_world=moving.camera_to_world[:, :1].repeat(1, 9, 1, 1))
    image = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(2))
    known = backbone.vae.encode(image[:, None])
    noise = torch.randn(2, 3, 5, 2, 4, generator=torch.Generator().manual_seed(0))
    latents = torch.cat((known, noise[:, 1:]), dim=1)
    for time in (1.0, 0.5):
        times = torch.full((2,), time)
        along = backbone.velocity(latents, times, moving, prompts)
        free = backbone.velocity(latents, times, moving, nothing)
        rest = backbone.velocity(latents, times, resting, prompts)
        step = free + text_scale * (along - free) + (scale - 1) * (along - rest)
        latents = latents - 0.5 * step
    torch.testing.assert_close(found, latents, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, generate(backbone, prompts, guidance=ConstantGuidance(text_scale)))


def test_camera_guidance_leaves_a_resting_camera_alone(backbone) -> None:
    image = torch.rand(1, 3, 16, 32, generator=torch.Generator().manual_seed(2))
    at_rest = Cameras(torch.eye(4).expand(1, 9, 4, 4), cameras(1).intrinsics, 16, 32)
    led = CompactBackbone(backbone.vae, backbone.dit, camera_guidance=2.5)
    plain, same = (
        b.generate(image, at_rest, ["a"], num_steps=2, generator=torch.Generator().manual_seed(0))
        for b in (backbone, led)
    )
    assert torch.equal(plain, same)


def test_generation_sees_the_world_from_the_first_camera(backbone) -> None:
    motion = path(2, 1, 16, 32, seed=5).camera_to_world.float()
    base = cameras()
    moved = Cameras(motion @ base.camera_to_world, base.intrinsics, 16, 32)
    image = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(2))
    clips = [
        backbone.generate(image, path, num_steps=2, generator=torch.Generator().manual_seed(0))
        for path in (base, moved)
    ]
    # relative poses are float32 products
    torch.testing.assert_close(*clips, atol=1e-4, rtol=0)


def test_a_still_needs_no_motion(backbone) -> None:
    image = torch.rand(1, 3, 16, 32)
    latents = backbone.generate(image, cameras(1, 1), ["a"], num_steps=2)
    assert latents.shape == (1, 1, 5, 2, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda b: b.encode(torch.rand(1, 8, 3, 16, 16)),
            r"num_frames must be 4k\+1 .* got 8; nearest valid 5 or 9",
        ),
        (lambda b: b.encode(torch.rand(1, 5, 3, 24, 16)), "height must be a multiple of 16 .* got 24"),
        (lambda b: b.generate(torch.rand(2, 3, 16, 32), cameras(2, 7)), r"num_frames must be 4k\+1 .* got 7"),
        (
            lambda b: b.generate(torch.rand(2, 3, 16, 32), cameras(3)),
            r"cameras must have the batch axis of image \(2,\), got \(3,\)",
        ),
        (
            lambda b: b.generate(torch.rand(2, 3, 16, 32), cameras(), ["a"]),
            r"prompt must have one text per image \(2\), got 1",
        ),
    ],
)
def test_backbone_refuses_what_does_not_fit(backbone, call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(backbone)


def test_saved_backbone_is_the_same(backbone, tmp_path) -> None:
    backbone.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "vae", "dit"}
    loaded = get_backbone("compact", name_or_path=tmp_path)
    assert isinstance(loaded, CompactBackbone) and not loaded.training
    assert torch.equal(generate(loaded, ["a", "b"]), generate(backbone, ["a", "b"]))


def test_time_shift_and_camera_guidance_are_saved(backbone, tmp_path) -> None:
    CompactBackbone(backbone.vae, backbone.dit, shift=3.0, camera_guidance=1.7).save_pretrained(tmp_path)
    loaded = CompactBackbone.from_pretrained(tmp_path)
    assert (loaded.shift, loaded.camera_guidance) == (3.0, 1.7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"shift": 0}', "shift must be > 0, got 0"),
        ('{"camera_guidance": 0.5}', "camera_guidance must be finite and >= 1, got 0.5"),
        ('{"shift": "much"}', "config.json does not build a CompactBackbone"),
        ('{"slide": 1.0}', "config.json does not build a CompactBackbone: .*slide"),
    ],
)
@pytest.mark.usefixtures("without_shape_checker")
def test_damaged_configuration(text, message, backbone, tmp_path) -> None:
    backbone.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        CompactBackbone.from_pretrained(tmp_path)


def test_without_a_folder_the_bundled_weights_are_loaded(backbone, tmp_path, monkeypatch) -> None:
    backbone.save_pretrained(tmp_path / "compact" / "backbone")
    monkeypatch.setattr("diff4splat.hub.resolve._BUNDLED", tmp_path)
    for loaded in (get_backbone("compact"), CompactBackbone.from_pretrained()):
        assert torch.equal(generate(loaded, None), generate(backbone, None))


@torch.no_grad()
def test_half_precision_weights_take_any_input_and_give_float32(backbone, video) -> None:
    halved = copy.deepcopy(backbone).bfloat16()
    exact = backbone.encode(video)
    for given in (video, video.bfloat16()):
        latents = halved.encode(given)
        assert latents.dtype == torch.float32
        assert (latents - exact).norm() < 0.05 * exact.norm()
    shown = halved.decode(exact)
    assert shown.dtype == torch.float32 and (shown - backbone.decode(exact)).abs().max() < 0.1
    time, prompts = torch.tensor([0.3, 0.9]), ["left", ""]
    expected = backbone.velocity(exact, time, cameras(), prompts)
    rough = halved.velocity(exact, time, cameras(), prompts)
    assert rough.dtype == torch.float32 and (rough - expected).norm() < 0.1 * expected.norm()


def test_half_size_storage(backbone, tmp_path) -> None:
    backbone.save_pretrained(tmp_path / "whole")
    backbone.save_pretrained(tmp_path / "half", dtype=torch.float16)
    sizes = [(tmp_path / name / "vae" / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    rough = CompactBackbone.from_pretrained(tmp_path / "half")
    assert next(rough.parameters()).dtype == torch.float32
    torch.testing.assert_close(generate(rough, None), generate(backbone, None), atol=0.05, rtol=0.05)
