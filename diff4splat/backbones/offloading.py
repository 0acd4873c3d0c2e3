"""Weights in main memory, on the GPU only while they are needed."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import nn

__all__ = ["Offload", "find_device", "offload_parts"]

Offload = Literal["model", "group", "leaf"]
"""How much is on the GPU at a time: one part, one block, one layer."""


def find_device(module: nn.Module) -> torch.device:
    """Where a module computes, also if its weights rest elsewhere.

    Args:
        module: A part of a video model, offloaded or not.

    Returns:
        The device that inputs are wanted on; the CPU for a module without weights.
    """
    for inner in module.modules():
        placed = getattr(getattr(inner, "_hf_hook", None), "execution_device", None)
        if placed is not None:
            return torch.device(placed)
        registry = getattr(inner, "_diffusers_hook", None)
        hook = None if registry is None else registry.get_hook("group_offloading")
        if hook is not None:
            return hook.config.onload_device
    tensors = (*module.parameters(), *module.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def offload_parts(
    parts: Mapping[str, nn.Module], offload: Offload, device: torch.device, undo: ExitStack
) -> str:
    """Keep the weights of parts in main memory and bring them to a device when they are needed.

    Args:
        parts: Text encoder, autoencoder, transformer and the like, by name.
        offload: How much is on the device at a time.
        device: Where to compute.
        undo: Receives what takes the hooks off again.

    Returns:
        What was done, in words.

    Raises:
        ModuleNotFoundError: If "model" is asked for and accelerate is missing.
        RuntimeError: If a part did not take the hook.
    """
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    for name, part in parts.items():
        if part.training:
            raise ValueError(f"offload is for inference, got a {name} in training mode: call eval() first.")
    if offload == "model":
        _one_part_at_a_time(parts, device, undo)
    else:
        for name, part in parts.items():
            _stream_weights(name, part, offload, device, undo)
    for name, part in parts.items():
        if find_device(part) != device:
            raise RuntimeError(f"offload did not take hold of the {name} ({type(part).__name__}).")
    amount = {"model": "part", "group": "block", "leaf": "layer"}[offload]
    return f"{', '.join(parts)}: one {amount} at a time on {device}"


def _stream_weights(
    name: str, part: nn.Module, offload: Offload, device: torch.device, undo: ExitStack
) -> None:
    from diffusers.hooks import apply_group_offloading

    # Blocks are a list of the transformer; the other parts have none that diffusers finds.
    by_block = offload == "group" and name.startswith("transformer")
    apply_group_offloading(
        part,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level" if by_block else "leaf_level",
        num_blocks_per_group=1 if by_block else None,
        use_stream=device.type == "cuda",
    )
    undo.callback(_resume, part)


def _resume(part: nn.Module) -> None:
    from diffusers.hooks import HookRegistry

    registry = HookRegistry.check_if_exists_or_initialize(part)
    for hook in ("group_offloading", "lazy_prefetch_group_offloading", "layer_execution_tracker"):
        registry.remove_hook(hook, recurse=True)


def _one_part_at_a_time(parts: Mapping[str, nn.Module], device: torch.device, undo: ExitStack) -> None:
    try:
        from accelerate.hooks import CpuOffload, add_hook_to_module, remove_hook_from_module
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'offload="model" needs accelerate: pip install accelerate', name="accelerate"
        ) from None

    class OnePartAtATime(CpuOffload):
        """Sends all other parts away first; accelerate's own hook knows one predecessor only."""

        def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            for other in parts.values():
                if other is not module and next(other.parameters()).device == device:
                    other.to("cpu")
            return super().pre_forward(module, *args, **kwargs)

    for part in parts.values():
        add_hook_to_module(part, OnePartAtATime(execution_device=device))
        undo.callback(remove_hook_from_module, part)
