"""`hpsearch run --profile`: where the time of a run went, and how near the machine's limit it came."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.running.profile import Profile

_PHASES = ("deciding", "sampling", "planning", "storing")


def age() -> float:
    """Seconds since this process began."""
    import time

    import psutil

    created = float(psutil.Process().create_time())
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return time.time() - created
    # Linux knows it since the start of the machine; psutil adds a boot time of whole seconds.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - (created - float(psutil.boot_time()))


def profile_lines(profile: Profile, started: float, ended: float, shown: float, cpu: bool) -> Iterator[str]:
    """The profile in words.

    Args:
        started, ended, shown: the process's age in seconds when training began, ended, and the result was
            shown. cpu: trained on the processor, whose products are worth comparing with its peak.
    """
    workers = profile.workers
    whole = workers * profile.seconds or 1.0
    busy = {
        "training": profile.training,
        "evaluating": profile.evaluating,
        "idle": profile.idle,
    }
    phases = {name: profile.phases.get(name, 0.0) for name in _PHASES}
    yield f"profile  {shown:.2f} s from the start of the process to its end"
    yield f"  starting  {started:6.2f} s   imports, data, opening the database"
    yield (
        f"  training  {ended - started:6.2f} s   {workers} worker{'s' if workers > 1 else ''}: "
        + ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in busy.items())
    )
    beside = ", ".join(f"{name} {seconds:.2f}" for name, seconds in phases.items())
    yield f"    meanwhile     {beside} s"
    yield f"  showing   {shown - ended:6.2f} s   reading what is stored, the table"
    spent = profile.training + profile.evaluating
    if spent <= 0:
        return
    rate = profile.operations / spent * workers / 1e9
    share = ""
    if cpu:
        peak = _peak()
        share = f", {rate / peak:.0%} of the machine's {peak:,.0f} (sgemm 1024³)"
    yield f"  products  {profile.operations / 1e9:,.1f} Gflop at {rate:,.0f} GFLOP/s{share}"


def _peak() -> float:
    """Best GFLOP/s of 1024³ single-precision products, in a tenth of a second."""
    import numpy as np

    a = np.ones((1024, 1024), dtype=np.float32)
    out = np.empty_like(a)
    times = []
    for _ in range(8):
        began = perf_counter()
        np.matmul(a, a, out=out)
        times.append(perf_counter() - began)
    return 2 * 1024**3 / min(times) / 1e9
