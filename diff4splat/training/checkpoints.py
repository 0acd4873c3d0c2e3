"""Checkpoints of a run: weights, their running average and the optimiser, written whole or not at all."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from diff4splat.files import atomic_path, flush, read_safetensors, write_safetensors

__all__ = ["Checkpoint", "Checkpoints"]

_WEIGHTS, _AVERAGE, _OPTIMIZER, _STATE = "weights", "average", "optimizer", "state.json"
_OPTIONS = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on.

    Args:
        step: Steps that are done.
        seconds: Time that they took.
        weights: Trained weights by name.
        average: Their running average by name.
        optimizer: State of the optimisers by "name:key".
        shown: Running averages of what is shown.
        scaler: State of the scale of gradients in "fp16"; empty without one.
    """

    step: int
    seconds: float
    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    shown: Mapping[str, Any]
    scaler: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one stage of a run, each a folder of safetensors files and a state.json.

    A checkpoint is written under another name and renamed when all of it is on disk, so that a process that
    is killed at any moment leaves whole ones only.

    Args:
        folder: Where they are.
        keep: How many of the last ones stay.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def all(self) -> list[Path]:
        """Whole checkpoints.

        Returns:
            Their folders, the oldest first.
        """
        return sorted(path for path in self.folder.glob("[0-9]*") if (path / _STATE).is_file())

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and remove the oldest ones.

        Args:
            checkpoint: What to write.

        Returns:
            Its folder.

        Raises:
            OSError: If it cannot be written, for instance because the disk is full; what was there stays.
        """
        target = self.folder / f"{checkpoint.step:08d}"
        temporary = self.folder / f".{checkpoint.step:08d}.{os.getpid()}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            temporary.mkdir()
            for name in (_WEIGHTS, _AVERAGE, _OPTIMIZER):
                write_safetensors(temporary / f"{name}.safetensors", dict(getattr(checkpoint, name)), {})
            state = {
                "step": checkpoint.step,
                "seconds": checkpoint.seconds,
                "shown": dict(checkpoint.shown),
                "scaler": dict(checkpoint.scaler),
            }
            with atomic_path(temporary / _STATE) as path:
                path.write_text(json.dumps(state), encoding="utf-8")
            if target.exists():  # left by a run that was not told to go on from it
                shutil.rmtree(target)
            temporary.rename(target)
            flush(self.folder)  # before the older ones go
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            last = self.all()
            kept = f"the last good checkpoint is {last[-1]}" if last else "there is no earlier one"
            raise OSError(
                f"the checkpoint of step {checkpoint.step} cannot be written ({error}); {kept}."
            ) from error
        except BaseException:  # a request to stop
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for old in self.all()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def load(self) -> Checkpoint | None:
        """Read the last checkpoint.

        Returns:
            The checkpoint; None if there is none.

        Raises:
            ValueError: If a file of it is damaged.
        """
        last = self.all()
        if not last:
            return None
        state = json.loads((last[-1] / _STATE).read_text(encoding="utf-8"))
        tensors = {
            name: read_safetensors(last[-1] / f"{name}.safetensors")
            for name in (_WEIGHTS, _AVERAGE, _OPTIMIZER)
        }
        return Checkpoint(
            int(state["step"]),
            float(state["seconds"]),
            **tensors,
            shown=state["shown"],
            scaler=state.get("scaler", {}),  # checkpoints of earlier versions have none
        )

    def _remove_leftovers(self) -> None:
        """What killed processes left half written."""
        for path in self.folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)


def gather_weights(model: nn.Module, *, frozen: bool = False) -> dict[str, Tensor]:
    """Weights and buffers of a model, whole also where it is spread over processes.

    Args:
        model: As it is trained, wrapped or not.
        frozen: Include weights that are not trained.

    Returns:
        Copies on the CPU by name; on the first process only, where there are several.
    """
    options = replace(_OPTIONS, ignore_frozen_params=not frozen)
    weights: dict[str, Any] = get_model_state_dict(model, options=options)
    return {name: _own(value) for name, value in weights.items()}


def gather_optimizers(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """State of the optimisers of a model, whole also where it is spread over processes.

    Args:
        model: As it is trained, wrapped or not.
        optimizers: Its optimisers.

    Returns:
        Tensors on the CPU by "name:key"; on the first process only, where there are several.
    """
    # nothing but on the first process
    state: Any = get_optimizer_state_dict(model, list(optimizers), options=_OPTIONS).get("state", {})
    return {
        f"{name}:{key}": _own(torch.as_tensor(value))
        for name, values in state.items()
        for key, value in values.items()
    }


def restore(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], checkpoint: Checkpoint) -> None:
    """Put a checkpoint back.

    Args:
        model: As it is trained, wrapped or not.
        optimizers: Its optimisers.
        checkpoint: What `gather_weights` and `gather_optimizers` gave.

    Raises:
        ValueError: If the names are not those of the model.
    """
    expected = set(gather_weights(model))
    if expected and set(checkpoint.weights) != expected:
        other = sorted(expected ^ set(checkpoint.weights))
        raise ValueError(
            f"the checkpoint must hold the weights that are trained; these differ: {', '.join(other[:5])}."
        )
    set_model_state_dict(model, dict(checkpoint.weights), options=_OPTIONS)
    nested: dict[str, Any] = {}
    for full_name, value in checkpoint.optimizer.items():
        name, _, key = full_name.rpartition(":")
        nested.setdefault(name, {})[key] = value
    on_each = replace(_OPTIONS, cpu_offload=False)
    current = get_optimizer_state_dict(model, list(optimizers), options=on_each)
    set_optimizer_state_dict(
        model, list(optimizers), {"state": nested, "param_groups": current["param_groups"]}, options=_OPTIONS
    )


def _own(value: Tensor) -> Tensor:
    return value.detach().cpu().clone().contiguous()
