"""Each speed switch on tiny transformers of diffusers: what it saves is counted, its error is measured."""

import functools
import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from backbones.speed_parts import KINDS, LAYERS, STEPS, backbone, error, predict, sample, transformer
from torch import nn

from diff4splat.backbones.compact import CompactBackbone
from diff4splat.backbones.feature_caching import calibrate_mag_cache, count_blocks, find_blocks
from diff4splat.backbones.offloading import find_device, offload_parts
from diff4splat.backbones.speed import AppliedSpeed, SpeedOptions, apply_speed
from diff4splat.diffusion import ConstantGuidance, CosineGuidance, network_passes

pytest.importorskip("diffusers")
PASSES = network_passes(CosineGuidance(), STEPS)
SECOND = PASSES - STEPS  # unconditional passes, all at the first steps


@pytest.fixture(scope="module")
def exact() -> dict[str, torch.Tensor]:
    return {kind: sample(transformer(kind)) for kind in KINDS}


def blocks_of_taylor(passes: int, interval: int) -> int:
    """Full passes: the first three, then every `interval`-th counted from the fifth."""
    return sum(step < 3 or (step - 4) % interval == 0 for step in range(passes))


@pytest.mark.parametrize("kind", KINDS)
def test_idle_unconditional_passes_are_not_made(kind: str) -> None:
    model = transformer(kind)
    with count_blocks(model) as count:
        sample(model)
    assert STEPS < PASSES < 2 * STEPS
    assert (count.passes, count.blocks, count.share) == (PASSES, PASSES * LAYERS, 1.0)
    with count_blocks(model) as count:
        unguided = sample(model, guidance=ConstantGuidance(1.0))
    assert count.passes == STEPS

    class Idle(ConstantGuidance):
        """Makes the passes that change nothing."""

        def needs_unconditional(self, step: int, num_steps: int) -> bool:
            return True

    torch.testing.assert_close(sample(model, guidance=Idle(1.0)), unguided, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offload", ["model", "group", "leaf"])
def test_offload_is_exact_and_can_be_taken_off(kind: str, offload: str, exact) -> None:
    parts = backbone(kind)
    parts.vae = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 3, 3)).eval()
    image = torch.rand(1, 3, 7, 7)
    decoded = parts.vae(image)
    speed = apply_speed(parts, SpeedOptions(offload=offload), device="cpu")
    assert speed.device == torch.device("cpu") and "vae, transformer" in speed.found["offload"]
    torch.testing.assert_close(sample(parts.transformer, speed), exact[kind], rtol=0, atol=0)
    torch.testing.assert_close(parts.vae(image), decoded, rtol=0, atol=0)
    speed.remove()
    torch.testing.assert_close(sample(parts.transformer), exact[kind], rtol=0, atol=0)
    registries = [m._diffusers_hook for m in parts.transformer.modules() if hasattr(m, "_diffusers_hook")]
    assert not any(registry.hooks for registry in registries)


@pytest.mark.parametrize("backend", ["native", "_native_math"])
def test_attention_backend_is_exact_and_stays_with_its_model(backend: str, exact) -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    before = _AttentionBackendRegistry.get_active_backend()[0]
    parts = backbone()
    speed = apply_speed(parts, SpeedOptions(attention=backend))
    assert speed.found == {"attention": f"{backend} in {2 * LAYERS} attention layers"}
    assert _AttentionBackendRegistry.get_active_backend()[0] == before
    torch.testing.assert_close(sample(parts.transformer, speed), exact["wan"], rtol=1e-5, atol=1e-5)
    speed.remove()
    assert parts.transformer.blocks[0].attn1.processor._attention_backend is None


@pytest.mark.parametrize("kind", KINDS)
def test_first_block_cache(kind: str, exact) -> None:
    parts = backbone(kind)
    speed = apply_speed(parts, SpeedOptions(cache="first_block", cache_threshold=0.3))
    with count_blocks(parts.transformer) as count:
        result = sample(parts.transformer, speed)
    # The first block always runs, the others where they are needed: at the first step of each kind of pass.
    full, rest = divmod(count.blocks - PASSES, LAYERS - 1)
    assert rest == 0 and 2 <= full <= PASSES // 2
    assert 0 < error(result, exact[kind]) < 0.1
    # A change that no output makes is below any threshold: one full pass each.
    speed.remove()
    speed = apply_speed(parts, SpeedOptions(cache="first_block", cache_threshold=1e9))
    with count_blocks(parts.transformer) as count:
        sample(parts.transformer, speed)
    assert count.blocks == PASSES + 2 * (LAYERS - 1)
    # And no change is below the smallest one: nothing is skipped, nothing differs.
    speed.remove()
    speed = apply_speed(parts, SpeedOptions(cache="first_block", cache_threshold=1e-9))
    torch.testing.assert_close(sample(parts.transformer, speed), exact[kind], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("interval", [3, 5])
def test_taylor_cache(kind: str, interval: int, exact) -> None:
    parts = backbone(kind)
    speed = apply_speed(parts, SpeedOptions(cache="taylor", cache_interval=interval))
    with count_blocks(parts.transformer) as count:
        result = sample(parts.transformer, speed)
    full = blocks_of_taylor(STEPS, interval) + blocks_of_taylor(SECOND, interval)
    assert (count.passes, count.blocks) == (PASSES, full * LAYERS)
    assert 0 < error(result, exact[kind]) < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_pyramid_cache(kind: str, exact) -> None:
    parts = backbone(kind)
    speed = apply_speed(parts, SpeedOptions(cache="pyramid"))
    with count_blocks(parts.transformer) as count:
        result = sample(parts.transformer, speed)
    times = [1000 * (1 - step / STEPS) for step in range(STEPS)]
    computed = [
        sum(step % 2 == 0 or not 100 < time < 800 for step, time in enumerate(times[:passes]))
        for passes in (STEPS, SECOND)
    ]
    assert (count.blocks, count.attentions) == (PASSES * LAYERS, sum(computed) * LAYERS)
    assert 0 < error(result, exact[kind]) < 0.02


def test_pyramid_cache_keeps_the_two_passes_of_a_step_apart() -> None:
    """Diffusers alone would answer the second pass of a step with the attention of the first."""
    from diffusers.hooks import PyramidAttentionBroadcastConfig

    parts, latents = backbone(), torch.randn(1, 3, 3, 10, 6, generator=torch.Generator().manual_seed(2))
    wanted = predict(parts.transformer, latents, 0.5, False)
    speed = apply_speed(parts, SpeedOptions(cache="pyramid"))
    with speed.generation(1):
        predict(parts.transformer, latents, 0.5, True)
        torch.testing.assert_close(predict(parts.transformer, latents, 0.5, False), wanted, rtol=0, atol=0)
    speed.remove()
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=lambda: 500
    )
    parts.transformer.enable_cache(config)
    predict(parts.transformer, latents, 0.5, True)
    assert error(predict(parts.transformer, latents, 0.5, False), wanted) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_mag_cache_and_its_calibration(kind: str, exact) -> None:
    parts = backbone(kind)
    blocks, changes = find_blocks(parts.transformer), []
    if kind == "wan":  # what the ratios are, by hooks of our own
        entering: list[torch.Tensor] = []
        blocks[0].register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
        blocks[-1].register_forward_hook(
            lambda module, inputs, output: changes.append((output - entering.pop()).norm(dim=-1))
        )
    with calibrate_mag_cache(parts.transformer, STEPS) as ratios:
        calibrated = sample(parts.transformer, guidance=ConstantGuidance(1.0))
    assert not parts.transformer.is_cache_enabled and len(ratios) == STEPS and ratios[0] == 1
    if kind == "wan":
        pairs = zip(changes[1:], changes[:-1], strict=True)
        expected = [float((now / before).mean()) for now, before in pairs]
        assert ratios[1:] == pytest.approx(expected, rel=1e-4)
    assert error(calibrated, sample(transformer(kind), guidance=ConstantGuidance(1.0))) == 0

    # Ratios of 1 promise no change: after the first fifth of the steps, three passes of four are skipped.
    parts = backbone(kind)
    speed = apply_speed(parts, SpeedOptions(cache="mag", mag_ratios=[1.0, 1.0]))
    with count_blocks(parts.transformer) as count:
        result = sample(parts.transformer, speed)
    first = round(0.2 * STEPS)
    full = sum(
        step < first or (step - first) % 4 == 3 for passes in (STEPS, SECOND) for step in range(passes)
    )
    assert (count.passes, count.blocks) == (PASSES, full * LAYERS)
    assert 0 < error(result, exact[kind]) < 0.1
    # The schedule follows the number of steps of each generation, not that of the calibration.
    with count_blocks(parts.transformer) as count:
        sample(parts.transformer, speed, steps=23, guidance=ConstantGuidance(1.0))
    first = round(0.2 * 23)
    assert count.blocks == LAYERS * sum(step < first or (step - first) % 4 == 3 for step in range(23))


def test_calibration_of_another_number_of_steps() -> None:
    model = transformer()
    with pytest.raises(ValueError, match="num_steps must be that of the generation, got 7 and 11"):
        with calibrate_mag_cache(model, 7):
            sample(model)
    assert not model.is_cache_enabled


@pytest.mark.parametrize("cache", ["first_block", "taylor", "pyramid", "mag"])
def test_generations_do_not_see_each_other(cache: str) -> None:
    parts = backbone()
    options = {"first_block": {"cache_threshold": 0.3}, "mag": {"mag_ratios": [1.0]}}.get(cache, {})
    speed = apply_speed(parts, SpeedOptions(cache=cache, **options))
    first = sample(parts.transformer, speed)
    with pytest.raises(KeyboardInterrupt), speed.generation(STEPS):
        predict(parts.transformer, torch.ones(1, 3, 3, 10, 6), 1.0, True)
        raise KeyboardInterrupt
    sample(parts.transformer, speed, seed=6)
    torch.testing.assert_close(sample(parts.transformer, speed), first, rtol=0, atol=0)
    speed.remove()
    plain = sample(transformer())
    torch.testing.assert_close(sample(parts.transformer), plain, rtol=0, atol=0)
    assert error(first, plain) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_storage_in_8_bits(kind: str, exact) -> None:
    parts = backbone(kind)
    before = sum(tensor.numel() * tensor.element_size() for tensor in parts.transformer.parameters())
    speed = apply_speed(parts, SpeedOptions(storage="float8"))
    after = sum(tensor.numel() * tensor.element_size() for tensor in parts.transformer.parameters())
    assert after < 0.5 * before and "float8" in speed.found["storage"]
    assert 0 < error(sample(parts.transformer, speed), exact[kind]) < 0.05
    with pytest.raises(ValueError, match="storage cannot be undone: load the model again"):
        speed.remove()


@pytest.mark.parametrize(("cache", "offload"), [("pyramid", "model"), ("taylor", "leaf"), ("mag", "group")])
def test_cache_and_offload_do_not_disturb_each_other(cache: str, offload: str, exact) -> None:
    ratios = [1.0] if cache == "mag" else None
    parts = backbone()
    alone = sample(parts.transformer, apply_speed(parts, SpeedOptions(cache=cache, mag_ratios=ratios)))
    parts = backbone()
    options = SpeedOptions(cache=cache, mag_ratios=ratios, offload=offload)
    speed = apply_speed(parts, options, device="cpu")
    torch.testing.assert_close(sample(parts.transformer, speed), alone, rtol=0, atol=0)
    speed.remove()
    torch.testing.assert_close(sample(parts.transformer), exact["wan"], rtol=0, atol=0)


def test_switches_together(exact) -> None:
    parts = backbone()
    options = SpeedOptions(cache="first_block", cache_threshold=0.3, offload="group")
    with count_blocks(parts.transformer) as count:
        together = sample(parts.transformer, apply_speed(parts, options, device="cpu"))
    assert count.share < 0.6
    parts = backbone()
    alone = sample(
        parts.transformer, apply_speed(parts, SpeedOptions(cache="first_block", cache_threshold=0.3))
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=0)
    parts = backbone()
    stored = sample(parts.transformer, apply_speed(parts, SpeedOptions(storage="float8")))
    for offload in ("group", "leaf"):
        parts = backbone()
        options = SpeedOptions(storage="float8", offload=offload)
        both = sample(parts.transformer, apply_speed(parts, options, device="cpu"))
        torch.testing.assert_close(both, stored, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_blocks(
    kind: str, exact, monkeypatch: pytest.MonkeyPatch, without_shape_checker: None
) -> None:
    graphs = []

    def record(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=record))
    parts = backbone(kind)
    speed = apply_speed(parts, SpeedOptions(compile=True))
    assert speed.found == {"compile": f"{LAYERS} blocks"}
    result = sample(parts.transformer, speed)
    assert len(graphs) <= 2  # whole, and the same for all blocks (after the first) and all passes
    torch.testing.assert_close(result, exact[kind], rtol=1e-5, atol=1e-5)
    speed.remove()
    torch.testing.assert_close(sample(parts.transformer), exact[kind], rtol=0, atol=0)


def test_cache_outside_of_a_generation_is_refused() -> None:
    """A training step would be answered from the one before."""
    parts = backbone()
    speed = apply_speed(parts, SpeedOptions(cache="taylor"))
    with pytest.raises(RuntimeError, match="wrap the sampling loop in generation"):
        sample(parts.transformer)
    sample(parts.transformer, speed)
    with pytest.raises(RuntimeError, match="wrap the sampling loop in generation"):
        predict(parts.transformer, torch.ones(1, 3, 3, 10, 6), 1.0, True)


def test_options_are_json() -> None:
    options = SpeedOptions(cache="mag", mag_ratios=[1.0, 0.98], offload="group", attention="native")
    assert SpeedOptions(**json.loads(json.dumps(asdict(options)))) == options
    assert hash(options) == hash(SpeedOptions(**asdict(options)))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"cache": "sea"}, "cache must be one of first_block, mag, pyramid, taylor or None, got 'sea'"),
        ({"offload": "disk"}, "offload must be one of"),
        ({"cache_threshold": 0.1}, "cache_threshold is for the caches first_block and mag, got cache=None"),
        ({"cache": "taylor", "cache_threshold": 0.1}, "cache_threshold is for"),
        ({"cache": "first_block", "cache_interval": 2}, "cache_interval is for"),
        ({"cache": "first_block", "cache_threshold": float("nan")}, "cache_threshold must be > 0"),
        ({"cache": "pyramid", "cache_interval": 1}, "cache_interval must be >= 2"),
        ({"cache": "mag"}, "calibrate_mag_cache measures the ratios"),
        ({"cache": "taylor", "mag_ratios": [1.0]}, "belong together"),
        ({"context_parallel": "ring", "attention": "native"}, "context_parallel=.ring. needs an attention"),
        ({"context_parallel": "ulysses", "offload": "group"}, "leave offload out"),
        ({"compile": True, "cache": "pyramid"}, "compile does nothing beside cache='pyramid'"),
        ({"compile": True, "storage": "float8"}, "compile does nothing beside storage='float8'"),
        ({"compile": True, "offload": "leaf"}, "compile does nothing beside offload='leaf'"),
    ],
)
def test_options_that_do_not_fit(given: dict, match: str, without_shape_checker: None) -> None:
    with pytest.raises(ValueError, match=match):
        SpeedOptions(**given)


def test_nothing_asked_for_changes_nothing(exact) -> None:
    parts = backbone()
    speed = apply_speed(parts, SpeedOptions())
    assert speed.found == {}
    torch.testing.assert_close(sample(parts.transformer, speed), exact["wan"], rtol=0, atol=0)
    assert apply_speed(object(), SpeedOptions()).found == {}
    with pytest.raises(ValueError, match="num_steps must be >= 1, got 0"), speed.generation(0):
        pass


def test_what_would_do_nothing_is_refused() -> None:
    """In diffusers 0.42 these are silent: the call returns, and every pass is as before."""
    with pytest.raises(ValueError, match="CogVideoXTransformer3DModel takes no attention backend"):
        apply_speed(backbone("cogvideox"), SpeedOptions(attention="native"))
    with pytest.raises(ValueError, match="Linear has no transformer of diffusers, so none of the speed"):
        apply_speed(nn.Linear(2, 3), SpeedOptions(storage="float8"))
    with pytest.raises(ValueError, match="must be a model of diffusers with cache_context, got Linear"):
        apply_speed(SimpleNamespace(transformer=nn.Linear(2, 3)), SpeedOptions(cache="taylor"))
    with pytest.raises(ValueError, match="needs two or more blocks, this WanTransformer3DModel has 1"):
        apply_speed(backbone(layers=1), SpeedOptions(cache="first_block"))
    parts = backbone()
    apply_speed(parts, SpeedOptions(cache="taylor"))
    with pytest.raises(ValueError, match="a cache is already on in this WanTransformer3DModel"):
        apply_speed(parts, SpeedOptions(cache="pyramid"))
    with pytest.raises(RuntimeError, match="attention='sage' cannot be used here"):
        apply_speed(backbone(), SpeedOptions(attention="sage"))
    experts = SimpleNamespace(transformer=transformer(), transformer_2=transformer())
    with pytest.raises(ValueError, match="this model has two experts"):
        apply_speed(experts, SpeedOptions(cache="mag", mag_ratios=[1.0]))


def test_cache_whose_hooks_do_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = backbone()
    monkeypatch.setattr(type(parts.transformer), "enable_cache", lambda self, config: None)
    with pytest.raises(ValueError, match="takes hold in 0 of 5 layers of WanTransformer3DModel"):
        apply_speed(parts, SpeedOptions(cache="first_block"))


def test_caches_of_diffusers_that_are_left_out() -> None:
    """TextKVCache reads the blocks of one image model, and no block of ours."""
    from diffusers.hooks import TextKVCacheConfig

    for kind in KINDS:
        model = transformer(kind)
        model.enable_cache(TextKVCacheConfig())
        assert not any(hasattr(module, "_diffusers_hook") for module in list(model.modules())[1:])


def test_bundled_model_has_no_switches() -> None:
    from diff4splat.backbones import get_backbone
    from diff4splat.hub import resolve_pretrained

    compact = get_backbone("compact", name_or_path=resolve_pretrained("compact") / "backbone")
    assert isinstance(compact, CompactBackbone)
    with pytest.raises(ValueError, match="CompactBackbone has no transformer of diffusers"):
        apply_speed(compact, SpeedOptions(offload="group"))


def test_two_experts_are_both_switched() -> None:
    experts = SimpleNamespace(transformer=transformer(), transformer_2=transformer())
    speed = apply_speed(experts, SpeedOptions(cache="taylor"))
    assert experts.transformer.is_cache_enabled and experts.transformer_2.is_cache_enabled
    speed.remove()
    assert not experts.transformer.is_cache_enabled and not experts.transformer_2.is_cache_enabled


class _Part(nn.Module):
    """Says where it would have gone instead of going there."""

    def __init__(self, name: str, log: list[tuple[str, str]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.name, self.log, self.place = name, log, "cpu"

    def parameters(self, recurse: bool = True):
        return iter((SimpleNamespace(device=torch.device(self.place)),))

    def to(self, place, *args, **kwargs):
        place = str(torch.device(place))
        if place != self.place:
            self.log.append((self.name, place))
        self.place = place
        return self

    def forward(self) -> None:
        pass


def test_one_part_at_a_time_in_any_order() -> None:
    """Stands in for a GPU: accelerate's own chain would leave the text encoder beside the transformer."""
    from contextlib import ExitStack

    log: list[tuple[str, str]] = []
    parts = {name: _Part(name, log) for name in ("text_encoder", "vae", "transformer")}
    for part in parts.values():
        part.eval()
    with ExitStack() as undo:
        offload_parts(parts, "model", torch.device("cuda:0"), undo)
        assert find_device(parts["vae"]) == torch.device("cuda:0")
        for name in ("vae", "text_encoder", "transformer", "transformer", "vae", "text_encoder"):
            parts[name]()
            assert [other for other, part in parts.items() if part.place == "cuda:0"] == [name]
        speed = AppliedSpeed(
            SpeedOptions(offload="model"), {}, torch.device("cuda:0"), (), ExitStack(), parts.values()
        )
        with speed.generation(3):
            parts["transformer"]()
            assert parts["transformer"].place == "cuda:0"
        assert {part.place for part in parts.values()} == {"cpu"}  # room for what reads the latents
    assert log[:4] == [("vae", "cuda:0"), ("vae", "cpu"), ("text_encoder", "cuda:0"), ("text_encoder", "cpu")]


def test_offload_without_a_gpu_or_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="offload needs a GPU to compute on"):
        apply_speed(backbone(), SpeedOptions(offload="group"))
    parts = backbone()
    parts.transformer.train()
    with pytest.raises(ValueError, match="offload is for inference"):
        apply_speed(parts, SpeedOptions(offload="group"), device="cpu")


def test_context_parallel_needs_a_plan_and_processes() -> None:
    with pytest.raises(ValueError, match="CogVideoXTransformer3DModel has no plan in diffusers"):
        apply_speed(backbone("cogvideox"), SpeedOptions(context_parallel="ulysses"))
    with pytest.raises(RuntimeError, match="torchrun --nproc-per-node 2"):
        apply_speed(backbone(), SpeedOptions(context_parallel="ulysses"))
