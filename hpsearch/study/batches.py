"""Mini-batches of an epoch: how many, and of how many rows."""

from __future__ import annotations


def batch_rows(rows: int, batch_size: int | str) -> int:
    """Rows in a mini-batch: `batch_size`, or all rows when it is "all" or the data are fewer."""
    return rows if isinstance(batch_size, str) else min(batch_size, rows)


def steps_per_epoch(rows: int, batch_size: int | str, keep_last: bool) -> int:
    """Mini-batches in an epoch over so many rows; a last one that is not whole counts if it is kept."""
    batch = batch_rows(rows, batch_size)
    return -(-rows // batch) if keep_last else rows // batch
