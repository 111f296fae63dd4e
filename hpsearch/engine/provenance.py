"""What a run's numbers depend on beside the study and its data."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import numpy as np
import optuna

import hpsearch
from hpsearch.train import engine_name


def provenance(device: str, workers: int) -> dict[str, Any]:
    """Versions, processor, device and threads of this process, as JSON-able values."""
    engine = engine_name(device)
    return {
        "hpsearch": hpsearch.__version__,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "numpy": np.__version__,
        "optuna": optuna.__version__,
        "sklearn": metadata.version("scikit-learn"),
        "processor": _processor(),
        **(_torch_says(device) if engine == "torch" else {"device": device}),
        "engine": engine,
        "workers": workers,
        "platform": platform.platform(terse=True),
    }


def _torch_says(device: str) -> dict[str, str]:
    """What torch trains on; nobody else need import it for that."""
    import torch

    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
