"""Depth of a photograph by a model of the transformers library."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["monocular_depth"]

_METRIC = ("depth_pro", "glpn", "zoedepth")
_DISPARITY = ("dpt",)


def monocular_depth(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    device: str | torch.device | None = None,
) -> Callable[["Image"], tuple[Float[Tensor, "height width"], Literal["metric", "disparity"]]]:
    """A depth estimator for photographs, run by the "depth-estimation" pipeline of transformers.

    Args:
        name_or_path: Hub id or folder of a depth model, for instance
            "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf".
        revision: Branch, tag or commit on the Hub.
        local_files_only: Use what the Hub cache holds, without network.
        device: Where it runs; the CPU when omitted.

    Returns:
        A function. Of an upright RGB picture it gives float32 values of its size and what they are, "metric"
        for z-depth in metres, "disparity" for inverse z-depth up to scale and shift, see
        `diff4splat.pipelines.DepthPrior`.

    Raises:
        ModuleNotFoundError: If transformers is missing; the message says how to install it.
        FileNotFoundError: If there is no such model, or it cannot be fetched.
        ValueError: If it is not known whether the model gives metres or disparity.
    """
    try:
        from transformers import AutoConfig, AutoImageProcessor, AutoModelForDepthEstimation, pipeline
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "transformers":
            raise
        raise ModuleNotFoundError(
            "monocular_depth needs transformers: pip install 'diff4splat[diffusers]'", name="transformers"
        ) from None
    name = os.fspath(name_or_path)
    folder = Path(name)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise FileNotFoundError(f"no depth model {name!r}: the folder holds no config.json.")
    # a folder must not be looked for on the Hub when a file of it is missing
    options: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only or folder.is_dir()}
    try:
        kind = _kind(AutoConfig.from_pretrained(name, **options), name)
        model = AutoModelForDepthEstimation.from_pretrained(name, use_safetensors=True, **options)
        processor = AutoImageProcessor.from_pretrained(name, **options)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(f"no depth model {name!r}: {reason}") from None
    run = pipeline("depth-estimation", model=model, image_processor=processor, device=device or "cpu")

    def estimate(image: "Image") -> tuple[Tensor, Literal["metric", "disparity"]]:
        values = run(image.convert("RGB"))["predicted_depth"]
        return values.reshape(image.height, image.width).float().cpu(), kind

    return estimate


def _kind(config: Any, name: str) -> Literal["metric", "disparity"]:
    stated = getattr(config, "depth_estimation_type", None)
    if stated in ("metric", "relative"):
        return "metric" if stated == "metric" else "disparity"
    family = getattr(config, "model_type", None)
    if family in _METRIC:
        return "metric"
    if family in _DISPARITY:
        return "disparity"
    known = ("depth_anything", *_METRIC, *_DISPARITY)
    raise ValueError(f"a depth model must be of a kind in {sorted(known)}, got {family!r} for {name!r}.")
