"""Scenes as commands are given them: ours with their cameras, and those of other programs."""

from pathlib import Path
from typing import TYPE_CHECKING

from diff4splat.cli.errors import naming

if TYPE_CHECKING:
    from diff4splat.cameras import Cameras
    from diff4splat.gaussians import DeformableGaussianField

__all__ = ["read_scene"]


def read_scene(path: Path, name: str = "SCENE") -> "tuple[DeformableGaussianField, Cameras | None]":
    """A scene, and the camera path that it was made with.

    Args:
        path: A file or folder that `load_scene` reads.
        name: What the user calls it.

    Returns:
        The field on the CPU, and its cameras; None where it was saved without, or is of another format.

    Raises:
        ValueError: If it is no scene, or damaged.
        OSError: If it cannot be read.
    """
    from diff4splat.assets import load_field_cameras, load_scene

    with naming(f"{name} cannot be read", path):
        field = load_scene(path)
        own = path / "scene.safetensors" if path.is_dir() else path
        is_ours = own.suffix.lower() == ".safetensors" and own.is_file()
        return field, load_field_cameras(own) if is_ours else None
