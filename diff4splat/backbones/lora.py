"""Low-rank updates of a video transformer, such as the few-step ones, added to its weights."""

import os
import re
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diff4splat.files import read_safetensors

__all__ = ["merge_lora"]

_PREFIXES = ("diffusion_model.", "base_model.model.", "transformer.")
_ENDS = {
    "lora_A.weight": "down",
    "lora_A.default.weight": "down",
    "lora_down.weight": "down",
    "lora_B.weight": "up",
    "lora_B.default.weight": "up",
    "lora_up.weight": "up",
    "alpha": "alpha",
    "diff": "weight",
    "diff_b": "bias",
}
# Names of the original Wan code, and of diffusers; the later norms of a block change places.
_RENAMES = (
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"(attn[12])\.([qkv])$", r"\1.to_\2"),
    (r"(attn[12])\.o$", r"\1.to_out.0"),
    (r"(attn2)\.([kv])_img$", r"\1.add_\2_proj"),
    (r"(attn2)\.norm_k_img$", r"\1.norm_added_k"),
    (r"\.ffn\.0$", ".ffn.net.0.proj"),
    (r"\.ffn\.2$", ".ffn.net.2"),
    (r"^(blocks\.\d+)\.norm3$", r"\1.norm2"),
    (r"^text_embedding\.0$", "condition_embedder.text_embedder.linear_1"),
    (r"^text_embedding\.2$", "condition_embedder.text_embedder.linear_2"),
    (r"^time_embedding\.0$", "condition_embedder.time_embedder.linear_1"),
    (r"^time_embedding\.2$", "condition_embedder.time_embedder.linear_2"),
    (r"^time_projection\.1$", "condition_embedder.time_proj"),
    (r"^head\.head$", "proj_out"),
)


class _Change(NamedTuple):
    weight: nn.Parameter
    terms: dict[str, Tensor]


def merge_lora(transformer: nn.Module, path: str | os.PathLike[str], *, scale: float = 1.0) -> int:
    r"""Add the low-rank update of a file to the weights of a transformer.

    $$W \leftarrow W + s \, \frac{\alpha}{r} \, B A$$

    with $s$ = `scale`, $A$ and $B$ the matrices of the file, $r$ the rows of $A$, and $\alpha$ from the file,
    $r$ where it says none. Biases and whole weights that a file holds as differences are added too.
    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", Sec. 4.1.

    A few-step model wants its own number of steps and no guidance: `generate(..., num_steps=4,
    guidance=ConstantGuidance(1.0))`. To undo, load the model again. A pipeline that is saved with a reference
    to the public weights does not hold the update: merge again after loading, or save the backbone itself.

    Args:
        transformer: A transformer of diffusers; `merge_lora` comes before `apply_speed`.
        path: A safetensors file with the names of diffusers or of the original Wan code.
        scale: Strength; -1 takes the update off again, up to rounding.

    Returns:
        Number of weights that were changed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no such update or was made for another model, or the weights of the
            transformer have been offloaded or stored in 8 bits.
    """
    name, kind = os.fspath(path), type(transformer).__name__
    if any(getattr(getattr(part, "_diffusers_hook", None), "hooks", None) for part in transformer.modules()):
        raise ValueError("merge_lora comes before apply_speed: weights that are stored elsewhere would stay.")
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in read_safetensors(path).items():
        layer, term = _parse(key, name)
        groups.setdefault(layer, {})[term] = tensor
    if not groups:
        raise ValueError(f"{name} holds no tensors.")
    weights = dict(transformer.named_parameters())
    changes = [
        change for layer, terms in groups.items() for change in _changes(layer, terms, weights, name, kind)
    ]
    with torch.no_grad():  # only now: a file that does not fit changes nothing
        for weight, terms in changes:
            weight.copy_(weight.float() + scale * _difference(terms).to(weight.device).reshape(weight.shape))
    return len(changes)


def _parse(key: str, file: str) -> tuple[str, str]:
    """Layer in the names of diffusers, and which term of its update a tensor is."""
    end = next((end for end in _ENDS if key.endswith("." + end)), None)
    if end is None:
        raise ValueError(f"{file} is no LoRA file: it holds {key}, and no matrix of a LoRA is called that.")
    layer = key[: -len(end) - 1]
    for prefix in _PREFIXES:
        layer = layer.removeprefix(prefix)
    for pattern, replacement in _RENAMES:
        layer = re.sub(pattern, replacement, layer)
    return layer, _ENDS[end]


def _changes(
    layer: str, terms: dict[str, Tensor], weights: dict[str, nn.Parameter], file: str, kind: str
) -> list[_Change]:
    found = []
    for part, names in (("weight", ("down", "up", "alpha", "weight")), ("bias", ("bias",))):
        own = {name: terms[name] for name in names if name in terms}
        if not own:
            continue
        weight = weights.get(f"{layer}.{part}")
        if weight is None:
            raise ValueError(
                f"{file} was made for another model: this {kind} has no {layer}.{part}; take the LoRA of the "
                "same base."
            )
        if ("down" in own) != ("up" in own) or own.keys() == {"alpha"}:
            raise ValueError(f"{file} is damaged: of {layer} it holds {', '.join(own)} only.")
        shape = _shape(own)
        if shape[:2] != tuple(weight.shape[:2]) or _difference_size(own) != weight.numel():
            raise ValueError(
                f"{file} was made for another model: {layer}.{part} is {list(shape)} there and "
                f"{list(weight.shape)} in this {kind}; take the LoRA of the same base."
            )
        found.append(_Change(weight, own))
    return found


def _shape(terms: dict[str, Tensor]) -> tuple[int, ...]:
    if "up" in terms:
        return (terms["up"].shape[0], *terms["down"].shape[1:])
    return tuple(next(iter(terms.values())).shape)


def _difference_size(terms: dict[str, Tensor]) -> int:
    if "up" in terms:
        ranks = terms["up"].flatten(1).shape[1], terms["down"].shape[0]
        return terms["up"].shape[0] * terms["down"][0].numel() if ranks[0] == ranks[1] else -1
    return next(iter(terms.values())).numel()


def _difference(terms: dict[str, Tensor]) -> Tensor:
    """What is added, flat or in shape."""
    total = sum(terms[name].float() for name in ("weight", "bias") if name in terms)
    if "up" not in terms:
        return torch.as_tensor(total)
    down, up = terms["down"].float().flatten(1), terms["up"].float().flatten(1)
    product = up @ down * (float(terms["alpha"]) / len(down) if "alpha" in terms else 1.0)
    return product if "weight" not in terms else product + torch.as_tensor(total).reshape(product.shape)
