"""The live viewer: a scene in a browser, drawn here while one moves about in it; one file per concept."""

from diff4splat.viewer.live.view_field import LiveViewer, view_field

__all__ = ["LiveViewer", "view_field"]
