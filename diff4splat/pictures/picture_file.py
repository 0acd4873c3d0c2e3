"""Pictures as files: PNG, JPEG and WebP."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diff4splat.files import atomic_path

__all__ = ["save_picture"]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_DESCRIPTION = 0x010E  # the tag ImageDescription of Exif


def save_picture(
    picture: Float[Tensor, "rgb=3 height width"],
    path: str | os.PathLike[str],
    *,
    quality: int = 90,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a picture as PNG, JPEG or WebP, whole or not at all.

    Args:
        picture: sRGB in [0, 1]; values outside are clamped.
        path: File to write: .png, .jpg, .jpeg or .webp; its folder must exist.
        quality: Of JPEG and WebP, from 1 to 100; colours are kept at full resolution in JPEG.
        provenance: JSON values (model, seed, prompt, licence), kept in the file as JSON: in the text
            "provenance" of a PNG, in the Exif description of the others.

    Raises:
        ValueError: If the suffix is unknown, there are no pixels, a value is NaN, `quality` is out of range,
            or `provenance` is not JSON.
        FileNotFoundError: If the folder does not exist.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    kind = _FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise ValueError(f"path must end in {', '.join(_FORMATS)}, got {path}.")
    if 0 in picture.shape:
        raise ValueError(f"picture must have pixels, got shape {list(picture.shape)}.")
    if bool(picture.isnan().any()):
        raise ValueError("picture must be finite, got NaN.")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be from 1 to 100, got {quality}.")
    try:
        words = json.dumps(dict(provenance or {}), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"provenance must hold JSON values, but {error}.") from error
    options: dict[str, Any] = {}
    if kind == "PNG" and provenance:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("provenance", words)
    elif provenance:
        options["exif"] = Image.Exif()
        options["exif"][_DESCRIPTION] = words
    if kind != "PNG":
        options["quality"] = quality
    if kind == "JPEG":
        options["subsampling"] = 0
    pixels = picture.detach().clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    with atomic_path(path) as temporary:
        Image.fromarray(rearrange(pixels, "c h w -> h w c").numpy()).save(temporary, format=kind, **options)
