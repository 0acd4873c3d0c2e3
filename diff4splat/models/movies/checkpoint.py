"""The published weights of MoVieS, `movies_ckpt.safetensors`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from diff4splat.files import read_safetensors
from diff4splat.hub import load_state, resolve_pretrained
from diff4splat.models.movies.network import MoVieS

__all__ = ["CHECKPOINT_NAME", "load_movies_checkpoint", "load_movies_network"]

CHECKPOINT_NAME = "movies_ckpt.safetensors"
"""File of the published weights in their repository."""

_FILES = (CHECKPOINT_NAME, "config.json", "model.safetensors")  # not the other weights of a repository
_PREFIX = "backbone."  # of every name: the network is a part of the module that was trained


def load_movies_checkpoint(network: MoVieS, path: str | os.PathLike[str]) -> None:
    """Load a file of the published layout, every tensor of it, into a network of its size.

    Args:
        network: Receives the values in its own floating types, on its own device.
        path: The file, a safetensors file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a pickle, damaged, of another model, or names, shapes or types differ; lists the
            first of them, under the names of the network.
    """
    path = Path(path)
    state = read_safetensors(path)
    if not any(name.startswith(_PREFIX) for name in state):
        raise ValueError(
            f"{path} is no checkpoint of MoVieS: names must begin with {_PREFIX!r}, got {sorted(state)[:1]}."
        )
    load_state(network, {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}, source=path)


def load_movies_network(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    dtype: torch.dtype = torch.float32,
    sizes: Mapping[str, Any] | None = None,
) -> MoVieS:
    """A network with its weights, from a file, a folder or the Hub.

    Args:
        name_or_path: A file of the published layout, or a folder or Hub id that holds one under its published
            name, or what `MoVieS.save_pretrained` wrote.
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        dtype: Floating type of the encoder and the Transformer. The heads are in float32 at least: half
            precision is too coarse for depth.
        sizes: Arguments of `MoVieS` where a file of the published layout is of another size.

    Returns:
        The network on the CPU in evaluation mode.

    Raises:
        FileNotFoundError: If nothing is found; says where it was looked for.
        TypeError: If `dtype` is not floating point.
        ValueError: If a file is damaged or not of MoVieS, or a revision is given for what is not on the Hub.
    """
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point type such as torch.bfloat16, got {dtype!r}.")
    path = Path(name_or_path).expanduser()
    if path.is_file():
        if revision is not None:
            raise ValueError(
                f"revision must be None for what is not on the Hub, got {revision!r} for {path}."
            )
    else:
        folder = resolve_pretrained(
            name_or_path, revision=revision, local_files_only=local_files_only, files=_FILES
        )
        path = folder / CHECKPOINT_NAME
        if not path.is_file() and (folder / "config.json").is_file():
            return _in_type(MoVieS.from_pretrained(folder), dtype)
        if not path.is_file():
            raise FileNotFoundError(f"{folder} holds neither {CHECKPOINT_NAME} nor a saved MoVieS.")
    with torch.device("meta"):  # a thousand million weights are not drawn in order to be overwritten
        network = MoVieS(**(sizes or {}))
    network = _in_type(network, dtype).to_empty(device="cpu")
    load_movies_checkpoint(network, path)
    return network.eval()


def _in_type(network: MoVieS, dtype: torch.dtype) -> MoVieS:
    for name, part in network.named_children():
        part.to(torch.promote_types(dtype, torch.float32) if name.endswith("_head") else dtype)
    return network
