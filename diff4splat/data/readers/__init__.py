"""Readers of the datasets of the field, in their authors' own layouts, one file per dataset."""

from diff4splat.data.readers.open import DATASETS, find_datasets, open_dataset
from diff4splat.data.readers.reader import DatasetReader
from diff4splat.data.readers.spring import Spring
from diff4splat.data.readers.tartanair import TartanAir

__all__ = ["DATASETS", "DatasetReader", "Spring", "TartanAir", "find_datasets", "open_dataset"]
