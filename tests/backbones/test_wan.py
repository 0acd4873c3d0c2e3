"""Wan: the latents of the pipeline of diffusers to the last bit, the held frame, two experts, a scene."""

import pytest
import torch
from backbones.tiny_models import clip, pictures, seed, seeded, tiny_wan, wan_parts

from diff4splat.backbones import PluckerAdapter, VideoBackbone, WanBackbone, get_backbone
from diff4splat.diffusion import ConstantGuidance, CosineGuidance
from diff4splat.models import LDRM
from diff4splat.pipelines import Diff4SplatPipeline

pytestmark = pytest.mark.filterwarnings("ignore:.*has no camera adapter")
VERSIONS = ["2.1", "2.2", "A14B"]


def published(backbone, image, prompt, **options):
    """Latents of the pipeline of diffusers, made of the same parts, in our order of axes."""
    from diffusers import WanImageToVideoPipeline

    pipe = WanImageToVideoPipeline(
        **{part.name: getattr(backbone, part.name) for part in backbone.parts},
        boundary_ratio=backbone.boundary_ratio,
        expand_timesteps=backbone.expand_timesteps,
    )
    pipe.set_progress_bar_config(disable=True)
    latents = pipe(
        image=pictures(image)[0],
        prompt=prompt,
        num_frames=9,
        height=image.shape[2],
        width=image.shape[3],
        num_inference_steps=4,
        generator=seed(),
        output_type="latent",
        max_sequence_length=backbone.max_prompt_tokens,
        **options,
    ).frames
    return latents.transpose(1, 2)


@pytest.mark.parametrize("scheduler", ["UniPC", "FlowMatchEuler"])
@pytest.mark.parametrize("version", VERSIONS)
def test_latents_are_those_of_the_published_pipeline_to_the_last_bit(version, scheduler) -> None:
    backbone = tiny_wan(version, scheduler)
    image, cameras = clip(backbone)
    latents = backbone.generate(image, cameras, ["a  “cab” &amp; "], num_steps=4, generator=seed())
    assert torch.equal(latents, published(backbone, image, ["a  “cab” &amp; "]))


def test_a_negative_prompt_is_that_of_the_published_pipeline() -> None:
    backbone = tiny_wan("2.2", negative_prompt="a dog")
    image, cameras = clip(backbone)
    latents = backbone.generate(image, cameras, num_steps=4, generator=seed())
    assert torch.equal(latents, published(backbone, image, [""], negative_prompt="a dog"))
    assert not torch.equal(latents, published(backbone, image, [""]))


@pytest.mark.parametrize("version", VERSIONS)
def test_two_images_are_as_two_times_one(version) -> None:
    backbone = tiny_wan(version)
    images, cameras = clip(backbone, batch=2)
    prompts = ["a cab", "a dog"]
    both = backbone.condition(images, cameras, prompts)
    noise = backbone.draw_noise(both, seed())
    timestep = torch.tensor([950, 950])
    with torch.no_grad():
        together = backbone.predict(noise, timestep, both)
        for index in range(2):
            one = slice(index, index + 1)
            alone = backbone.condition(images[one], cameras.batch(one), prompts[one])
            separate = backbone.predict(noise[one], timestep[one], alone)
            torch.testing.assert_close(together[one], separate, atol=1e-5, rtol=0)


def test_guidance_follows_the_schedule_and_saves_the_passes_it_should() -> None:
    backbone = tiny_wan()
    image, cameras = clip(backbone, frames=5)
    for guidance, prompt, passes in (
        (CosineGuidance(), ["a cab"], 46),
        (ConstantGuidance(5.0), ["a cab"], 60),
        (None, ["a cab"], 60),
        (None, None, 30),
    ):
        counts = []
        backbone.generate(
            image,
            cameras,
            prompt,
            num_steps=30,
            guidance=guidance,
            generator=seed(),
            callback=lambda state, counts=counts: counts.append(state.num_passes),
        )
        assert counts[-1] == passes, (guidance, prompt)


def test_the_first_latent_is_that_of_the_image_at_every_step() -> None:
    backbone = tiny_wan("2.2")
    image, cameras = clip(backbone)
    with torch.no_grad():
        known = backbone.encode(image[:, None])
    seen = []
    latents = backbone.generate(
        image, cameras, num_steps=3, generator=seed(), callback=lambda state: seen.extend([state])
    )
    for each in (latents, *(state.latents for state in seen), *(state.clean for state in seen)):
        assert torch.equal(each[:, :1], known)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_encode_is_the_normalised_mode_and_decode_undoes_it(version) -> None:
    backbone = tiny_wan(version)
    side = backbone.spec.pixel_multiple
    video = torch.rand(2, 9, 3, side, 2 * side, generator=seed())
    config = backbone.vae.config
    mean = torch.tensor(config.latents_mean)[None, None, :, None, None]
    deviation = torch.tensor(config.latents_std)[None, None, :, None, None]
    with torch.no_grad():
        raw = backbone.vae.encode(2 * video.movedim(1, 2) - 1).latent_dist.mode().movedim(1, 2)
        latents = backbone.encode(video)
        torch.testing.assert_close(latents, (raw - mean) / deviation, atol=1e-5, rtol=0)
        decoded = backbone.vae.decode(raw.movedim(1, 2)).sample.movedim(1, 2) / 2 + 0.5
        torch.testing.assert_close(backbone.decode(latents), decoded, atol=1e-5, rtol=0)
    assert latents.shape == (2, *backbone.spec.latent_shape(9, side, 2 * side))
    with pytest.raises(ValueError, match=r"4k\+1 for this backbone, got 6; nearest valid 5 or 9"):
        backbone.encode(video[:, :6])


def test_each_expert_has_its_noise_levels() -> None:
    backbone = tiny_wan("A14B")
    image, cameras = clip(backbone)
    condition = backbone.condition(image, cameras, ["a cab"])
    noise = backbone.draw_noise(condition, seed())
    calls = []
    for name in ("transformer", "transformer_2"):
        getattr(backbone, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    with torch.no_grad():
        for timestep in (999, 900, 899, 1):
            backbone.predict(noise, torch.tensor([timestep]), condition)
    assert calls == ["transformer", "transformer", "transformer_2", "transformer_2"]
    with pytest.raises(ValueError, match="one side of boundary_ratio"):
        two = backbone.condition(*clip(backbone, batch=2))
        backbone.predict(noise.expand(2, -1, -1, -1, -1), torch.tensor([950, 10]), two)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="transformer must take 36 channels .* got 16"):
        parts = wan_parts("A14B")
        parts.pop("transformer_2")
        parts["transformer"].register_to_config(in_channels=16)
        WanBackbone(**parts)
    with pytest.raises(ValueError, match="image_encoder must be given where the transformer reads"):
        WanBackbone(**{**wan_parts("2.1"), "image_encoder": None})
    with pytest.raises(ValueError, match="max_prompt_tokens must be 512 beside image tokens, .* got 11"):
        tiny_wan("2.1", max_prompt_tokens=11)
    with pytest.raises(ValueError, match="transformer_2 and boundary_ratio must be given together"):
        WanBackbone(**wan_parts("A14B"))
    with pytest.raises(ValueError, match="camera_adapter must be made for this video model"):
        tiny_wan("2.2", camera_adapter=PluckerAdapter(24, hidden_dim=5))


def test_arguments_that_do_not_fit_are_refused() -> None:
    backbone = tiny_wan()
    image, cameras = clip(backbone, batch=2)
    with pytest.raises(ValueError, match=r"prompt must have one text per image \(2\), got 1"):
        backbone.generate(image, cameras, ["one"], num_steps=1)
    with pytest.raises(ValueError, match=r"batch axis of image \(2,\), got \(1,\)"):
        backbone.generate(image, cameras.batch(slice(0, 1)), num_steps=1)
    with pytest.raises(ValueError, match="height must be a multiple of 32"):
        backbone.generate(image[:, :, :16], cameras, num_steps=1)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_half_precision_gives_float32_latents_close_to_those_of_float32(version) -> None:
    backbone = tiny_wan(version)
    image, cameras = clip(backbone)
    exact = backbone.generate(image, cameras, ["a cab"], num_steps=2, generator=seed())
    coarse = backbone.to(torch.bfloat16).generate(image, cameras, ["a cab"], num_steps=2, generator=seed())
    assert coarse.dtype == torch.float32
    assert (coarse - exact).abs().mean() < 0.05 * exact.std()  # eight bits, guided by 5


def test_cameras_reach_the_network_through_an_adapter_alone() -> None:
    adapter = seeded(lambda: PluckerAdapter(24, spatial_stride=16, unconditional="zeros", hidden_dim=5))
    adapted = tiny_wan(camera_adapter=adapter)
    image, cameras = clip(adapted)
    passes = []

    def run(path) -> torch.Tensor:
        return adapted.generate(
            image,
            path,
            num_steps=2,
            generator=seed(),
            callback=lambda state: passes.append(state.num_passes),
        )

    assert (run(cameras) - run(cameras.at_rest())).abs().max() > 1e-4
    assert passes[1] == 4, "cameras that only the conditional pass sees are guided without a prompt"
    with pytest.warns(UserWarning, match="the video will not follow the path"):
        tiny_wan().generate(image, cameras, num_steps=1)


def test_feature_caching_works_and_leaves_nothing_for_the_next_clip() -> None:
    from diffusers import FirstBlockCacheConfig

    backbone = tiny_wan("A14B")
    image, cameras = clip(backbone)

    def run(number: int) -> torch.Tensor:
        return backbone.generate(image, cameras, ["a cab"], num_steps=6, generator=seed(number))

    plain = run(1)
    for model in (backbone.transformer, backbone.transformer_2):
        model.enable_cache(FirstBlockCacheConfig(threshold=0.9))
    first = run(1)
    assert not torch.equal(first, plain), "nothing was cached"
    run(2)
    assert torch.equal(run(1), first)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_image_and_path_to_a_scene(version) -> None:
    backbone = tiny_wan(version)
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


def test_it_is_a_backbone_known_by_two_names() -> None:
    assert isinstance(tiny_wan(), VideoBackbone)
    assert (tiny_wan("2.2").kind, tiny_wan("2.1").kind) == ("wan2.2-ti2v-5b", "wan2.1")
    for name in ("wan2.1", "wan2.2-ti2v-5b"):
        with pytest.raises(FileNotFoundError, match="no model './nowhere'"):
            get_backbone(name, name_or_path="./nowhere")


def test_the_autoencoder_keeps_nothing_for_gradients_that_nobody_asks_for() -> None:
    """At full size its activations for a clip would fill a GPU."""
    backbone = tiny_wan("2.2")
    video = torch.rand(1, 5, 3, 32, 64, generator=seed())
    latents = backbone.encode(video)
    assert not latents.requires_grad and not backbone.decode(latents).requires_grad
    backbone.encode(video.requires_grad_()).sum().backward()
    assert float(video.grad.abs().max()) > 0
    backbone.decode(latents.requires_grad_()).sum().backward()
    assert float(latents.grad.abs().max()) > 0


def test_images_that_are_none_are_refused(without_shape_checker: None) -> None:
    backbone = tiny_wan("2.2")
    image, cameras = clip(backbone)
    with pytest.raises(TypeError, match=r"image must be floating point in \[0, 1\], got torch.uint8"):
        backbone.condition((255 * image).byte(), cameras)
    with pytest.raises(ValueError, match=r"shape \[batch, 3, height, width\], got \[3, 32, 64\]"):
        backbone.condition(image[0], cameras)
