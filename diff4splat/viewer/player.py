"""The player: a field as one HTML page that anyone can open, with no network and nothing to install."""

import base64
import hashlib
import html
import importlib.resources
import json
import math
import os
import re
from typing import Any

import torch

from diff4splat.assets.depth_color import position_to_color
from diff4splat.cameras import Cameras
from diff4splat.files import atomic_path
from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.geometry import matrix_to_quaternion
from diff4splat.viewer.first_view import depths_in_view, overview_camera
from diff4splat.viewer.packing import pack_field
from diff4splat.viewer.shown_text import shown_text

__all__ = ["player_html", "save_player"]

NEAR = 0.01  # of `render`, scene units; less for scenes that begin nearer
SCRIPTS = tuple(
    f"{name}.js"
    for name in (
        "scene",
        "cameras",
        "sorter",
        "shaders",
        "renderer",
        "player",
        "controls",
        "sharing",
        "start",
    )
)  # in the order in which they are joined


def save_player(
    field: DeformableGaussianField,
    path: str | os.PathLike[str],
    *,
    cameras: Cameras | None = None,
    title: str = "diff4splat",
    seconds: int | float = 4,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write a page that plays a field in any browser with WebGL 2, also from a local file.

    The page holds the scene, its program and its looks; it loads nothing. It opens at the first camera,
    playing, and lets the viewer orbit, fly, scrub, follow the camera path and look at depth. Gaussians deform
    on the graphics card, between stored times too. See `pack_field` for what precision is kept.

    Args:
        field: One field without batch axes.
        path: File to write, by habit ending in `.html`.
        cameras: Camera path, without batch axes, which runs from time 0 to 1; a still camera that sees the
            scene when omitted. Intrinsics are taken as free of skew.
        title: Heading of the page; any text is shown as it is.
        seconds: Duration of the clip at normal speed, > 0.
        background: sRGB in [0, 1] behind the Gaussians.

    Raises:
        ValueError: If the field or the cameras have batch axes or invalid values, nothing of the field can be
            seen, or `seconds` or `background` are out of range.
        FileNotFoundError: If the folder does not exist.
    """
    page = player_html(field, cameras=cameras, title=title, seconds=seconds, background=background)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def player_html(
    field: DeformableGaussianField,
    *,
    cameras: Cameras | None = None,
    title: str = "diff4splat",
    seconds: int | float = 4,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> str:
    """The page of `save_player` as text, for an `iframe` in a notebook or an app.

    Args:
        field: One field without batch axes.
        cameras: Camera path from time 0 to 1; a still camera that sees the scene when omitted.
        title: Heading of the page; any text is shown as it is.
        seconds: Duration of the clip at normal speed, > 0.
        background: sRGB in [0, 1] behind the Gaussians.

    Returns:
        One complete HTML document.

    Raises:
        ValueError: As `save_player`.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds must be positive, got {seconds}.")
    if len(background) != 3 or not all(0 <= value <= 1 for value in background):
        raise ValueError(f"background must be three values in [0, 1], got {background}.")
    if cameras is not None and cameras.batch_shape:
        raise ValueError(f"cameras must have no batch axes, got {cameras.batch_shape}.")
    header, payload = pack_field(field)
    start = field.at(0.0).detach().to("cpu", torch.float64)
    if cameras is None:
        cameras = overview_camera(start)
    cameras = cameras.to("cpu", torch.float64)
    cameras.validate()
    depth = _depth_entries(start, cameras)
    header |= {
        "title": shown_text(title),
        "seconds": seconds,
        "background": list(background),
        "cameras": _camera_entries(cameras),
        "depth": depth,
        "near": min(NEAR, 0.1 * depth["near"]),
        "about": {shown_text(key): shown_text(value) for key, value in field.metadata.items()},
    }
    style = _source("player.css")
    script = "(() => {\n" + "\n".join(_source(name) for name in SCRIPTS) + "})();\n"
    parts = {
        "title": html.escape(shown_text(title)),
        "style": style,
        "script": script,
        "style_hash": _content_hash(style),
        "script_hash": _content_hash(script),
        "scene": _script_json(header),
        "payload": base64.b64encode(payload).decode("ascii"),
    }
    # One pass, so that a title that reads like a placeholder stays a title.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _source("player.html"))


def _camera_entries(cameras: Cameras) -> dict[str, Any]:
    """Image size and, per frame, position, quaternion (wxyz) and lens (fx, fy, cx, cy)."""
    quaternions = matrix_to_quaternion(cameras.camera_to_world[:, :3, :3])
    lenses = cameras.intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]
    frames = torch.cat([cameras.camera_to_world[:, :3, 3], quaternions, lenses], dim=-1)
    return {"width": cameras.width, "height": cameras.height, "frames": frames.tolist()}


def _depth_entries(gaussians: Gaussians, cameras: Cameras) -> dict[str, Any]:
    """Depth that the viewer orbits around, limits of the depth view, and its colours from far to near."""
    seen = depths_in_view(gaussians, cameras).sort().values
    near, focus, far = (
        float(seen[int(part * (len(seen) - 1))]) if len(seen) else 1.0 for part in (0.01, 0.5, 0.99)
    )
    colors = (position_to_color(torch.linspace(0, 1, 256)) * 255).round().to(torch.uint8)
    return {"near": near, "focus": focus, "far": max(far, near * 1.001), "colors": colors.flatten().tolist()}


def _script_json(value: Any) -> str:
    """JSON for a script element: no character in it can end the element or begin a comment."""
    text = json.dumps(value, allow_nan=False)  # ASCII
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _source(name: str) -> str:
    """A source file of the player."""
    return importlib.resources.files("diff4splat.viewer").joinpath("page", name).read_text(encoding="utf-8")


def _content_hash(text: str) -> str:
    """Hash by which the page's content security policy allows exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
