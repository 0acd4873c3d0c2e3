"""MoVieS: a posed video to Gaussians that move, with weights that everyone can download."""

from diff4splat.models.movies.checkpoint import load_movies_checkpoint
from diff4splat.models.movies.fields import maps_to_field
from diff4splat.models.movies.network import MoVieS, MoVieSFeatures, MovingMaps, StaticMaps
from diff4splat.models.movies.reconstructor import MoVieSReconstructor

__all__ = [
    "MoVieS",
    "MoVieSFeatures",
    "MoVieSReconstructor",
    "MovingMaps",
    "StaticMaps",
    "load_movies_checkpoint",
    "maps_to_field",
]
