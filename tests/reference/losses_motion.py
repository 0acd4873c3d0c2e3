"""Motion loss of one set of points, point by point (Diff4Splat, Eq. 5)."""

import math


def motion_loss(predicted, target, visible, weight, *, error_weight, l1_weight, distance, l1_of):
    total, mass = 0.0, 0.0
    for point in range(len(predicted)):
        if not visible[point]:
            continue
        motion = [float(value) for value in predicted[point]]
        error = [m - float(t) for m, t in zip(motion, target[point], strict=True)]
        squared = sum(e * e for e in error)
        first = math.sqrt(squared) if distance == "l2" else squared
        second = sum(abs(value) for value in (motion if l1_of == "motion" else error))
        total += float(weight[point]) * (error_weight * first + l1_weight * second)
        mass += float(weight[point])
    return total / mass if mass > 0 else 0.0
