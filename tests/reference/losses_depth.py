"""Pearson depth loss of one image by the textbook formula (Diff4Splat, Eq. 4)."""

import math


def pearson_depth_loss(depth, target, mask, eps):
    """1 - cov / sqrt((var + eps) (var + eps)) over the pixels where mask holds; 0 without any."""
    pairs = []
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            if mask[y, x]:
                pairs.append((float(depth[y, x]), float(target[y, x])))
    if not pairs:
        return 0.0
    count = len(pairs)
    mean_d = sum(d for d, _ in pairs) / count
    mean_t = sum(t for _, t in pairs) / count
    cov = sum((d - mean_d) * (t - mean_t) for d, t in pairs) / count
    var_d = sum((d - mean_d) ** 2 for d, _ in pairs) / count
    var_t = sum((t - mean_t) ** 2 for _, t in pairs) / count
    return 1 - cov / math.sqrt((var_d + eps) * (var_t + eps))
