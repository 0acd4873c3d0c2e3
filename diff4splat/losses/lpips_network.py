"""The network of LPIPS with weights from the cache, from a file, or drawn."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import nn

__all__ = ["LpipsNet", "lpips_network"]

LpipsNet = Literal["vgg", "alex", "squeeze"]
"""Image network: "vgg" (as usual for a loss), "alex" (as usual for a metric) or "squeeze" (smallest)."""


def lpips_network(
    net: LpipsNet,
    *,
    weights: str | Path | None = None,
    seed: int | None = None,
    download: bool = False,
) -> tuple[nn.Module, Path | None]:
    """LPIPS with frozen weights: the heads of the package `lpips` on an image network.

    Args:
        net: Image network.
        weights: File with the weights of the image network, as torchvision saves them; the local torch cache
            when omitted.
        seed: Draws the weights of the image network instead, by a seed; the heads are the trained ones.
        download: Fetch the weights of the image network if they are not in the cache.

    Returns:
        The network in evaluation mode, and the file its weights came from, None if they were drawn.

    Raises:
        ModuleNotFoundError: If `lpips` or torchvision is not installed.
        ValueError: If `net` is unknown, both `weights` and `seed` are given, or the file holds weights of
            another network.
        FileNotFoundError: If the weights are neither where they should be nor to be downloaded.
    """
    try:
        import lpips
        from torchvision import models
    except ImportError as error:
        raise ModuleNotFoundError(
            "The perceptual distance needs lpips and torchvision: pip install lpips torchvision. "
            "A loss does without it by network=... or perceptual_weight=0."
        ) from error
    if net not in get_args(LpipsNet):
        raise ValueError(f"net must be one of {sorted(get_args(LpipsNet))}, got {net!r}.")
    if weights is not None and seed is not None:
        raise ValueError("weights and seed must not be given both: weights are read or drawn.")
    url = {
        "vgg": models.VGG16_Weights.IMAGENET1K_V1,
        "alex": models.AlexNet_Weights.IMAGENET1K_V1,
        "squeeze": models.SqueezeNet1_1_Weights.IMAGENET1K_V1,
    }[net].url
    file = None if seed is not None else _weights_file(net, url, weights, download)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # lpips calls torchvision with arguments that torchvision deprecates; users can do nothing about it.
        warnings.simplefilter("ignore")
        if seed is not None:
            torch.manual_seed(seed)
        from_cache = file is not None and weights is None
        model = lpips.LPIPS(net=net, pnet_rand=not from_cache, verbose=False)
    if file is not None and weights is not None:
        _load_image_network(model.net, file, net)
    return model.eval().requires_grad_(False), file


def _weights_file(net: LpipsNet, url: str, weights: str | Path | None, download: bool) -> Path:
    if weights is not None:
        if not Path(weights).is_file():
            raise FileNotFoundError(f"weights must be a file with the {net} weights, got {weights}.")
        return Path(weights)
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not file.is_file() and not download:
        raise FileNotFoundError(
            f"LPIPS needs the {net} weights of torchvision, which are not at {file}. Fetch them once "
            f"with LpipsDistance({net!r}, download=True), or copy {url} there. A loss does without them by "
            "network=... or perceptual_weight=0."
        )
    return file


def _load_image_network(network: nn.Module, file: Path, net: LpipsNet) -> None:
    """Weights of torchvision, `features.3.weight`, into the slices of lpips, `slice2.3.weight`."""
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"weights must be a file with the {net} weights of torchvision, got {file}, which is damaged or "
            "holds more than tensors."
        ) from error
    if not isinstance(found, Mapping):
        raise ValueError(
            f"weights must be those of {net} of torchvision, got {file}, a {type(found).__name__}."
        )
    wanted = network.state_dict()
    names = {name: "features." + name.partition(".")[2] for name in wanted}
    bad = [name for own, name in names.items() if name not in found or found[name].shape != wanted[own].shape]
    if bad:
        raise ValueError(f"weights must be those of {net} of torchvision, got {file} without {bad[0]}.")
    network.load_state_dict({own: found[name] for own, name in names.items()})
