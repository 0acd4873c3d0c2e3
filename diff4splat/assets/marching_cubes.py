"""The surface of a signed distance as a mesh: marching cubes of scikit-image, tile by tile."""

import numpy as np
import torch

from diff4splat.assets.mesh import Mesh
from diff4splat.assets.tsdf import BLOCK, DistanceVolume

__all__ = ["volume_to_mesh"]

_TILE = 8  # blocks along each side of what is turned into triangles at once
_LEAST = 1e-4  # |distance|, in truncations: no vertex comes so close to a voxel that it could be of two edges
_JUMP = 1.0  # change of distance over a cell, in truncations, that no surface makes


def volume_to_mesh(
    volume: DistanceVolume, *, min_weight: int | float = 0.0, min_share: int | float = 0.0
) -> Mesh:
    """Triangles where the signed distance changes its sign, and was seen on all sides of the change.

    Cells with a corner that was not seen have no triangles, so that the mesh ends where the views do; nor
    have cells over which the distance changes by more than the truncation, which are where a view ends beside
    free space. Vertices are shared between triangles, also across tiles.

    Args:
        volume: From `fuse_depth`.
        min_weight: Voxels of this weight or less count as not seen.
        min_share: Connected pieces with a smaller share of the triangles than this are left out.

    Returns:
        Float32 mesh on the CPU, faces towards where the views came from; without triangles if there is no
        surface.

    Raises:
        ModuleNotFoundError: If scikit-image is missing.
    """
    try:
        from skimage.measure import marching_cubes
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'a mesh needs scikit-image: pip install "diff4splat[mesh]"', name=error.name
        ) from error
    parts = _Parts(volume)
    vertices, faces, colors, keys = [], [], [], []
    first = 0
    for tile in parts.tiles():
        distance, seen, shade = parts.dense(tile, min_weight)
        cells = _cells(distance, seen)
        if not cells.any():
            continue
        signed = np.where(np.abs(distance) < _LEAST, np.where(distance < 0, -_LEAST, _LEAST), distance)
        mask = np.zeros_like(seen)
        mask[1:, 1:, 1:] = cells  # scikit-image asks for the last corner of a cell
        places, triangles, _, _ = marching_cubes(signed, 0.0, mask=mask, gradient_direction="descent")
        corner = np.asarray(tile, dtype=np.int64) * _TILE * BLOCK
        vertices.append(places.astype(np.float64) + corner)
        faces.append(triangles.astype(np.int64) + first)
        colors.append(_color_at(places, shade, seen))
        keys.append(_edges(places, corner))
        first += len(places)
    if not first:
        return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, 3))
    _, chosen, merged = np.unique(np.concatenate(keys), axis=0, return_index=True, return_inverse=True)
    corners = merged.reshape(-1)[np.concatenate(faces)]
    corners = corners[(corners != np.roll(corners, 1, axis=1)).all(axis=1)]
    used = _large_pieces(corners, len(chosen), min_share * len(corners)) if min_share > 0 else corners
    names, renamed = np.unique(used, return_inverse=True)
    places = np.concatenate(vertices)[chosen][names] * volume.voxel_size
    return Mesh(
        torch.from_numpy(places.astype(np.float32)),
        torch.from_numpy(renamed.reshape(-1, 3).astype(np.int64)),
        torch.from_numpy(np.concatenate(colors)[chosen][names].astype(np.float32)),
    )


class _Parts:
    """A volume that dense tiles are cut from."""

    def __init__(self, volume: DistanceVolume) -> None:
        self._blocks = volume.blocks.cpu().numpy()
        self._index = {tuple(place): index for index, place in enumerate(self._blocks.tolist())}
        self._values = [v.cpu().numpy() for v in (volume.distance, volume.weight, volume.color)]

    def tiles(self) -> list[tuple[int, int, int]]:
        """Places of the tiles with blocks, and of those before them, whose last cells reach into them."""
        reach = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
        places = (self._blocks[:, None] - reach).reshape(-1, 3) // _TILE
        return [tuple(place) for place in np.unique(places, axis=0).tolist()]

    def dense(
        self, tile: tuple[int, int, int], min_weight: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance, what was seen, and colour of a tile and of the first voxels behind it."""
        size = (_TILE + 1) * BLOCK
        distance = np.ones((size, size, size), dtype=np.float32)
        weight = np.zeros((size, size, size), dtype=np.float32)
        color = np.zeros((size, size, size, 3), dtype=np.float32)
        for x, y, z in np.ndindex(_TILE + 1, _TILE + 1, _TILE + 1):
            key = (tile[0] * _TILE + x, tile[1] * _TILE + y, tile[2] * _TILE + z)
            index = self._index.get(key)
            if index is None:
                continue
            place = tuple(slice(BLOCK * step, BLOCK * (step + 1)) for step in (x, y, z))
            for target, source in zip((distance, weight, color), self._values, strict=True):
                target[place] = source[index]
        last = _TILE * BLOCK + 1
        distance, weight, color = (array[:last, :last, :last] for array in (distance, weight, color))
        return distance, weight > min_weight, color


def _cells(distance: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Cells of eight voxels that were all seen and between which the distance does not jump."""
    low, high, known = distance, distance, seen
    for axis in range(3):
        before = tuple(slice(None, -1) if other == axis else slice(None) for other in range(3))
        behind = tuple(slice(1, None) if other == axis else slice(None) for other in range(3))
        low, high = np.minimum(low[before], low[behind]), np.maximum(high[before], high[behind])
        known = known[before] & known[behind]
    return known & (low < 0) & (high >= 0) & (high - low <= _JUMP)


def _color_at(places: np.ndarray, color: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Colour between the voxels around each place, of those that have one."""
    lower = np.clip(np.floor(places).astype(int), 0, np.array(seen.shape) - 2)
    share = places - lower
    total, weights = np.zeros((len(places), 3)), np.zeros((len(places), 1))
    for corner in np.ndindex(2, 2, 2):
        index = tuple((lower + corner).T)
        part = np.where(np.array(corner) == 1, share, 1 - share).prod(axis=1) * seen[index]
        part = (part * (color[index].max(axis=1) > 0))[:, None]
        total += part * color[index]
        weights += part
    return np.clip(total / np.maximum(weights, 1e-12), 0, 1)


def _edges(places: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Which edge between two voxels each vertex is on, as five whole numbers that are the same in all tiles.

    The axis of the edge comes first; a vertex inside a cell, of which there is one at most, counts as a
    fourth axis.
    """
    nearest = np.rint(places).astype(np.int64)
    between = np.abs(places - nearest) > _LEAST / 4
    lower = np.where(between, np.floor(places).astype(np.int64), nearest) + corner
    return np.concatenate(((between * [1, 2, 4]).sum(axis=1)[:, None], lower), axis=1)


def _large_pieces(faces: np.ndarray, num_vertices: int, min_faces: float) -> np.ndarray:
    """Faces of the connected pieces that have enough of them."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = np.concatenate((faces[:, :2], faces[:, 1:]))
    graph = coo_matrix((np.ones(len(links), dtype=bool), tuple(links.T)), shape=(num_vertices,) * 2)
    _, piece = connected_components(graph, directed=False)
    sizes = np.bincount(piece[faces[:, 0]], minlength=num_vertices)
    return faces[sizes[piece[faces[:, 0]]] >= min_faces]
