"""Optimisers of a stage, and their rate over its steps."""

import math

import torch
from torch import nn

from diff4splat.training.recipe import Stage

__all__ = ["learning_rate", "make_optimizers"]


def make_optimizers(module: nn.Module, stage: Stage) -> list[torch.optim.Optimizer]:
    """Optimisers of the parameters that require gradients.

    Args:
        module: What is trained.
        stage: `optimizer`, `learning_rate` and `weight_decay` count.

    Returns:
        AdamW, which decays matrices only; with "muon" and where torch has it, Muon for the matrices inside
        the network and AdamW for the rest.

    Raises:
        ValueError: If nothing is trained.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError(f"stage {stage.name!r} must train parameters, got none: all of them are frozen.")
    inner: list[nn.Parameter] = []
    if stage.optimizer == "muon" and hasattr(torch.optim, "Muon"):
        inner = [p for n, p in named if p.ndim == 2 and min(p.shape) >= 32 and "embedding" not in n]
    chosen = {id(p) for p in inner}
    groups = [
        {
            "params": [p for _, p in named if id(p) not in chosen and p.ndim >= 2],
            "weight_decay": stage.weight_decay,
        },
        {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizers: list[torch.optim.Optimizer] = []
    if groups:
        optimizers.append(torch.optim.AdamW(groups, lr=stage.learning_rate, betas=(0.9, 0.98)))
    if inner:
        optimizers.append(
            torch.optim.Muon(
                inner, lr=stage.learning_rate, weight_decay=stage.weight_decay, adjust_lr_fn="match_rms_adamw"
            )
        )
    return optimizers


def learning_rate(step: int, stage: Stage) -> float:
    r"""Rate of a step.

    $$\eta_i = \eta \min\!\left(1, \frac{i + 1}{w}\right) r_i, \qquad
      r_i = \tfrac12 \left(1 + \cos \pi \frac{i}{n}\right) \ \text{or} \
      \min\!\left(1, \max\!\left(0.02, \frac{n - i}{c\, n}\right)\right)$$

    for "cosine" and "trapezoid", with $n$ steps, $w$ of warm-up and the share $c$ of cool-down.

    Args:
        step: Number $i$ of the step, from 0.
        stage: The other numbers.

    Returns:
        The rate.
    """
    warm = min(1.0, (step + 1) / max(stage.warmup, 1))
    if stage.schedule == "cosine":
        shape = 0.5 * (1 + math.cos(math.pi * step / stage.steps))
    else:
        cooling = max(1, math.ceil(stage.cooldown * stage.steps))
        shape = min(1.0, max(0.02, (stage.steps - step) / cooling))
    return stage.learning_rate * warm * shape
