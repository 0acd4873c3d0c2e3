"""`diff4splat inspect`: what is in a scene or PLY file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console, file_size
from diff4splat.cli.errors import naming
from diff4splat.cli.stopping import hold_requests

if TYPE_CHECKING:
    from diff4splat.gaussians import Gaussians

__all__ = ["Inspect"]

_Facts = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Inspect:
    """Say what is in a scene or PLY file.

    Prints how many Gaussians there are, where they lie, how far they move, and what the file says about its
    conventions and where it comes from.

    In use:
      diff4splat inspect out/scene.safetensors
      diff4splat inspect out/scene.ply

    Args:
        file: A scene.safetensors, or a .ply of 3D Gaussians.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]

    def run(self, console: Console) -> None:
        """Print one line per fact, in groups."""
        with naming("FILE cannot be read", self.file):
            groups = self._ply() if self.file.suffix.lower() == ".ply" else self._scene()
        width = max(len(name) for group in groups.values() for name, _ in group)
        console.print(f"{self.file}, {file_size(self.file)}")
        for title, facts in groups.items():
            console.print(f"\n{title}")
            for name, value in facts:
                console.print(f"  {name:<{width}}  {value}")

    def _ply(self) -> _Facts:
        with hold_requests():
            from diff4splat.assets import load_ply

        return {"Gaussians": _gaussian_facts(load_ply(self.file))}

    def _scene(self) -> _Facts:
        with hold_requests():
            from diff4splat.assets import load_field, load_field_cameras, read_field_header

        header = read_field_header(self.file)
        field = load_field(self.file)
        cameras = load_field_cameras(self.file)
        times = [f"{time:.3f}" for time in field.times.tolist()]
        shown = times if len(times) <= 5 else [*times[:2], "...", times[-1]]
        moved = field.delta_means.norm(dim=-1).amax(dim=-2)
        size = (
            "none" if cameras is None else f"{cameras.num_frames} of {cameras.width}x{cameras.height} pixels"
        )
        return {
            "Gaussians": _gaussian_facts(field.canonical),
            "motion": [
                ("times", f"{len(times)}: {' '.join(shown)}"),
                ("largest per time", f"median {moved.median():.3g}, largest {moved.max():.3g} scene units"),
                ("cameras", size),
            ],
            "provenance": [(key, _text(value)) for key, value in field.metadata.items()] or [("", "none")],
            "file": [
                (key, _text(header[key])) for key in sorted(header) if key not in ("cameras", "provenance")
            ],
        }


def _gaussian_facts(gaussians: "Gaussians") -> list[tuple[str, str]]:
    low, high = gaussians.means.amin(dim=0).tolist(), gaussians.means.amax(dim=0).tolist()
    bounds = "  ".join(f"{axis} {a:.2f} to {b:.2f}" for axis, a, b in zip("xyz", low, high, strict=True))
    return [
        ("count", str(gaussians.num_gaussians)),
        ("colors", f"spherical harmonics of degree {gaussians.sh_degree}"),
        ("bounds", bounds),
        ("opacity", f"median {gaussians.opacities.median():.3f}"),
        ("scale", f"median {gaussians.scales.median():.3g} scene units"),
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
