"""Which device trains."""

from __future__ import annotations

import torch

from hpsearch.errors import HpsearchError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(asked: str) -> str:
    """The torch device for `--device`: for auto the GPU where there is one, otherwise the processor.

    Raises:
        HpsearchError: the device asked for is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if asked not in there:
        raise HpsearchError(f'--device: expected one of {", ".join(DEVICES)}; found "{asked}"')
    if not there[asked]:
        raise HpsearchError(
            f"--device {asked}: torch {torch.__version__} sees no such device here; use --device auto or cpu"
        )
    return asked
