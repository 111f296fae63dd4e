"""The study that hpsearch and its peers search."""

from __future__ import annotations

from pathlib import Path

from hpsearch.study.file import Study, load_study

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "studies" / "digits.toml"


def digits(seed: int, *overrides: str) -> Study:
    """The digits study with another seed: another split of the data, other weights, other choices."""
    return load_study(STUDY, [f"study.seed={seed}", *overrides])
