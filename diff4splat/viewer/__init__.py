"""Looking at a field: the player, one HTML file that needs no network and no installation."""

from diff4splat.viewer.packing import pack_field
from diff4splat.viewer.player import player_html, save_player

__all__ = ["pack_field", "player_html", "save_player"]
