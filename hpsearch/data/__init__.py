"""Data: built-in, generated and from table files, split and turned into arrays."""

from hpsearch.data.dataset import Dataset, Part
from hpsearch.data.load import load_dataset

__all__ = ["Dataset", "Part", "load_dataset"]
