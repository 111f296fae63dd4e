"""The tests have a cache folder of their own, in which the kernel is compiled once for all of them."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "cache")
