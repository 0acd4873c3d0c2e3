"""What can be run: the table of models, what a file of weights is, and what a run needs."""

from diff4splat.catalog.identify import WeightsIdentity, identify
from diff4splat.catalog.preflight import Remedy, RunEstimate, StageEstimate, preflight
from diff4splat.catalog.registry import KNOWN_MODELS, KnownModel, find_model, list_models, missing_for

__all__ = [
    "KNOWN_MODELS",
    "KnownModel",
    "Remedy",
    "RunEstimate",
    "StageEstimate",
    "WeightsIdentity",
    "find_model",
    "identify",
    "list_models",
    "missing_for",
    "preflight",
]
