"""The switches on whole backbones: text encoder, autoencoder, transformer and schedulers of diffusers."""

import warnings
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch
from backbones.tiny_models import clip, seeded, tiny_cogvideox, tiny_wan

from diff4splat.backbones import PluckerAdapter
from diff4splat.backbones.feature_caching import count_blocks
from diff4splat.backbones.offloading import offload_parts
from diff4splat.backbones.speed import SpeedOptions
from diff4splat.cameras import trajectory
from diff4splat.diffusion import ConstantGuidance, CosineGuidance, network_passes
from diff4splat.pipelines import Diff4SplatPipeline
from diff4splat.pipelines.speed import speed_up

pytest.importorskip("diffusers")
MODELS = {
    "cogvideox": tiny_cogvideox,
    "wan2.1": lambda: tiny_wan("2.1"),
    "wan2.2-ti2v-5b": lambda: tiny_wan("2.2"),
    "wan2.2-a14b": lambda: tiny_wan("A14B"),
}
STEPS = 5


def run(backbone, **options) -> torch.Tensor:
    image, cameras = clip(backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no camera adapter
        return backbone.generate(
            image,
            cameras,
            ["a"],
            **{
                "num_steps": STEPS,
                "guidance": ConstantGuidance(3.0),
                "generator": torch.Generator().manual_seed(7),
                **options,
            },
        )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("offload", ["model", "group", "leaf"])
def test_offload_of_all_parts_is_exact(name: str, offload: str) -> None:
    backbone = MODELS[name]()
    exact = run(backbone)
    video = torch.rand(1, 9, 3, *clip(backbone)[0].shape[-2:])
    latents = backbone.encode(video)
    decoded = backbone.decode(latents)
    speed = backbone.use(SpeedOptions(offload=offload), device="cpu")
    assert all(part in speed.found["offload"] for part in ("text_encoder", "vae", "transformer"))
    torch.testing.assert_close(run(backbone), exact, rtol=0, atol=0)
    torch.testing.assert_close(backbone.encode(video), latents, rtol=0, atol=0)
    torch.testing.assert_close(backbone.decode(latents), decoded, rtol=0, atol=0)
    assert backbone.to("meta") is backbone and next(backbone.parameters()).device.type == "cpu"
    backbone.use(SpeedOptions())
    torch.testing.assert_close(run(backbone), exact, rtol=0, atol=0)
    assert next(backbone.to("meta").parameters()).is_meta


@pytest.mark.parametrize("offload", ["model", "group", "leaf"])
def test_the_camera_adapter_is_offloaded_too(offload: str) -> None:
    """Else it would stay on the CPU, where that of a 5B model takes minutes."""
    adapter = seeded(lambda: PluckerAdapter(24, spatial_stride=16, hidden_dim=3))
    backbone = tiny_wan("2.2", camera_adapter=adapter)
    exact = run(backbone)
    assert "camera_adapter" in backbone.use(SpeedOptions(offload=offload), device="cpu").found["offload"]
    torch.testing.assert_close(run(backbone), exact, rtol=0, atol=0)


def test_the_camera_adapter_computes_where_offload_says() -> None:
    adapter = PluckerAdapter(5, hidden_dim=3).eval()
    path = trajectory.by_name("orbit", 5, height=16, width=32).batch(None)
    with ExitStack() as undo:
        offload_parts({"camera_adapter": adapter}, "model", torch.device("meta"), undo)
        assert next(adapter.parameters()).device.type == "cpu"
        assert adapter._rays(path).is_meta


def test_blocks_of_both_experts_are_streamed() -> None:
    backbone = tiny_wan("A14B")
    backbone.use(SpeedOptions(offload="group"), device="cpu")
    for expert in (backbone.transformer, backbone.transformer_2):
        hook = expert._diffusers_hook.get_hook("group_offloading")
        assert hook.config.offload_type == "block_level"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "options",
    [
        SpeedOptions(cache="first_block", cache_threshold=0.5),
        SpeedOptions(cache="taylor", cache_interval=2),
        SpeedOptions(cache="mag", mag_ratios=[1.0], cache_threshold=1.0),
    ],
    ids=lambda options: options.cache,
)
def test_caches_skip_blocks_and_forget(name: str, options: SpeedOptions) -> None:
    backbone = MODELS[name]()
    exact = run(backbone)
    if options.cache == "mag" and backbone.__dict__.get("boundary_ratio") is not None:
        with pytest.raises(ValueError, match="this model has two experts"):
            backbone.use(options)
        return
    backbone.use(options)
    with count_blocks(backbone.transformer) as count:
        first = run(backbone)
    assert count.share < (1.0 if name != "wan2.2-a14b" else 1.01)
    error = float((first - exact).norm() / exact.norm())
    assert error < 0.6  # random weights, few steps: the errors that matter are in test_speed.py
    torch.testing.assert_close(run(backbone), first, rtol=0, atol=0)
    backbone.use(SpeedOptions())
    torch.testing.assert_close(run(backbone), exact, rtol=0, atol=0)


def test_idle_passes_of_the_cosine_schedule_are_not_made() -> None:
    backbone, steps = tiny_wan("2.2"), 11
    with count_blocks(backbone.transformer) as count:
        run(backbone, guidance=CosineGuidance(), num_steps=steps)
    assert count.passes == network_passes(CosineGuidance(), steps) < 2 * steps


def test_pipeline_leaves_offloaded_weights_where_they_are() -> None:
    moved: list[str] = []
    backbone = tiny_wan("2.2")

    class Part(torch.nn.Module):
        def to(self, device=None, dtype=None):
            moved.append(str(device))
            return self

    pipeline = Diff4SplatPipeline(backbone, Part(), num_frames=9, height=32, width=64)
    found = speed_up(pipeline, SpeedOptions(offload="leaf"), device="cpu")
    assert moved == ["cpu"] and "one layer at a time on cpu" in found["offload"]
    pipeline.backbone = SimpleNamespace(spec=backbone.spec)
    with pytest.raises(ValueError, match="SimpleNamespace has no speed switches"):
        speed_up(pipeline, SpeedOptions(compile=True), device="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("offload", ["model", "group", "leaf"])
def test_offload_to_a_gpu(name: str, offload: str) -> None:
    generator = torch.Generator("cpu")
    exact = run(MODELS[name]().to("cuda"), generator=generator.manual_seed(7))
    backbone = MODELS[name]()
    backbone.use(SpeedOptions(offload=offload))
    result = run(backbone, generator=generator.manual_seed(7))
    assert result.device.type == "cuda"
    torch.testing.assert_close(result, exact, rtol=1e-4, atol=1e-4)
    backbone.decode(result)
    if offload != "model":  # there the autoencoder, which came last, stays until another part is called
        assert {parameter.device.type for parameter in backbone.parameters()} == {"cpu"}


def test_weights_that_were_changed_for_speed_are_not_saved_as_if_they_were_not(tmp_path) -> None:
    backbone = tiny_wan("2.2")
    backbone.use(SpeedOptions(offload="group"), device="cpu")
    with pytest.raises(ValueError, match="dtype needs offload='group' turned off"):
        backbone.save_pretrained(tmp_path, dtype=torch.bfloat16)
    backbone.save_pretrained(tmp_path / "whole")
    loaded = type(backbone).from_pretrained(tmp_path / "whole", dtype="float32")
    torch.testing.assert_close(run(loaded), run(backbone), rtol=0, atol=0)
    loaded.use(SpeedOptions(storage="float8"))
    with pytest.raises(ValueError, match="storage='float8' has rounded the weights"):
        loaded.save_pretrained(tmp_path / "rounded")
    assert not (tmp_path / "rounded").exists()
