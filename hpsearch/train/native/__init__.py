"""The native trainer: small lanes on a processor, each in its cache. See `lane.c`."""

from hpsearch.train.native.build import Kernel, load_kernel, missing_kernel
from hpsearch.train.native.trainer import fits, train_native

__all__ = ["Kernel", "fits", "load_kernel", "missing_kernel", "train_native"]
