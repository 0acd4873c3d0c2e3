"""Gaussians and cameras to images: one function, three backends with the same semantics."""

from diff4splat.rendering.render import Rendering, render, render_field

__all__ = ["Rendering", "render", "render_field"]
