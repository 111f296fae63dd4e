"""Arrays of a stored scoring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hpsearch.errors import StorageError
from hpsearch.records import Scoring


@contextmanager
def unpacked(study: str, scoring: Scoring) -> Iterator[dict[str, Any]]:
    """The arrays of a scoring; an error in the `with` means that they or its `about` are damaged.

    study: its name.

    Raises:
        StorageError: they are not as they were written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        yield load(scoring.data)
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise StorageError(
            f'study "{study}": scoring {scoring.number} is not as hpsearch writes it ({error!r})'
        ) from None
