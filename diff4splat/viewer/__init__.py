"""Looking at a field: the player, one HTML file without a network, and a live viewer."""

from diff4splat.viewer.live import LiveViewer, view_field
from diff4splat.viewer.motion_color import motion_full_speed, motion_to_color
from diff4splat.viewer.packing import pack_field
from diff4splat.viewer.player import player_html, save_player

__all__ = [
    "LiveViewer",
    "motion_full_speed",
    "motion_to_color",
    "pack_field",
    "player_html",
    "save_player",
    "view_field",
]
