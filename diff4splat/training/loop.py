"""One training loop for every part: rate schedule, progress, log, atomic checkpoints, resume."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from diff4splat.files import atomic_path
from diff4splat.hub import HubModule

__all__ = ["LoopConfig", "run_loop"]

_STATE = "state.pt"


@dataclass(frozen=True)
class LoopConfig:
    """Numbers of a training run.

    Args:
        steps: Optimiser steps in all, those before a resume included.
        learning_rate: Rate after warm-up.
        weight_decay: Decay of matrices; vectors are not decayed.
        warmup: Steps of linear warm-up.
        cooldown: Last share of the steps over which the rate falls linearly, to 2 % of its height.
        clip: Largest gradient norm.
        save_every: Steps between checkpoints.
        seed: Seed of every draw that training makes.
        bfloat16: Whether matrix products run in bfloat16.
        average: Decay of the running average of the weights, which is what is kept; 0 keeps the last weights.
    """

    steps: int = 10_000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: int = 100
    cooldown: float = 0.25
    clip: float = 1.0
    save_every: int = 200
    seed: int = 0
    bfloat16: bool = True
    average: float = 0.998


def run_loop(
    module: HubModule,
    batches: Callable[[int], Iterator[Any]],
    losses: Callable[[Any, torch.Generator], dict[str, Tensor]],
    folder: str | Path,
    config: LoopConfig,
    *,
    name: str = "train",
    trainable: Callable[[str], bool] | None = None,
) -> HubModule:
    """Train `module` until `config.steps`, going on from the checkpoint in `folder` when there is one.

    Args:
        module: What is trained, in place.
        batches: Endless batches, given the step that the first one is for: 0, or where a run is continued.
        losses: Named losses of a batch; "loss" is minimised, the others are shown. Its generator is the only
            source of randomness.
        folder: Where `state.pt`, `log.jsonl` and the module are written.
        config: Numbers of the run.
        name: Shown beside the progress bar.
        trainable: Which parameters, by name, are trained; all when omitted.

    Returns:
        The module with averaged weights, as also saved in `folder`.

    Raises:
        ValueError: If the loss is not finite; the last checkpoint stays.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    named = [(n, p) for n, p in module.named_parameters() if trainable is None or trainable(n)]
    for parameter_name, parameter in module.named_parameters():
        parameter.requires_grad_(trainable is None or trainable(parameter_name))
    optimizers = _optimizers(named, config)
    average = {n: p.detach().clone() for n, p in named}
    generator = torch.Generator().manual_seed(config.seed)
    first, seconds_before = _resume(folder / _STATE, module, optimizers, average, generator)
    steps = tqdm(
        range(first, config.steps),
        total=config.steps,
        initial=first,
        desc=name,
        smoothing=0.02,
        dynamic_ncols=True,
    )
    source = batches(first) if first < config.steps else iter(())
    shown: dict[str, float] = {}
    started = time.monotonic()
    module.train()
    for step in steps:
        rate = _learning_rate(step, config)
        batch = next(source)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.bfloat16):
            values = losses(batch, generator)
        loss = values["loss"]
        if not torch.isfinite(loss):
            steps.close()
            raise ValueError(f"loss must be finite, got {loss.item()} at step {step}; resume from {folder}.")
        loss.backward()
        norm = nn.utils.clip_grad_norm_([p for _, p in named], config.clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        decay = min(config.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for parameter_name, parameter in named:
                average[parameter_name].lerp_(parameter, 1 - decay)
        for key, value in {**values, "norm": norm}.items():
            number = value.item()
            old = shown.get(key, number)
            shown[key] = old + 0.02 * (number - old)
        if step % 10 == 0:
            steps.set_postfix({key: f"{value:.3g}" for key, value in shown.items()})
        done = step + 1
        if done % config.save_every == 0 or done == config.steps:
            seconds = round(seconds_before + time.monotonic() - started, 1)
            _save(folder, module, optimizers, average, generator, done, seconds)
            record = {"step": done, "seconds": seconds, "seed": config.seed, "rate": rate, **shown}
            with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
    _load_average(module, average)
    return module.eval()


def _optimizers(named: list[tuple[str, nn.Parameter]], config: LoopConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the network where torch has it, AdamW for everything else."""
    hidden = [p for n, p in named if p.ndim == 2 and min(p.shape) >= 32 and "embedding" not in n]
    if not hasattr(torch.optim, "Muon"):
        hidden = []
    chosen = {id(p) for p in hidden}
    matrices = [p for _, p in named if id(p) not in chosen and p.ndim >= 2]
    vectors = [p for _, p in named if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW([g for g in groups if g["params"]], lr=config.learning_rate, betas=(0.9, 0.98))
    ]
    if hidden:
        optimizers.append(
            torch.optim.Muon(
                hidden,
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return optimizers


def _learning_rate(step: int, config: LoopConfig) -> float:
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    cool_steps = max(1, math.ceil(config.cooldown * config.steps))
    return config.learning_rate * min(warm, max(0.02, (config.steps - step) / cool_steps), 1.0)


def _save(
    folder: Path,
    module: HubModule,
    optimizers: list[torch.optim.Optimizer],
    average: dict[str, Tensor],
    generator: torch.Generator,
    step: int,
    seconds: float,
) -> None:
    state = {
        "step": step,
        "seconds": seconds,
        "module": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "average": average,
        "generator": generator.get_state(),
    }
    with atomic_path(folder / _STATE) as temporary:
        torch.save(state, temporary)
    weights = {n: p.detach().clone() for n, p in module.named_parameters()}
    _load_average(module, average)
    module.save_pretrained(folder / "averaged")
    with torch.no_grad():
        for parameter_name, parameter in module.named_parameters():
            parameter.copy_(weights[parameter_name])


def _resume(
    path: Path,
    module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    average: dict[str, Tensor],
    generator: torch.Generator,
) -> tuple[int, float]:
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    module.load_state_dict(state["module"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    for parameter_name, value in state["average"].items():
        average[parameter_name].copy_(value)
    generator.set_state(state["generator"])
    return int(state["step"]), float(state["seconds"])


def _load_average(module: nn.Module, average: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for parameter_name, parameter in module.named_parameters():
            if parameter_name in average:
                parameter.copy_(average[parameter_name])
