"""Any file or folder that holds Gaussians, as a field."""

import os
from dataclasses import replace
from pathlib import Path

import torch

from diff4splat.assets.field import load_field
from diff4splat.assets.ply import load_ply
from diff4splat.assets.ply_header import read_provenance
from diff4splat.assets.ply_sequence import is_ply_sequence, load_ply_sequence
from diff4splat.assets.splat import load_splat
from diff4splat.gaussians import DeformableGaussianField

__all__ = ["load_scene"]

SCENE_FILE = "scene.safetensors"


def load_scene(path: str | os.PathLike[str]) -> DeformableGaussianField:
    """Read a field from our own asset, a 3DGS PLY, a `.splat` file, or a folder.

    A file of one moment becomes a field that holds still, stored at time 0 alone.

    Args:
        path: A `.safetensors` of this library, a `.ply` or `.splat` of any program, or a folder: with a
            `scene.safetensors`, or with one `.ply` per moment.

    Returns:
        The field on the CPU. Its metadata is what the file tells about where it comes from.

    Raises:
        ValueError: If the file or folder is of another kind, or damaged; names file and problem.
        FileNotFoundError: If there is neither a file nor a folder of that name.

    Examples:
        >>> field = load_scene("garden.ply")  # doctest: +SKIP
    """
    path = Path(path)
    if path.is_dir():
        if (path / SCENE_FILE).is_file():
            return load_field(path / SCENE_FILE)
        if is_ply_sequence(path):
            return load_ply_sequence(path)
        raise ValueError(f"{path} holds neither a {SCENE_FILE} nor .ply files.")
    if not path.is_file():
        raise FileNotFoundError(f"no such file or folder: {path}")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return load_field(path)
    if suffix not in (".ply", ".splat"):
        raise ValueError(
            f"{path} must be a .safetensors, .ply or .splat file or a folder, got the suffix {path.suffix!r}."
        )
    gaussians = load_ply(path) if suffix == ".ply" else load_splat(path)
    field = DeformableGaussianField.from_gaussians(gaussians, torch.zeros(1))
    return replace(field, metadata=read_provenance(path) if suffix == ".ply" else {})
