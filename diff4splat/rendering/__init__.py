"""Gaussians and cameras to images: one function, three backends with the same semantics."""

from diff4splat.rendering.backends import require_backend
from diff4splat.rendering.render import Rendering, render, render_field
from diff4splat.rendering.seen_motion import blend_vectors, seen_motion
from diff4splat.rendering.visibility import filled_pixels

__all__ = [
    "Rendering",
    "blend_vectors",
    "filled_pixels",
    "render",
    "render_field",
    "require_backend",
    "seen_motion",
]
