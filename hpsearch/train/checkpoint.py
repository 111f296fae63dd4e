"""A lane's state as bytes to store: safetensors, which holds numbers and no code."""

from __future__ import annotations

from hpsearch.train.lanes import LaneState

_ARRAYS = ("parameters", "momentum", "second", "running")


def pack(state: LaneState) -> bytes:
    """The state's arrays, bit for bit; the epoch is stored beside them."""
    from safetensors.numpy import save

    packed: bytes = save({name: getattr(state, name) for name in _ARRAYS})
    return packed


def unpack(epoch: int, data: bytes) -> LaneState:
    """The state of `pack`.

    Raises:
        ValueError: the bytes are no state.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        return LaneState(epoch, *(arrays[name] for name in _ARRAYS))
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"no checkpoint of a lane: {error}") from None
