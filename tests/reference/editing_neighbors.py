"""Neighbours and what is told by them, as loops over all pairs of points."""

import numpy as np


def nearest(points, k):
    """Distances and indices of the k nearest other points, nearest first."""
    points = np.asarray(points, dtype=np.float64)
    distances, indices = [], []
    for i, point in enumerate(points):
        others = [(np.sqrt(((other - point) ** 2).sum()), j) for j, other in enumerate(points) if j != i]
        chosen = sorted(others)[:k]
        distances.append([distance for distance, _ in chosen])
        indices.append([index for _, index in chosen])
    return np.array(distances), np.array(indices)


def isolated(points, sizes, k, ratio, touch):
    """d_i > r median of d_j over the k nearest, d the mean distance to them, and none of them is touched."""
    distances, indices = nearest(points, k)
    spacing = [sum(row) / k for row in distances]
    return [
        spacing[i] > ratio * sorted(spacing[j] for j in row)[(k - 1) // 2]
        and all(distances[i][n] > touch * (sizes[i] + sizes[j]) for n, j in enumerate(row))
        for i, row in enumerate(indices)
    ]


def cluster_sizes(points, sizes, k, reach, touch):
    """Size of the cluster of each point, found by walking along the links."""
    distances, indices = nearest(points, k)
    spacing = [sum(row) / k for row in distances]
    links = {i: set() for i in range(len(points))}
    for i in links:
        for distance, j in zip(distances[i], indices[i], strict=True):
            near = distance <= reach * spacing[i] and distance <= reach * spacing[j]
            if near or distance <= touch * (sizes[i] + sizes[j]):
                links[i].add(int(j))
                links[int(j)].add(i)
    found = []
    for i in links:
        reached, frontier = {i}, [i]
        while frontier:
            for j in links[frontier.pop()] - reached:
                reached.add(j)
                frontier.append(j)
        found.append(len(reached))
    return found
