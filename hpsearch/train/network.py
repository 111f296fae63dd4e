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

from hpsearch.study.hyperparameters import ADAPTIVE
from hpsearch.study.layout import Piece, parameter_pieces, running_pieces
from hpsearch.train.hidden import Kept, Run, run_key
from hpsearch.train.lanes import Lane, LaneState
from hpsearch.train.problem import Floats, Problem
from hpsearch.train.stack import Parameter, aligned
from hpsearch.train.tensors import tensors_of


@dataclass(frozen=True)
class Block:
    """A linear layer of some lanes: weight [n, inputs, outputs], bias [n, 1, outputs].

    learns: [n, 1, 1] of ones and zeros, where some of the lanes have no biases: theirs stay 0.
    """

    weight: Parameter
    bias: Parameter
    learns: Tensor | None

    @classmethod
    def zeros(cls, lanes: Sequence[Lane], start: int, inputs: int, outputs: int, like: Tensor) -> Block:
        biases = [float(lane.configuration.bias) for lane in lanes]
        return cls(
            Parameter.zeros(lanes, start, inputs, outputs, like=like),
            Parameter.zeros(lanes, start, 1, outputs, like=like),
            None if all(biases) else like.new_tensor(biases).view(-1, 1, 1),
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
        if self.learns is not None:
            self.bias.gradient.mul_(self.learns)

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
class HiddenValues:
    """Values of a hidden layer for B rows: z [n, B, units · fan] of the linear layer, y [n, B, units] of all.

    As gradients the same, without `kept`. y is z where everything can be done in place.
    """

    z: Tensor
    y: Tensor
    kept: list[Kept]


class StackedNetwork:
    """The networks of all lanes of a tile; a `stack.Network`.

    Args:
        lanes: sorted by `sort_key`, deepest first, of one `fan`.
        widths: units of each hidden layer of the deepest lane, with padding; every lane's hidden
            layers are at most as wide as the first of these.
    """

    def __init__(self, problem: Problem, lanes: Sequence[Lane], widths: Sequence[int]) -> None:
        self.problem, self.lanes, self.widths = problem, lanes, tuple(widths)
        like = tensors_of(problem).x_train
        depths = [len(lane.configuration.layers) for lane in lanes]  # hidden layers of each lane
        assert depths == sorted(depths, reverse=True), "lanes must be sorted deepest first"
        counts = [sum(depth > layer for depth in depths) for layer in range(depths[0])]  # n_l
        units, fan = [problem.features, *self.widths], lanes[0].configuration.fan
        self.hidden_blocks = [
            Block.zeros(lanes[:n], 0, units[layer], units[layer + 1] * fan, like)
            for layer, n in enumerate(counts)
        ]
        starts = [*counts, 0]  # lanes with exactly d hidden layers: starts[d] … starts[d-1]
        self.outputs = {
            depth: Block.zeros(
                lanes[starts[depth] : stop], starts[depth], units[depth], problem.outputs, like
            )
            for depth, stop in reversed(list(enumerate([len(lanes), *counts])))
            if stop > starts[depth]
        }
        self.runs = [list(self._runs_of(layer, n)) for layer, n in enumerate(counts)]
        self._apart = [not all(run.in_place for run in runs) for runs in self.runs]
        self._placed = list(self._placed_parameters())
        self.parameters = [parameter for _, _, parameter in self._placed]
        self._load([lane.begin(problem) for lane in lanes])

    def _runs_of(self, layer: int, n: int) -> Iterator[Run]:
        start = 0
        while start < n:
            key, stop = run_key(self.lanes[start].configuration), start + 1
            while stop < n and run_key(self.lanes[stop].configuration) == key:
                stop += 1
            yield Run(self.problem, self.lanes[start:stop], start, layer, self.widths[layer])
            start = stop

    def _placed_parameters(self) -> Iterator[tuple[int, str, Parameter]]:
        """(layer, role, parameter), layer by layer."""
        for layer, (block, runs) in enumerate(zip(self.hidden_blocks, self.runs, strict=True)):
            yield layer, "weight", block.weight
            yield layer, "bias", block.bias
            for run in runs:
                for role, parameter in run.parameters:
                    yield layer, role, parameter
        for depth, block in self.outputs.items():
            yield depth, "weight", block.weight
            yield depth, "bias", block.bias

    def begin(self, epoch: int) -> None:
        for runs in self.runs:
            for run in runs:
                run.begin(epoch)

    def buffers(self, rows: int) -> list[HiddenValues]:
        """Buffers for mini-batches of `rows`; two for training, since gradients need their own."""
        like, made = tensors_of(self.problem).x_train, []
        for block, runs, width, apart in zip(
            self.hidden_blocks, self.runs, self.widths, self._apart, strict=True
        ):
            z = aligned(like, block.stop, rows, block.weight.value.shape[2])
            y = aligned(like, block.stop, rows, width) if apart else z
            made.append(HiddenValues(z, y, [run.buffers(rows) for run in runs]))
        return made

    def hidden(self, values: list[HiddenValues]) -> list[Tensor]:
        return [each.y for each in values]

    def forward(self, x: Tensor, logits: Tensor, values: list[HiddenValues], training: bool = False) -> None:
        """x [B, features] → logits [T, B, O]; hidden values are left in `values`."""
        h = x.expand(len(self.lanes), -1, -1)  # [T, B, features], no copy
        for block, runs, own, apart in zip(self.hidden_blocks, self.runs, values, self._apart, strict=True):
            block.forward(h[: block.stop], own.z)
            for run, kept in zip(runs, own.kept, strict=True):
                run.forward(own.z[run.place], own.y[run.place], kept, apart, training)
            h = own.y
        for depth, block in self.outputs.items():
            block.forward(self._input(x, values, depth, block), logits[block.start : block.stop])

    def backward(
        self, x: Tensor, d_logits: Tensor, values: list[HiddenValues], gradients: list[HiddenValues]
    ) -> None:
        """∂L/∂logits [T, B, O] → gradients of all blocks, for the `values` of the last forward."""
        for depth, block in self.outputs.items():
            block.gradients(self._input(x, values, depth, block), d_logits[block.start : block.stop])
        for layer in reversed(range(len(self.hidden_blocks))):
            block, own = self.hidden_blocks[layer], values[layer]
            fan = own.z.shape[2] > self.widths[layer]
            g, out = gradients[layer].y if fan else gradients[layer].z, gradients[layer].z
            if layer + 1 < len(self.hidden_blocks):
                above = gradients[layer + 1].z
                self.hidden_blocks[layer + 1].input_gradient(above, g[: len(above)])
            if last := self.outputs.get(layer + 1):
                last.input_gradient(d_logits[last.start : last.stop], g[last.start : last.stop])
            for run, kept in zip(self.runs[layer], own.kept, strict=True):
                run.backward(g[run.place], own.z[run.place], kept, out[run.place])
            h = values[layer - 1].y[: block.stop] if layer else x.expand(block.stop, -1, -1)
            block.gradients(h, out)

    def _input(self, x: Tensor, values: list[HiddenValues], depth: int, block: Block) -> Tensor:
        """[n, B, inputs]: what the output block of lanes with `depth` hidden layers sees."""
        if depth == 0:
            return x.expand(block.stop - block.start, -1, -1)
        return values[depth - 1].y[block.start : block.stop]

    # -- states ----------------------------------------------------------------------------------

    def _arrays(self) -> dict[str, list[tuple[int, str, int, Tensor]]]:
        """(layer, role, first lane, tensor) of each part of a state, for the pieces of study.layout."""
        learned = [
            (name, [(layer, role, p.start, getattr(p, of)) for layer, role, p in self._placed])
            for name, of in (("parameters", "value"), ("momentum", "momentum"), ("second", "second"))
        ]
        running = [
            (layer, role, run.place.start, tensor)
            for layer, runs in enumerate(self.runs)
            for run in runs
            if run.gain is not None
            for role, tensor in (("mean", run.mean), ("variance", run.variance))
        ]
        return dict([*learned, ("running", running)])

    def _pieces(self, name: str, lane: Lane) -> list[Piece]:
        """The pieces of a lane's flat array `name`; none if it is empty."""
        sizes = self.problem.features, lane.configuration, self.problem.outputs
        if name == "running":
            return running_pieces(*sizes)
        if name == "second" and lane.configuration.optimizer not in ADAPTIVE:
            return []
        return parameter_pieces(*sizes)

    def _slots(self, name: str, hosts: list[tuple[int, str, int, Floats]]) -> Iterator[list[Floats]]:
        """For each lane views of the places of its pieces, which leave out the padding."""
        for index, lane in enumerate(self.lanes):
            yield [
                next(
                    host[index - start].reshape(-1, host.shape[2])[: _rows(piece), : piece.shape[-1]]
                    for layer, role, start, host in hosts
                    if (layer, role) == (piece.layer, piece.role) and 0 <= index - start < len(host)
                )
                for piece in self._pieces(name, lane)
            ]

    def _load(self, states: Sequence[LaneState]) -> None:
        """Copy states into the lanes' slots, where padding stays zero; a parameter of all lanes at once."""
        for name, tensors in self._arrays().items():
            hosts = [
                (layer, role, start, np.zeros(tensor.shape, self.problem.dtype))
                for layer, role, start, tensor in tensors
            ]
            for slots, state in zip(self._slots(name, hosts), states, strict=True):
                at, flat = 0, getattr(state, name)
                for slot in slots:
                    slot[:] = flat[at : at + slot.size].reshape(slot.shape)
                    at += slot.size
            for (_, _, _, tensor), (_, _, _, host) in zip(tensors, hosts, strict=True):
                tensor.copy_(torch.from_numpy(host))

    def states(self, epoch: int) -> list[LaneState]:
        """The lanes' states, copied out of their slots; a parameter of all lanes at once."""
        flats: dict[str, list[Floats]] = {}
        for name, tensors in self._arrays().items():
            hosts = [(layer, role, start, t.cpu().numpy()) for layer, role, start, t in tensors]
            nothing = np.empty(0, self.problem.dtype)
            flats[name] = [
                np.concatenate([nothing, *(slot.reshape(-1) for slot in slots)])
                for slots in self._slots(name, hosts)
            ]
        return [
            LaneState(
                epoch, *(flats[name][index] for name in ("parameters", "momentum", "second", "running"))
            )
            for index in range(len(self.lanes))
        ]


def _rows(piece: Piece) -> int:
    return piece.shape[0] if len(piece.shape) == 2 else 1


def sort_key(lane: Lane) -> tuple[object, ...]:
    """Deepest first, then by what follows the linear layers, so that runs are long."""
    return -len(lane.configuration.layers), *run_key(lane.configuration)
