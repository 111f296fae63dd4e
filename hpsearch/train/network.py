"""Many multi-layer perceptrons as one: the stacked network of a tile, forward and backward.

Lanes are sorted deepest first, so hidden layer l is one batched product on the prefix of lanes that
have it; lanes of equal depth share an output block. Everything is written into buffers that are
allocated once. The backward pass is written out, because on ragged slices autograd spends most of
its time on zero-filled copies (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpsearch.train.activations import ACTIVATIONS, Activation
from hpsearch.train.lanes import Lane, LaneState, layer_shapes
from hpsearch.train.problem import Floats, Problem
from hpsearch.train.stack import Parameter, aligned


@dataclass(frozen=True)
class Block:
    """A linear layer of some lanes: weight [n, inputs, outputs], bias [n, 1, outputs]."""

    weight: Parameter
    bias: Parameter

    @classmethod
    def zeros(cls, start: int, stop: int, inputs: int, outputs: int, like: Tensor) -> Block:
        return cls(
            Parameter.zeros(start, stop, inputs, outputs, like=like),
            Parameter.zeros(start, stop, 1, outputs, like=like),
        )

    @property
    def start(self) -> int:
        return self.weight.start

    @property
    def stop(self) -> int:
        return self.weight.stop

    def forward(self, h: Tensor, out: Tensor) -> None:
        """h [n, B, inputs] → out [n, B, outputs]."""
        out.copy_(self.bias.value.expand_as(out))
        _product(h, self.weight.value, out, add=True)

    def gradients(self, h: Tensor, g: Tensor) -> None:
        """From h [n, B, inputs] and g = ∂L/∂out [n, B, outputs] to those of weight and bias."""
        _product(h.transpose(1, 2), g, self.weight.gradient)
        torch.sum(g, 1, keepdim=True, out=self.bias.gradient)

    def input_gradient(self, g: Tensor, out: Tensor) -> None:
        """g [k, B, outputs] → out [k, B, inputs] for the first k = len(g) lanes of the block."""
        _product(g, self.weight.value[: len(g)].transpose(1, 2), out)


def _product(a: Tensor, b: Tensor, out: Tensor, add: bool = False) -> None:
    """out [n, p, r] = a [n, p, q] · b [n, q, r], plus out itself if `add`; the same for any n."""
    if len(out) == 1:
        # A batch of one takes another kernel, with other last bits: multiply it twice.
        # Strides as in `out`, since they choose the kernel, too.
        pair = torch.empty_strided((2, *out.shape[1:]), out.stride(), dtype=out.dtype, device=out.device)
        if add:
            pair.copy_(out.expand_as(pair))
        _product(a.expand(2, -1, -1), b.expand(2, -1, -1), pair, add)
        out.copy_(pair[:1])
    elif add:
        torch.baddbmm(out, a, b, out=out)
    else:
        torch.bmm(a, b, out=out)


@dataclass(frozen=True)
class Run:
    """Neighbouring lanes of one hidden layer with the same activation.

    mask: [lanes, 1, units] of zeros and ones where padded units would not stay zero by themselves.
    """

    lanes: slice
    activation: Activation
    mask: Tensor | None


@dataclass(frozen=True)
class Buffers:
    """Hidden values [n_l, B, units_l] of each layer for mini-batches of B rows."""

    hidden: list[Tensor]


class StackedNetwork:
    """The networks of all lanes of a tile; a `stack.Network`.

    Args:
        lanes: sorted by `sort_key`, deepest first.
        widths: units of each hidden layer of the deepest lane, with padding; every lane's hidden
            layers are at most as wide as the first of these.
    """

    def __init__(self, problem: Problem, lanes: Sequence[Lane], widths: Sequence[int]) -> None:
        self.problem, self.lanes, self.widths = problem, lanes, tuple(widths)
        like = problem.tensors.x_train
        depths = [len(lane.configuration.layers) for lane in lanes]  # hidden layers of each lane
        assert depths == sorted(depths, reverse=True), "lanes must be sorted deepest first"
        counts = [sum(depth > layer for depth in depths) for layer in range(depths[0])]  # n_l
        units = [problem.features, *self.widths]
        self.hidden = [
            Block.zeros(0, n, units[layer], units[layer + 1], like) for layer, n in enumerate(counts)
        ]
        starts = [*counts, 0]  # lanes with exactly d hidden layers: starts[d] … starts[d-1]
        self.output = [
            (depth, Block.zeros(starts[depth], stop, units[depth], problem.outputs, like))
            for depth, stop in reversed(list(enumerate([len(lanes), *counts])))
            if stop > starts[depth]
        ]
        blocks = [*self.hidden, *(block for _, block in self.output)]
        self.parameters = [parameter for block in blocks for parameter in (block.weight, block.bias)]
        self.runs = [list(self._runs(layer, n)) for layer, n in enumerate(counts)]
        self._places = [list(self._places_of(index)) for index in range(len(lanes))]
        self._load([lane.begin(problem) for lane in lanes])

    def _runs(self, layer: int, n: int) -> Iterator[Run]:
        start = 0
        while start < n:
            name = self.lanes[start].configuration.activation
            stop = start + 1
            while stop < n and self.lanes[stop].configuration.activation == name:
                stop += 1
            yield Run(slice(start, stop), ACTIVATIONS[name], self._mask(layer, start, stop, name))
            start = stop

    def _mask(self, layer: int, start: int, stop: int, name: str) -> Tensor | None:
        widths = [lane.configuration.layers[layer] for lane in self.lanes[start:stop]]
        padded = self.widths[layer]
        if ACTIVATIONS[name].zero_at_zero or min(widths) == padded:
            return None
        mask = np.arange(padded) < np.array(widths)[:, None, None]
        return torch.from_numpy(mask.astype(self.problem.dtype)).to(self.problem.device)

    def buffers(self, rows: int) -> Buffers:
        """Buffers for mini-batches of `rows`; two for training, since gradients need their own."""
        like = self.problem.tensors.x_train
        return Buffers(
            [aligned(like, block.stop, rows, block.weight.value.shape[2]) for block in self.hidden]
        )

    def forward(self, x: Tensor, logits: Tensor, values: Buffers) -> None:
        """x [B, features] → logits [T, B, O]; hidden values are left in `values`."""
        h = x.expand(len(self.lanes), -1, -1)  # [T, B, features], no copy
        for block, runs, z in zip(self.hidden, self.runs, values.hidden, strict=True):
            block.forward(h[: block.stop], z)
            for run in runs:
                run.activation.forward(z[run.lanes])
                if run.mask is not None:
                    z[run.lanes].mul_(run.mask)
            h = z
        for depth, block in self.output:
            block.forward(self._input(x, values, depth, block), logits[block.start : block.stop])

    def backward(self, x: Tensor, d_logits: Tensor, values: Buffers, gradients: Buffers) -> None:
        """∂L/∂logits [T, B, O] → gradients of all blocks, for the `values` of the last forward."""
        for depth, block in self.output:
            block.gradients(self._input(x, values, depth, block), d_logits[block.start : block.stop])
        outputs = dict(self.output)
        for layer in reversed(range(len(self.hidden))):
            block, y, g = self.hidden[layer], values.hidden[layer], gradients.hidden[layer]
            if layer + 1 < len(self.hidden):
                above = gradients.hidden[layer + 1]
                self.hidden[layer + 1].input_gradient(above, g[: len(above)])
            if last := outputs.get(layer + 1):
                last.input_gradient(d_logits[last.start : last.stop], g[last.start : last.stop])
            for run in self.runs[layer]:
                run.activation.backward(g[run.lanes], y[run.lanes])
            h = values.hidden[layer - 1][: block.stop] if layer else x.expand(block.stop, -1, -1)
            block.gradients(h, g)

    def _input(self, x: Tensor, values: Buffers, depth: int, block: Block) -> Tensor:
        """[n, B, inputs]: what the output block of lanes with `depth` hidden layers sees."""
        if depth == 0:
            return x.expand(block.stop - block.start, -1, -1)
        return values.hidden[depth - 1][block.start : block.stop]

    def _places_of(self, index: int) -> Iterator[tuple[int, tuple[int | slice, ...]]]:
        """(parameter, place in it) of each piece of a lane's flat state, which leaves out the padding."""
        configuration = self.lanes[index].configuration
        shapes = layer_shapes(self.problem.features, configuration, self.problem.outputs)
        output = next(at for at, (_, block) in enumerate(self.output) if block.start <= index < block.stop)
        blocks = [*range(len(shapes) - 1), len(self.hidden) + output]
        for block, (inputs, outputs) in zip(blocks, shapes, strict=True):
            row = index - self.parameters[2 * block].start
            yield 2 * block, (row, slice(inputs), slice(outputs))
            yield 2 * block + 1, (row, 0, slice(outputs))

    def _load(self, states: Sequence[LaneState]) -> None:
        """Copy states into the lanes' slots, where padding stays zero; a parameter of all lanes at once."""
        for tensors, flats in (
            ([each.value for each in self.parameters], [state.parameters for state in states]),
            ([each.momentum for each in self.parameters], [state.momentum for state in states]),
        ):
            hosts = [np.zeros(tensor.shape, self.problem.dtype) for tensor in tensors]
            for places, flat in zip(self._places, flats, strict=True):
                start = 0
                for at, place in places:
                    slot = hosts[at][place]
                    slot[:] = flat[start : start + slot.size].reshape(slot.shape)
                    start += slot.size
            for tensor, host in zip(tensors, hosts, strict=True):
                tensor.copy_(torch.from_numpy(host))

    def states(self, epoch: int) -> list[LaneState]:
        """The lanes' states, copied out of their slots; a parameter of all lanes at once."""
        values = [each.value.cpu().numpy() for each in self.parameters]
        momenta = [each.momentum.cpu().numpy() for each in self.parameters]

        def flat(hosts: list[Floats], index: int) -> Floats:
            return np.concatenate([hosts[at][place].reshape(-1) for at, place in self._places[index]])

        return [LaneState(epoch, flat(values, i), flat(momenta, i)) for i in range(len(self.lanes))]


def sort_key(lane: Lane) -> tuple[int, str]:
    """Deepest first, then by activation, so that runs are long."""
    return -len(lane.configuration.layers), lane.configuration.activation
