"""Readers of the datasets of the field, in their authors' own layouts, one file per dataset."""

from diff4splat.data.readers.colmap import Colmap
from diff4splat.data.readers.dl3dv import DL3DV
from diff4splat.data.readers.dynamicreplica import DynamicReplica
from diff4splat.data.readers.matrixcity import MatrixCity
from diff4splat.data.readers.multicamvideo import MultiCamVideo
from diff4splat.data.readers.npz import NpzRecordings
from diff4splat.data.readers.open import DATASETS, find_datasets, open_dataset
from diff4splat.data.readers.pointodyssey import PointOdyssey
from diff4splat.data.readers.reader import DatasetReader
from diff4splat.data.readers.realestate10k import RealEstate10K
from diff4splat.data.readers.sparse_points import SparsePoints, load_sparse_points
from diff4splat.data.readers.spring import Spring
from diff4splat.data.readers.stereo4d import Stereo4D
from diff4splat.data.readers.tartanair import TartanAir
from diff4splat.data.readers.tartanair2 import TartanAirV2
from diff4splat.data.readers.video import Video
from diff4splat.data.readers.vkitti2 import VirtualKITTI2

__all__ = [
    "Colmap",
    "DATASETS",
    "DL3DV",
    "DatasetReader",
    "MatrixCity",
    "MultiCamVideo",
    "NpzRecordings",
    "RealEstate10K",
    "SparsePoints",
    "Stereo4D",
    "TartanAir",
    "DynamicReplica",
    "PointOdyssey",
    "Spring",
    "TartanAirV2",
    "VirtualKITTI2",
    "Video",
    "find_datasets",
    "load_sparse_points",
    "open_dataset",
]
