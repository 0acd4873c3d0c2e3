"""What each speed switch saves and costs, for a Wan transformer of random weights.

Run `python benchmarks/speed_switches.py`; `--quick` takes a tiny one. All times are over that of the plain
transformer, in turns in one process. The weights are random: how many blocks a cache skips, and at what
error, is another matter for trained ones (`count_blocks` counts them); times per skipped block and memory are
not. Memory is the peak on a GPU, and the size of the weights on the CPU, where offloading moves nothing.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import torch
import tyro
from measuring import Result, conclude, describe, fastest, machine, report
from torch import Tensor

from diff4splat.backbones.feature_caching import calibrate_mag_cache, count_blocks
from diff4splat.backbones.speed import SpeedOptions, apply_speed
from diff4splat.diffusion import ConstantGuidance, CosineGuidance, euler_sample, network_passes


@dataclass(frozen=True)
class Size:
    """A transformer and a clip: 16 latent channels, latent frames and cells."""

    heads: int = 12
    layers: int = 30
    ffn: int = 8960
    frames: int = 13
    height: int = 60
    width: int = 104
    steps: int = 20
    text: int = 512


QUICK = Size(heads=2, layers=4, ffn=96, frames=3, height=6, width=8, steps=6, text=16)
ON_CPU = replace(QUICK, heads=4, layers=8, ffn=1024, frames=3, height=16, width=16, steps=10, text=64)


def transformer(size: Size, device: torch.device) -> SimpleNamespace:
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    torch.manual_seed(0)
    model = WanTransformer3DModel(
        num_attention_heads=size.heads,
        attention_head_dim=128 if size.heads > 4 else 32,
        num_layers=size.layers,
        ffn_dim=size.ffn,
        text_dim=4096 if size.heads > 4 else 64,
    )
    model.eval().requires_grad_(False)
    return SimpleNamespace(transformer=model.bfloat16() if device.type == "cuda" else model)


def sampler(
    model: torch.nn.Module, size: Size, device: torch.device, guidance: object
) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(1)
    text = torch.randn(2, 1, size.text, model.config.text_dim, generator=generator).to(device, model.dtype)
    noise = torch.randn(1, 16, size.frames, size.height, size.width, generator=generator).to(device)

    def velocity(latents: Tensor, time: Tensor, conditional: bool) -> Tensor:
        with model.cache_context("cond" if conditional else "uncond"):
            return model(
                hidden_states=latents.to(model.dtype),
                timestep=1000 * time,
                encoder_hidden_states=text[int(conditional)],
                return_dict=False,
            )[0].to(latents)

    return lambda: euler_sample(velocity, noise, num_steps=size.steps, guidance=guidance)


def memory(model: torch.nn.Module, device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())


def switches(device: torch.device, ratios: list[float]) -> dict[str, SpeedOptions]:
    cuda = {
        "cudnn attention": SpeedOptions(attention="_native_cudnn"),
        "compile": SpeedOptions(compile=True),
        "compile, first_block": SpeedOptions(compile=True, cache="first_block"),
    }
    return {
        "first_block": SpeedOptions(cache="first_block"),
        "mag": SpeedOptions(cache="mag", mag_ratios=ratios),
        "taylor": SpeedOptions(cache="taylor", cache_interval=3),
        "pyramid": SpeedOptions(cache="pyramid"),
        "float8": SpeedOptions(storage="float8"),
        "offload by block": SpeedOptions(offload="group"),
        "offload by layer": SpeedOptions(offload="leaf"),
        **(cuda if device.type == "cuda" else {}),
    }


@torch.no_grad()
def main(
    quick: bool = False, device: str = "auto", rounds: int = 2, json: Path | None = None
) -> list[Result]:
    """Measure all switches that this machine has.

    Args:
        quick: Tiny, to see that it runs.
        device: auto, cpu or cuda.
        rounds: Generations of each kind; the fastest counts.
        json: Where to write the results.

    Returns:
        The results.
    """
    facts = machine()
    print(describe(facts))
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else None
    place = torch.device(device) if place is None else place
    size = QUICK if quick else Size() if place.type == "cuda" else ON_CPU

    def timed(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def call() -> Tensor:
            result = run()
            if place.type == "cuda":
                torch.cuda.synchronize()
            return result

        return call

    def peak(model: torch.nn.Module, run: Callable[[], Tensor]) -> tuple[Tensor, int]:
        gc.collect()
        if place.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        return run(), memory(model, place)

    guidance = CosineGuidance()
    plain = transformer(size, place).transformer.to(place)
    with calibrate_mag_cache(plain, size.steps) as ratios:
        sampler(plain, size, place, guidance)()
    run = timed(sampler(plain, size, place, guidance))
    with count_blocks(plain) as count:
        exact, bytes_plain = peak(plain, run)
    results = [
        Result("plain", "passes", count.passes, ""),
        Result(
            "plain",
            "passes of a constant scale",
            network_passes(ConstantGuidance(6.0), size.steps),
            "",
        ),
        Result("plain", "memory", bytes_plain / 2**20, "MB"),
    ]
    plain.cpu()
    for name, options in switches(place, ratios).items():
        parts = transformer(size, place)
        if options.offload is None:
            parts.transformer.to(place)
        speed = apply_speed(parts, options, device=place)
        bare = sampler(parts.transformer, size, place, guidance)

        def switched(bare: Callable[[], Tensor] = bare, speed: object = speed) -> Tensor:
            with speed.generation(size.steps):
                return bare()

        if options.compile:
            switched()
            share = float("nan")
            result, peak_bytes = peak(parts.transformer, switched)
        else:
            with count_blocks(parts.transformer) as count:
                result, peak_bytes = peak(parts.transformer, switched)
            share = count.share
        plain.to(place)
        seconds = fastest([timed(switched), run], rounds)
        plain.cpu()
        error = float((result - exact).norm() / exact.norm())
        results += [
            Result(name, "blocks computed, share", share, ""),
            Result(name, "time over plain", seconds[0] / seconds[1], "x"),
            Result(name, "memory over plain", peak_bytes / bytes_plain, "x"),
            Result(name, "error", error, ""),
        ]
        del parts, speed, bare, switched
    report(results)
    conclude(results, quick=quick, json=json, facts=facts)
    return results


if __name__ == "__main__":
    tyro.cli(main)
