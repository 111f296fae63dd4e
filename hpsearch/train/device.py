"""Which device trains."""

from __future__ import annotations

import sys
from pathlib import Path

from hpsearch.errors import HpsearchError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(asked: str) -> str:
    """The torch device for `--device`: for auto the GPU where there is one, otherwise the processor.

    Raises:
        HpsearchError: the device asked for is not there.
    """
    if asked not in DEVICES:
        raise HpsearchError(f'--device: expected one of {", ".join(DEVICES)}; found "{asked}"')
    if asked == "cpu" or (asked == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[asked]:
        raise HpsearchError(
            f"--device {asked}: torch {torch.__version__} sees no such device here; use --device auto or cpu"
        )
    return asked


def _may_have_gpu() -> bool:
    """Whether torch is worth asking: on Linux a GPU that it can use has one of these device files."""
    return sys.platform != "linux" or any(
        Path(path).exists() for path in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
    )


def multiplies(asked: str) -> tuple[str, bool]:
    """The device that is chosen, and whether it multiplies matrices correctly."""
    device = choose_device(asked)
    import torch

    ones = torch.ones(64, 64, device=device)
    return device, (ones @ ones).sum().item() == 64.0**3


def torch_device(device: str) -> dict[str, str]:
    """What torch trains on, for the record of a run: the device's name and the processor's instructions."""
    import torch

    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
