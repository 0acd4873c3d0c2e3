"""Estimates of memory and time set beside what is measured, for models of middle size with random weights.

Run `python benchmarks/preflight.py` (Linux). On the CPU memory is that of the process over what it held
before the pass, weights not included; on a GPU it is what torch allocated. Every case has a process of its
own, as memory that was freed may stay with the process. `--quick` takes small sizes.
"""

import json as json_files
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from measuring import Result, conclude, describe, machine, report, resident_bytes

from diff4splat.pipelines.costs import AUTOENCODERS, denoiser_activations, denoiser_flops, num_tokens
from diff4splat.pipelines.machine import matrix_rate
from diff4splat.pipelines.preflight import EFFICIENCY

_KERNELS = 20_000_000  # bytes that a process takes once for kernels; preflight counts them with the libraries
CASES = ("wan", "wan, times per token", "cogvideox", "wan decode", "wan encode", "cogvideox decode")


@dataclass(frozen=True)
class Pass:
    """A model, what it is called with, and what that should take."""

    module: torch.nn.Module
    call: Callable[[], Any]
    activations: float
    flops: float
    kind: str


def prepare(case: str, *, quick: bool, device: torch.device, dtype: torch.dtype) -> Pass:
    """The model of a case, with random weights, and its estimates."""
    frames, height, width = (9, 128, 192) if quick else (17, 256, 384)
    family = "cogvideox" if case.startswith("cogvideox") else "wan"
    cost = AUTOENCODERS[family, 16]
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        if case.endswith("code"):
            return _autoencoder(case, family, frames, height, width, device.type)
        dim, layers = (768, 2) if quick else (1536, 4)
        sizes: dict[str, Any] = {"family": family, "dim": dim, "num_layers": layers, "in_channels": 16}
        tokens = num_tokens(sizes, cost, frames, height, width)
        shape = ((frames - 1) // 4 + 1, height // 8, width // 8)
        if family == "wan":
            from diffusers import WanTransformer3DModel

            sizes |= {"ffn_dim": 4 * dim, "per_token_times": "token" in case}
            module: Any = WanTransformer3DModel(
                num_attention_heads=dim // 128, attention_head_dim=128, ffn_dim=4 * dim, num_layers=layers
            )
            inputs = {
                "hidden_states": torch.randn(1, 16, *shape),
                "timestep": torch.full((1, tokens) if "token" in case else (1,), 500.0),
                "encoder_hidden_states": torch.randn(1, 512, 4096),
            }
        else:
            from diffusers import CogVideoXTransformer3DModel

            sizes |= {"ffn_dim": 4 * dim, "text_tokens": 226}
            module = CogVideoXTransformer3DModel(
                num_attention_heads=dim // 64, num_layers=layers, use_rotary_positional_embeddings=True
            )
            inputs = {
                "hidden_states": torch.randn(1, shape[0], 16, *shape[1:]),
                "timestep": torch.full((1,), 500.0),
                "encoder_hidden_states": torch.randn(1, 226, 4096),
                "image_rotary_emb": (torch.randn(tokens, 64), torch.randn(tokens, 64)),
            }
    module.eval()
    element = dtype.itemsize
    return Pass(
        module,
        lambda: module(**inputs, return_dict=False),
        denoiser_activations(sizes, tokens, element),
        denoiser_flops(sizes, tokens),
        "denoise",
    )


def _autoencoder(case: str, family: str, frames: int, height: int, width: int, device: str) -> Pass:
    from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan

    cost, scale = AUTOENCODERS[family, 16], 0.5
    if family == "wan":
        module: Any = AutoencoderKLWan(base_dim=48)
    else:
        module = AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4,
            up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(64, 128, 128, 256),
            latent_channels=16,
            layers_per_block=3,
        )
    task = case.split()[-1]
    if task == "decode":
        latents = torch.randn(1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)

        def call() -> Any:
            return module.decode(latents, return_dict=False)
    else:
        video = torch.rand(1, 3, frames, height, width)

        def call() -> Any:
            return module.encode(video).latent_dist.mode()

    module.eval()
    element = torch.get_default_dtype().itemsize
    return Pass(
        module,
        call,
        element * cost.held(task, frames, height, width, scale=scale, on_cpu=device == "cpu"),
        cost.flops(task, frames, height, width, scale=scale),
        "autoencoder",
    )


def measure(case: str, *, quick: bool, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Estimated and measured memory, bytes, and time, seconds, of one pass."""
    work = prepare(case, quick=quick, device=device, dtype=dtype)
    with torch.no_grad():
        if device.type == "cuda":
            work.call()
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            start = time.perf_counter()
            work.call()
            torch.cuda.synchronize()
            seconds = time.perf_counter() - start
            held = torch.cuda.max_memory_allocated() - before
        else:
            before, start = resident_bytes("VmRSS"), time.perf_counter()
            held = _peak_resident(work.call) - before - _KERNELS
            seconds = time.perf_counter() - start
    rate = EFFICIENCY[device.type][work.kind] * matrix_rate(device, dtype)
    return {
        "estimated memory": work.activations,
        "measured memory": held,
        "estimated time": work.flops / rate,
        "measured time": seconds,
    }


def _peak_resident(call: Callable[[], Any]) -> int:
    """Most resident bytes while a function runs: the kernel's own mark may stem from before."""
    done, most = threading.Event(), [resident_bytes("VmRSS")]

    def watch() -> None:
        while not done.wait(0.002):
            most[0] = max(most[0], resident_bytes("VmRSS"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return most[0]


def main(
    quick: bool = False,
    device: str = "cpu",
    dtype: str = "float32",
    json: Path | None = None,
    case: str | None = None,
) -> None:
    """Print estimate over measurement for every case.

    Args:
        quick: Small sizes.
        device: Where to run.
        dtype: Floating-point type, such as bfloat16.
        json: File for the results.
        case: Run this case alone and print its numbers as JSON.
    """
    if case is not None:
        found = measure(case, quick=quick, device=torch.device(device), dtype=getattr(torch, dtype))
        print(json_files.dumps(found))
        return
    facts = machine()
    print(describe(facts))
    results: list[Result] = []
    for name in CASES:
        words = [sys.executable, __file__, "--case", name, "--device", device, "--dtype", dtype]
        words += ["--quick"] if quick else []
        # What is freed goes back to the system at once, as it does for tensors of real sizes.
        settings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        run = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=settings)
        output = run.stdout
        found = json_files.loads(output.splitlines()[-1])
        held, foreseen = found["measured memory"], found["estimated memory"]
        print(
            f"{name}: {foreseen / 1e6:.0f} MB foreseen, {held / 1e6:.0f} MB measured; "
            f"{found['estimated time']:.2f} s foreseen, {found['measured time']:.2f} s measured"
        )
        error = 100 * abs(foreseen / max(held, 1) - 1)
        times = found["estimated time"] / found["measured time"]
        results += report(
            [
                Result(name, "error of the memory", error, "%", goal=20),
                Result(name, "time foreseen / measured", times, "x"),
            ]
        )
    conclude(results, quick=quick, json=json, facts=facts)


if __name__ == "__main__":
    tyro.cli(main)
