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


def rooms(points, sizes, k):
    """e_i, the mean distance to the k nearest over the size, and its median, the lower one of the middle."""
    distances, _ = nearest(points, k)
    room = [sum(row) / k / size for row, size in zip(distances, sizes, strict=True)]
    return room, sorted(room)[(len(room) - 1) // 2]


def isolated(points, sizes, k, ratio):
    """e_i > r median e."""
    room, usual = rooms(points, sizes, k)
    return [one > ratio * usual for one in room]


def cluster_sizes(points, sizes, k, reach):
    """Size of the cluster of each point, found by walking along the links."""
    distances, indices = nearest(points, k)
    room, usual = rooms(points, sizes, k)
    links = {i: set() for i in range(len(points))}
    for i in links:
        for distance, j in zip(distances[i], indices[i], strict=True):
            lonelier = i if room[i] >= room[j] else j
            if distance <= reach * usual * sizes[lonelier]:
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
