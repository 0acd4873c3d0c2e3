"""Which dataset a folder is, and its reader."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from diff4splat.data.readers.colmap import Colmap
from diff4splat.data.readers.dl3dv import DL3DV
from diff4splat.data.readers.dynamicreplica import DynamicReplica
from diff4splat.data.readers.matrixcity import MatrixCity
from diff4splat.data.readers.multicamvideo import MultiCamVideo
from diff4splat.data.readers.npz import NpzRecordings
from diff4splat.data.readers.pointodyssey import PointOdyssey
from diff4splat.data.readers.reader import DatasetReader
from diff4splat.data.readers.realestate10k import RealEstate10K
from diff4splat.data.readers.spring import Spring
from diff4splat.data.readers.stereo4d import Stereo4D
from diff4splat.data.readers.tartanair import TartanAir
from diff4splat.data.readers.tartanair2 import TartanAirV2
from diff4splat.data.readers.video import Video
from diff4splat.data.readers.vkitti2 import VirtualKITTI2

__all__ = ["DATASETS", "find_datasets", "open_dataset"]

_READERS: tuple[type[DatasetReader], ...] = (
    TartanAir,
    TartanAirV2,
    PointOdyssey,
    DynamicReplica,
    Spring,
    VirtualKITTI2,
    RealEstate10K,
    DL3DV,
    MatrixCity,
    MultiCamVideo,
    Stereo4D,
    Colmap,
    NpzRecordings,
    Video,
)
DATASETS: Mapping[str, type[DatasetReader]] = MappingProxyType({reader.key: reader for reader in _READERS})
"""Readers by name."""


def find_datasets(folder: str | Path) -> dict[str, int]:
    """What a folder holds; formats that any dataset may use count where no dataset is known.

    Args:
        folder: Any folder.

    Returns:
        Number of recordings by name of the dataset; empty if it holds none that is known.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    for precedence in sorted({reader.precedence for reader in DATASETS.values()}):
        readers = [reader for reader in DATASETS.values() if reader.precedence == precedence]
        counts = {reader.key: len(reader.find(folder)) for reader in readers}
        if any(counts.values()):
            return {key: count for key, count in counts.items() if count}
    return {}


def open_dataset(folder: str | Path, dataset: str | None = None) -> DatasetReader:
    """The reader of a folder.

    Args:
        folder: Any folder.
        dataset: Which of `DATASETS` it is; found out when omitted.

    Returns:
        The reader.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the folder holds no known dataset, or several, or not the one that was named.
    """
    if dataset is not None and dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}.")
    if dataset is None:
        found = find_datasets(folder)
        if len(found) != 1:
            what = ", ".join(f"{count} recordings of {key}" for key, count in found.items()) or "none"
            raise ValueError(
                f"folder must hold one dataset of {', '.join(DATASETS)}, got {what} in {folder}: "
                "name the dataset, or a folder further in."
            )
        dataset = next(iter(found))
    return DATASETS[dataset](folder)
