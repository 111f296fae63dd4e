"""Which device trains."""

from __future__ import annotations

import sys
from pathlib import Path

from hpsearch.errors import HpsearchError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(asked: str) -> str:
    """The torch device for `--device`; auto: the GPU if there is one, otherwise the CPU.

    Raises:
        HpsearchError: the requested device is missing.
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
            f"--device {asked}: torch {torch.__version__} finds no such device; use --device auto or cpu"
        )
    return asked


def _may_have_gpu() -> bool:
    """Whether torch is worth asking: on Linux any GPU it can use has one of these device files."""
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
    """The hardware torch trains on, for the record: device name and CPU instruction set."""
    import torch

    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
