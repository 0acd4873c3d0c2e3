"""`diff4splat inspect`: what is in a scene or PLY file, and what weights are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console, file_size
from diff4splat.cli.errors import naming
from diff4splat.cli.stopping import hold_requests

if TYPE_CHECKING:
    from diff4splat.gaussians import DeformableGaussianField, Gaussians

__all__ = ["Inspect"]

_Facts = dict[str, list[tuple[str, str]]]

_SHOWN_APART = ("cameras", "provenance", "encodings", "error_bound")
_BOUND_UNITS = {
    "position": "of a Gaussian's own size",
    "own_size_floor": "scene units, the smallest own size that counts",
    "rotation": "radians",
    "log_scale": "in the natural logarithm of scales",
    "opacities": "of opacity",
    "harmonics": "of a coefficient of colour",
}


@dataclass(frozen=True)
class Inspect:
    """Say what is in a scene of this or another program, or which model weights belong to.

    Of a scene it prints how many Gaussians there are, where they lie, how far they move, and what the file
    says about its conventions and where it comes from. Of weights it reads the header alone, however large
    they are, and says which model they are, what is wrong with them, which class loads them, and the lines
    of Python that do so. Pickles are not opened, as that can run code.

    In use:
      diff4splat inspect out/scene.safetensors
      diff4splat inspect out/scene.ply
      diff4splat inspect frames/
      diff4splat inspect movies_ckpt.safetensors
      diff4splat inspect Wan2.2-TI2V-5B-Diffusers/transformer

    Args:
        file: A scene.safetensors, or the folder that it was written to, a .ply or .splat of 3D Gaussians, a
            folder with one .ply per moment, a safetensors file or the index.json of one in shards, or a
            folder of a model.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]

    def run(self, console: Console) -> None:
        """Print one line per fact, in groups."""
        with naming("FILE cannot be read", self.file):
            scene = self.file / "scene.safetensors"  # of a folder with results
            file = scene if scene.is_file() else self.file
            if file.suffix.lower() in (".ply", ".splat") or _holds_moments(file):
                text = _report(self._other(file))
            elif self._is_scene(file):
                text = _report(self._scene(file))
            else:
                with hold_requests():
                    from diff4splat.cli.weights_report import weights_report
                text = weights_report(file)
        console.print(f"{file}, {file_size(file)}")
        console.print(text)

    def _is_scene(self, file: Path) -> bool:
        """Whether this is a scene of this package, as far as its header tells."""
        with hold_requests():
            from diff4splat.hub import read_safetensors_header

        if file.is_dir() or file.name.endswith(".json"):
            return False
        return '"diff4splat-scene"' in read_safetensors_header(file).metadata.values()

    def _other(self, file: Path) -> _Facts:
        with hold_requests():
            from diff4splat.assets import load_scene

        field = load_scene(file)
        facts = {"Gaussians": _gaussian_facts(field.canonical)}
        if field.num_times > 1:
            facts["motion"] = _motion_facts(field)
        if field.metadata:
            facts["provenance"] = [(key, _text(value)) for key, value in field.metadata.items()]
        return facts

    def _scene(self, file: Path) -> _Facts:
        with hold_requests():
            from diff4splat.assets import load_field, load_field_cameras, read_field_header

        header = read_field_header(file)
        field = load_field(file)
        cameras = load_field_cameras(file)
        size = (
            "none" if cameras is None else f"{cameras.num_frames} of {cameras.width}x{cameras.height} pixels"
        )
        return {
            "Gaussians": _gaussian_facts(field.canonical),
            "motion": [
                *_motion_facts(field),
                ("cameras", size),
            ],
            "provenance": [(key, _text(value)) for key, value in field.metadata.items()] or [("", "none")],
            **_compact_facts(header),
            "file": [(key, _text(header[key])) for key in sorted(header) if key not in _SHOWN_APART],
        }


def _compact_facts(header: dict[str, Any]) -> _Facts:
    """How far a compact scene is off, by its own words; nothing of an exact one."""
    bound = header.get("error_bound")
    if not isinstance(bound, dict):
        return {}
    known = [(key, f"{_text(bound[key])} {unit}") for key, unit in _BOUND_UNITS.items() if key in bound]
    return {"compact, errors at most": known or [("", "not stated")]}


def _report(groups: _Facts) -> str:
    width = max(len(name) for group in groups.values() for name, _ in group)
    lines = []
    for title, facts in groups.items():
        lines += ["", title, *(f"  {name:<{width}}  {value}" for name, value in facts)]
    return "\n".join(lines)


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


def _motion_facts(field: "DeformableGaussianField") -> list[tuple[str, str]]:
    times = [f"{time:.3f}" for time in field.times.tolist()]
    shown = times if len(times) <= 5 else [*times[:2], "...", times[-1]]
    moved = field.delta_means.norm(dim=-1).amax(dim=-2)
    return [
        ("times", f"{len(times)}: {' '.join(shown)}"),
        ("largest per time", f"median {moved.median():.3g}, largest {moved.max():.3g} scene units"),
    ]


def _holds_moments(folder: Path) -> bool:
    """Whether this is a folder of .ply files, and of no model."""
    if not folder.is_dir() or any(folder.glob("*.json")) or any(folder.glob("*.safetensors")):
        return False
    return any(path.suffix.lower() == ".ply" for path in folder.iterdir())


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
