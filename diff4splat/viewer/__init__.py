"""Looking at a field in the player, one HTML file that needs no network; camera paths as pictures."""

from diff4splat.viewer.packing import pack_field
from diff4splat.viewer.path_picture import draw_path
from diff4splat.viewer.player import player_html, save_player

__all__ = ["draw_path", "pack_field", "player_html", "save_player"]
