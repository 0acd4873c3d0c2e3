"""Gaussians and cameras to images: one function, three backends with the same semantics."""

from diff4splat.rendering.filled_pixels import filled_pixels
from diff4splat.rendering.render import Rendering, render, render_field

__all__ = ["Rendering", "filled_pixels", "render", "render_field"]
