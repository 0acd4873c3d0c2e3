"""Readers of the datasets of the field, in their authors' own layouts, one file per dataset."""

from diff4splat.data.readers.dl3dv import DL3DV
from diff4splat.data.readers.matrixcity import MatrixCity
from diff4splat.data.readers.multicamvideo import MultiCamVideo
from diff4splat.data.readers.open import DATASETS, find_datasets, open_dataset
from diff4splat.data.readers.reader import DatasetReader
from diff4splat.data.readers.realestate10k import RealEstate10K
from diff4splat.data.readers.stereo4d import Stereo4D
from diff4splat.data.readers.tartanair import TartanAir

__all__ = [
    "DATASETS",
    "DL3DV",
    "DatasetReader",
    "MatrixCity",
    "MultiCamVideo",
    "RealEstate10K",
    "Stereo4D",
    "TartanAir",
    "find_datasets",
    "open_dataset",
]
