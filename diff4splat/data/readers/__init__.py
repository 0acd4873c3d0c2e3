"""Readers of the datasets of the field, in their authors' own layouts, one file per dataset."""

from diff4splat.data.readers.dynamicreplica import DynamicReplica
from diff4splat.data.readers.open import DATASETS, find_datasets, open_dataset
from diff4splat.data.readers.pointodyssey import PointOdyssey
from diff4splat.data.readers.reader import DatasetReader
from diff4splat.data.readers.spring import Spring
from diff4splat.data.readers.tartanair import TartanAir
from diff4splat.data.readers.tartanair2 import TartanAirV2
from diff4splat.data.readers.vkitti2 import VirtualKITTI2

__all__ = [
    "DATASETS",
    "DatasetReader",
    "DynamicReplica",
    "PointOdyssey",
    "Spring",
    "TartanAir",
    "TartanAirV2",
    "VirtualKITTI2",
    "find_datasets",
    "open_dataset",
]
