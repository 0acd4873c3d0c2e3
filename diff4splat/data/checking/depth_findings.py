"""Whether depth is depth: positive, finite, known somewhere, and without marks for the sky left in it."""

import torch
from torch import Tensor

from diff4splat.data.checking.finding import Finding
from diff4splat.data.recordings import Recording

__all__ = ["depth_findings"]

_LEAST_KNOWN = 0.01  # share of a frame
_GAP = 1.5  # a mark is so many times as large as the largest depth that is none
_MANY, _MANY_SHARE = 16, 1e-4  # equal largest values that are no accident
_METRES = (0.05, 1000.0)  # median depth of what people and vehicles film


def depth_findings(recording: Recording) -> list[Finding]:
    """What can be said of depth maps by themselves.

    Args:
        recording: With or without depth.

    Returns:
        Findings on values, on how much is known, on marks left in them, and on the unit; empty without depth.
    """
    depth, mask = recording.depth, recording.depth_mask
    if depth is None or mask is None:
        return []
    known = depth[mask]
    wrong = int((~torch.isfinite(known) | (known <= 0)).sum())
    share = float(mask.flatten(1).float().mean(1).min())
    findings = [
        Finding(
            "depth positive and finite",
            "fails" if wrong else "holds",
            "zero, negative, NaN or infinite depth is said to be known" if wrong else "wherever it is known",
            float(wrong),
            "0",
            "pixels",
        ),
        Finding(
            "depth known",
            "holds" if share >= _LEAST_KNOWN else "fails",
            "in the frame with the least" if share >= _LEAST_KNOWN else "a frame has next to no depth",
            100 * share,
            f"at least {100 * _LEAST_KNOWN:g}",
            "% of the pixels",
        ),
    ]
    known = known[torch.isfinite(known) & (known > 0)]
    if len(known) == 0:
        return findings
    findings.append(_marks(known))
    if recording.unit == "metre":
        middle = float(known.median())
        inside = _METRES[0] <= middle <= _METRES[1]
        findings.append(
            Finding(
                "depth in metres",
                "holds" if inside else "fails",
                "the median is plausible" if inside else "the median is not: another unit?",
                middle,
                f"{_METRES[0]:g} to {_METRES[1]:g}",
                "m",
            )
        )
    return findings


def _marks(known: Tensor) -> Finding:
    """Whether the largest value stands for something else, as 65535 for the sky."""
    largest = known.max()
    equal = known == largest
    count, rest = int(equal.sum()), known[~equal]
    name, limit = "marks left in the depth", f"fewer than {max(_MANY, int(_MANY_SHARE * len(known)))}"
    if count < max(_MANY, _MANY_SHARE * len(known)):
        return Finding(name, "holds", "few pixels have the largest depth", float(count), limit, "pixels")
    if len(rest) == 0:
        words = f"every pixel has the same depth, {float(largest):.6g}"
        return Finding(name, "cannot tell", words, float(count), limit, "pixels")
    ratio = float(largest / rest.max())
    words = f"{count} pixels have exactly the largest depth, {float(largest):.6g}"
    if ratio >= _GAP:
        words += f", {ratio:.3g} times the next one: a mark for the sky, or for no depth"
        return Finding(name, "fails", words, float(count), limit, "pixels")
    return Finding(name, "cannot tell", f"{words}: a cap, or a wall", float(count), limit, "pixels")
