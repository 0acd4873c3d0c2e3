"""CogVideoX: the latents of the pipeline of diffusers, the frame rule, prompts, a scene at the end."""

import pytest
import torch
from backbones.tiny_models import clip, seed, tiny_cogvideox

from diff4splat.backbones import PluckerAdapter, VideoBackbone, get_backbone
from diff4splat.diffusion import ConstantGuidance, CosineGuidance
from diff4splat.models import LDRM
from diff4splat.pipelines import Diff4SplatPipeline

pytestmark = pytest.mark.filterwarnings("ignore:.*has no camera adapter")


def published(backbone, image, prompt, frames=9, **options):
    """Latents of the pipeline of diffusers, made of the same parts."""
    from diffusers import CogVideoXImageToVideoPipeline

    pipe = CogVideoXImageToVideoPipeline(
        backbone.tokenizer, backbone.text_encoder, backbone.vae, backbone.transformer, backbone.scheduler
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        image=image,
        prompt=prompt,
        num_frames=frames,
        height=image.shape[2],
        width=image.shape[3],
        num_inference_steps=4,
        generator=seed(),
        output_type="latent",
        max_sequence_length=11,
        **options,
    ).frames


@pytest.mark.parametrize("scheduler", ["DPM", "DDIM"])
@pytest.mark.parametrize("version", ["1.0", "1.5"])
def test_latents_are_those_of_the_published_pipeline(version, scheduler) -> None:
    backbone = tiny_cogvideox(version, scheduler)
    image, cameras = clip(backbone, batch=2)
    prompts = ["a cab", "a dog"]
    expected = published(backbone, image, prompts)
    latents = backbone.generate(image, cameras, prompts, num_steps=4, generator=seed())
    assert expected.shape[1] == (4 if version == "1.5" else 3), "1.5 keeps its padding in the pipeline"
    # both passes are one batch of two there: float32 rounding
    torch.testing.assert_close(latents, expected[:, -3:], atol=1e-5, rtol=0)


def test_latents_at_a_size_other_than_the_trained_one_are_those_of_the_published_pipeline() -> None:
    backbone = tiny_cogvideox("1.0")
    backbone.transformer.register_to_config(use_learned_positional_embeddings=False)
    backbone.transformer.patch_embed.use_learned_positional_embeddings = False
    backbone.transformer.patch_embed.use_positional_embeddings = False
    image, cameras = clip(backbone, frames=17, height=48, width=32)
    expected = published(backbone, image, ["a cab"], frames=17)
    latents = backbone.generate(image, cameras, ["a cab"], num_steps=4, generator=seed())
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=0)


def test_guidance_follows_the_schedule_and_saves_the_passes_it_should() -> None:
    backbone = tiny_cogvideox()
    image, cameras = clip(backbone)
    for guidance, prompt, passes in (
        (CosineGuidance(), ["a cab"], 46),
        (ConstantGuidance(6.0), ["a cab"], 60),
        (None, ["a cab"], 60),
        (None, None, 30),
        (CosineGuidance(), [""], 30),
    ):
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        handle = backbone.transformer.register_forward_hook(count)
        backbone.generate(image, cameras, prompt, num_steps=30, guidance=guidance, generator=seed())
        handle.remove()
        assert calls == passes, (guidance, prompt)


def test_encode_is_the_mode_and_decode_its_inverse_in_scale() -> None:
    backbone = tiny_cogvideox()
    video = torch.rand(2, 17, 3, 16, 32, generator=seed())
    with torch.no_grad():
        expected = backbone.vae.encode(2 * video.movedim(1, 2) - 1).latent_dist.mode() * 0.7
        latents = backbone.encode(video)
        torch.testing.assert_close(latents, expected.movedim(1, 2), atol=0, rtol=0)
        decoded = backbone.vae.decode(expected / 0.7).sample.movedim(1, 2) / 2 + 0.5
        torch.testing.assert_close(backbone.decode(latents), decoded.clamp(0, 1), atol=0, rtol=0)
    assert latents.shape == (2, 5, 3, 2, 4)
    assert backbone.decode(latents).shape == video.shape


def test_lengths_that_do_not_come_back_are_refused() -> None:
    backbone = tiny_cogvideox()
    assert backbone.spec.frame_step == 8
    for frames in (5, 13):
        image, cameras = clip(backbone, frames=frames)
        with pytest.raises(ValueError, match=rf"8k\+1 for this backbone, got {frames}; nearest valid"):
            backbone.generate(image, cameras, num_steps=1)
        with pytest.raises(ValueError, match="nearest valid"):
            backbone.encode(torch.rand(1, frames, 3, 16, 16))
    with pytest.raises(ValueError, match="num_latents must be 2k\\+1"):
        backbone.decode(torch.zeros(1, 2, 3, 2, 2))


def test_learned_positions_take_one_size_and_length() -> None:
    backbone = tiny_cogvideox("1.0")
    for options in ({"frames": 17}, {"height": 48, "width": 48}):
        image, cameras = clip(backbone, **options)
        with pytest.raises(ValueError, match="learned positions for 9 frames of 32 x 48 pixels alone"):
            backbone.generate(image, cameras, num_steps=1)


def test_a_text_to_video_model_is_refused() -> None:
    from backbones.tiny_models import cogvideox_parts

    from diff4splat.backbones import CogVideoXBackbone

    parts = cogvideox_parts()
    parts["transformer"].register_to_config(in_channels=3)
    with pytest.raises(ValueError, match="transformer must take 6 channels .* got 3"):
        CogVideoXBackbone(**parts)


def test_half_precision_gives_float32_latents_close_to_those_of_float32() -> None:
    backbone = tiny_cogvideox()
    image, cameras = clip(backbone)
    exact = backbone.generate(image, cameras, ["a cab"], num_steps=2, generator=seed())
    coarse = backbone.to(torch.bfloat16).generate(image, cameras, ["a cab"], num_steps=2, generator=seed())
    assert coarse.dtype == torch.float32
    assert (coarse - exact).abs().mean() < 0.05 * exact.std()  # eight bits, guided by 6


def test_cameras_reach_the_network_through_an_adapter_alone() -> None:
    from backbones.tiny_models import seeded

    with pytest.warns(UserWarning, match="the video will not follow the path"):
        backbone = tiny_cogvideox()
        backbone.generate(*clip(backbone), num_steps=1, generator=seed())
    adapter = seeded(lambda: PluckerAdapter(32, temporal_patch=2, hidden_dim=5))
    adapted = tiny_cogvideox(camera_adapter=adapter)
    image, cameras = clip(adapted)
    moved = adapted.generate(image, cameras, num_steps=2, generator=seed())
    still = adapted.generate(image, cameras.at_rest(), num_steps=2, generator=seed())
    assert (moved - still).abs().max() > 1e-4
    assert not torch.equal(moved, backbone.generate(image, cameras, num_steps=2, generator=seed()))
    with pytest.raises(ValueError, match=r"cameras must have the size of image \(32, 48\)"):
        adapted.generate(image, cameras.resize(64, 96), num_steps=1)
    with pytest.raises(ValueError, match="camera_adapter must be made for this video model"):
        tiny_cogvideox(camera_adapter=PluckerAdapter(31, temporal_patch=2, hidden_dim=5))


def test_gradients_reach_the_adapter_and_the_transformer_through_one_pass() -> None:
    backbone = tiny_cogvideox(camera_adapter=PluckerAdapter(32, temporal_patch=2, hidden_dim=5))
    image, cameras = clip(backbone)
    condition = backbone.condition(image, cameras, ["a cab"], seed())
    noisy = backbone.draw_noise(condition, seed())
    backbone.predict(noisy, torch.tensor([500]), condition).square().mean().backward()
    assert backbone.camera_adapter.write.weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in backbone.vae.parameters())
    assert all(parameter.grad is None for parameter in backbone.text_encoder.parameters())


def test_the_autoencoder_keeps_nothing_for_gradients_that_nobody_asks_for() -> None:
    backbone = tiny_cogvideox()
    video = torch.rand(1, 9, 3, 32, 48, generator=seed())
    latents = backbone.encode(video)
    assert not latents.requires_grad and not backbone.decode(latents).requires_grad
    backbone.decode(latents.requires_grad_()).sum().backward()
    assert float(latents.grad.abs().max()) > 0


def test_feature_caching_works_and_leaves_nothing_for_the_next_clip() -> None:
    from diffusers import FirstBlockCacheConfig

    backbone = tiny_cogvideox("1.0")
    image, cameras = clip(backbone)

    def run(number: int) -> torch.Tensor:
        return backbone.generate(image, cameras, ["a cab"], num_steps=6, generator=seed(number))

    plain = run(1)
    backbone.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.9))
    first = run(1)
    assert not torch.equal(first, plain), "nothing was cached"
    run(2)
    torch.testing.assert_close(run(1), first, atol=0, rtol=0)


@pytest.mark.parametrize("version", ["1.0", "1.5"])
def test_a_callback_sees_and_replaces_the_clip_without_its_padding(version) -> None:
    backbone = tiny_cogvideox(version)
    image, cameras = clip(backbone)
    seen = []

    def watch(state):
        seen.append(state)
        return torch.full_like(state.latents, 0.5) if state.step == 2 else None

    latents = backbone.generate(image, cameras, num_steps=3, generator=seed(), callback=watch)
    for state in seen:
        assert state.latents.shape == state.clean.shape == state.velocity.shape == latents.shape
    assert (latents == 0.5).all()


def test_image_and_path_to_a_scene() -> None:
    backbone = tiny_cogvideox("1.0")
    image, cameras = clip(backbone)
    ldrm = LDRM.from_spec(backbone.spec, dim=24, num_layers=1, num_heads=2, num_key_value_heads=1)
    frames, (height, width) = cameras.num_frames, image.shape[2:]
    pipe = Diff4SplatPipeline(
        backbone, ldrm.eval(), num_frames=frames, height=height, width=width, num_steps=2, num_gaussians=None
    )
    field = pipe(image[0], cameras.batch(0), "a cab", generator=seed())
    assert torch.equal(
        field.delta_means, pipe(image[0], cameras.batch(0), "a cab", generator=seed()).delta_means
    )
    rendering = field.render(cameras.batch(0), torch.linspace(0, 1, frames))
    assert rendering.color.shape == (frames, 3, height, width)
    assert rendering.color.isfinite().all() and rendering.alpha.max() > 0


def test_it_is_a_backbone_known_by_name() -> None:
    assert isinstance(tiny_cogvideox(), VideoBackbone)
    with pytest.raises(FileNotFoundError, match="no model './nowhere'"):
        get_backbone("cogvideox", name_or_path="./nowhere")
