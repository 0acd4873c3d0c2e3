"""What can be run: the table of models with sources, licences and sizes, and what a file of weights is."""

from diff4splat.catalog.identify import WeightsIdentity, identify
from diff4splat.catalog.registry import KNOWN_MODELS, KnownModel, find_model, list_models, missing_for

__all__ = [
    "KNOWN_MODELS",
    "KnownModel",
    "WeightsIdentity",
    "find_model",
    "identify",
    "list_models",
    "missing_for",
]
