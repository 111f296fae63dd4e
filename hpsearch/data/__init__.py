"""Data: built-in, generated, tables and pictures, split and turned into arrays."""

from hpsearch.data.dataset import Dataset, Image, Part
from hpsearch.data.load import load_dataset

__all__ = ["Dataset", "Image", "Part", "load_dataset"]
