"""The native trainer: tiles of lanes on a processor, in its cache. See `tile.c`."""

from hpsearch.train.native.build import Kernel, load_kernel, missing_kernel, source_hash
from hpsearch.train.native.interface import fits
from hpsearch.train.native.trainer import train_native

__all__ = ["Kernel", "fits", "load_kernel", "missing_kernel", "source_hash", "train_native"]
