"""What a number was measured with, in a form that can be printed, compared and used as a key."""

import hashlib
import json
from dataclasses import asdict, dataclass

__all__ = ["ExtractorSpec"]


@dataclass(frozen=True)
class ExtractorSpec:
    """Everything about a feature network, a matcher or a pose estimator that changes its numbers.

    Two numbers may be compared only if their specs are equal.

    Args:
        name: What it is, such as "I3D, Kinetics-400".
        layer: What is taken from it, such as "logits".
        preprocessing: How frames are brought to it: range, size, interpolation, crop, number of frames.
        weights: sha256 of the weights as "sha256:...", or "seed N" for drawn ones, or "none".
        licence: Licence of the weights; empty where there are none.
        trained: Whether the weights were learned. Numbers of untrained ones compare methods with each other,
            not with the literature.
    """

    name: str
    layer: str
    preprocessing: str
    weights: str
    licence: str = ""
    trained: bool = True

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that stand for all of it."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        parts = [self.name, self.layer, self.preprocessing, f"weights {self.weights}"]
        if self.licence:
            parts.append(f"licence {self.licence}")
        return "; ".join(part for part in parts if part)
