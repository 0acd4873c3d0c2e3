"""Looking at a field in the player, one HTML file that needs no network."""

from diff4splat.viewer.packing import pack_field
from diff4splat.viewer.player import player_html, save_player

__all__ = ["pack_field", "player_html", "save_player"]
