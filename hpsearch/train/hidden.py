"""Hidden layers of all lanes of a tile: a linear layer, then batch normalisation, activation and dropout.

What follows the linear layer differs from lane to lane, so it is done run by run: neighbouring lanes that
have the same. Everything is written out, forward and backward, into buffers that are allocated once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpsearch import seeds
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train.activations import ACTIVATIONS
from hpsearch.train.lanes import Lane
from hpsearch.train.problem import Problem
from hpsearch.train.stack import Parameter, aligned
from hpsearch.train.tensors import tensors_of

NORM_EPSILON, NORM_MOMENTUM = 1e-5, 0.1
"""torch.nn.BatchNorm1d's own."""


def run_key(configuration: Configuration) -> tuple[str, str, bool, bool]:
    """What neighbouring lanes must have in common to be one run."""
    c = configuration
    return c.activation, c.slopes if c.activation == "prelu" else "", c.batch_norm, c.dropout > 0


@dataclass(frozen=True)
class Kept:
    """What one forward pass of a run leaves for the backward pass, besides the layer's values.

    normalised: [n, B, outputs] and deviation: [n, 1, outputs] of batch normalisation, for the linear layer's
    outputs. mask: [n, B, units] of dropout, 0 or 1/(1 - p). scratch: [n, B, outputs].
    """

    normalised: Tensor
    deviation: Tensor
    mask: Tensor
    scratch: Tensor


class Run:
    """Neighbouring lanes start … stop-1 of a hidden layer that do the same after the linear layer.

    widths: units of each lane's layer; the others are padding and stay 0.
    """

    def __init__(self, problem: Problem, lanes: Sequence[Lane], start: int, layer: int, padded: int) -> None:
        self.lanes, self.place = lanes, slice(start, start + len(lanes))
        configuration = lanes[0].configuration
        self.layer, self.padded, self._problem = layer, padded, problem
        self._linear = padded * configuration.fan  # outputs of the linear layer
        self._like = like = tensors_of(problem).x_train
        self.widths = [lane.configuration.layers[layer] for lane in lanes]
        self.activation = configuration.activation
        alphas = [lane.configuration.alpha for lane in lanes]
        self._alpha = like.new_tensor(alphas).view(-1, 1, 1)
        self._mask = self._padding_mask()
        self.slope: Parameter | None = None
        if self.activation == "prelu":
            slopes = padded if configuration.slopes == "unit" else 1
            self.slope = Parameter.zeros(lanes, start, 1, slopes, like=like)
        self.gain = self.shift = None
        if configuration.batch_norm:
            self.gain, self.shift = (
                Parameter.zeros(lanes, start, 1, self._linear, like=like) for _ in range(2)
            )
            self.mean, self.variance = (aligned(like, len(lanes), 1, self._linear) for _ in range(2))
        self.drops = configuration.dropout > 0
        self._random: list[np.random.Generator] = []

    def _padding_mask(self) -> Tensor | None:
        """[n, 1, padded] of zeros and ones where padded units would not stay zero by themselves."""
        own = ACTIVATIONS.get(self.activation)
        if own is None or own.zero_at_zero or min(self.widths) == self.padded:
            return None
        mask = np.arange(self.padded) < np.array(self.widths)[:, None, None]
        return torch.from_numpy(mask.astype(self._problem.dtype)).to(self._like.device)

    @property
    def from_input(self) -> bool:
        """Whether the activation's gradient is computed from what went in."""
        own = ACTIVATIONS.get(self.activation)
        return own is None or own.from_input

    @property
    def in_place(self) -> bool:
        """Whether what comes out may be written over what came in."""
        return not (self.from_input or self.drops)

    def buffers(self, rows: int) -> Kept:
        def buffer(needed: bool, rows: int, units: int) -> Tensor:
            return aligned(self._like, len(self.lanes) if needed else 0, rows, units)

        norm, linear = self.gain is not None, self._linear
        return Kept(
            normalised=buffer(norm, rows, linear),
            deviation=buffer(norm, 1, linear),
            mask=buffer(self.drops, rows, self.padded),
            scratch=buffer(norm or self.slope is not None, rows, linear),
        )

    def begin(self, epoch: int) -> None:
        """Dropout's masks are a function of (seed, trial, epoch, layer), whoever the neighbours are."""
        if self.drops:
            self._random = [
                seeds.generator(self._problem.seed, "dropout", lane.drawn_as, epoch, self.layer)
                for lane in self.lanes
            ]

    def forward(self, z: Tensor, y: Tensor, kept: Kept, apart: bool, training: bool) -> None:
        """z [n, B, padded · fan] → y [n, B, padded], which is z itself unless `apart`."""
        if self.gain is not None:
            self._normalise(z, kept, training)
        if self.activation == "maxout":
            torch.amax(self._pieces(z), 3, out=y)
        elif self.slope is not None:
            torch.mul(z, self.slope.value, out=y)
            y.copy_(torch.where(z > 0, z, y))
        elif self.from_input:
            ACTIVATIONS[self.activation].forward(y.copy_(z), self._alpha)
        else:
            ACTIVATIONS[self.activation].forward(z, self._alpha)
            if self._mask is not None:
                z.mul_(self._mask)
            if apart:
                y.copy_(z)
        if self.drops and training:
            self._draw(kept.mask)
            y.mul_(kept.mask)

    def backward(self, g: Tensor, z: Tensor, kept: Kept, out: Tensor) -> None:
        """g = ∂L/∂y [n, B, padded], which is spoilt → out = ∂L/∂z; out is g itself but for maxout."""
        if self.drops:
            g.mul_(kept.mask)
        if self.activation == "maxout":
            # Where several are equally large, each takes its share, as torch.amax has it.
            largest = self._pieces(z) == self._pieces(z).amax(3, keepdim=True)
            torch.mul(largest, (g / largest.sum(3))[:, :, :, None], out=self._pieces(out))
        elif self.slope is not None:
            self._slope_gradient(g, z, kept.scratch)
            g.copy_(torch.where(z > 0, g, g * self.slope.value))
        else:
            ACTIVATIONS[self.activation].backward(g, z, self._alpha)
        if self.gain is not None:
            self._normalise_back(out, kept)

    def _pieces(self, z: Tensor) -> Tensor:
        """z [n, B, padded · fan] as [n, B, padded, fan]."""
        return z.view(*z.shape[:2], self.padded, -1)

    def _slope_gradient(self, g: Tensor, z: Tensor, scratch: Tensor) -> None:
        """∂L/∂slope: the sum of g·z over rows where z is negative, and over units that share it."""
        assert self.slope is not None
        torch.clamp(z, max=0, out=scratch)
        total = scratch.mul_(g).sum(1, keepdim=True)
        self.slope.gradient.copy_(total if self.slope.value.shape[2] > 1 else total.sum(2, keepdim=True))

    def _normalise(self, z: Tensor, kept: Kept, training: bool) -> None:
        """z ← gain · (z − mean) / √(variance + ε) + shift (Ioffe & Szegedy 2015, algorithm 1)."""
        assert self.gain is not None
        assert self.shift is not None
        normalised, deviation, scratch = kept.normalised, kept.deviation, kept.scratch
        rows = z.shape[1]
        if training:
            mean = z.mean(1, keepdim=True)
            torch.sub(z, mean, out=normalised)
            torch.mul(normalised, normalised, out=scratch)
            variance = scratch.mean(1, keepdim=True)
            self.mean.lerp_(mean, NORM_MOMENTUM)
            self.variance.lerp_(variance * (rows / max(rows - 1, 1)), NORM_MOMENTUM)
        else:
            variance = self.variance
            torch.sub(z, self.mean, out=normalised)
        torch.sqrt(variance + NORM_EPSILON, out=deviation)
        normalised.div_(deviation)
        torch.mul(normalised, self.gain.value, out=z)
        z.add_(self.shift.value)

    def _normalise_back(self, g: Tensor, kept: Kept) -> None:
        """g ← gain/√(variance + ε) · (g − mean g − x̂ · mean(g x̂)), means over the rows."""
        assert self.gain is not None
        assert self.shift is not None
        torch.mul(g, kept.normalised, out=kept.scratch)
        torch.sum(kept.scratch, 1, keepdim=True, out=self.gain.gradient)
        torch.sum(g, 1, keepdim=True, out=self.shift.gradient)
        rows = g.shape[1]
        torch.mul(kept.normalised, self.gain.gradient / rows, out=kept.scratch)
        g.sub_(kept.scratch).sub_(self.shift.gradient / rows)
        g.mul_(self.gain.value / kept.deviation)

    def _draw(self, mask: Tensor) -> None:
        drawn = np.zeros(mask.shape, np.float32)
        for own, random, lane, width in zip(drawn, self._random, self.lanes, self.widths, strict=True):
            own[:, :width] = dropout_mask(random, own.shape[0], width, lane.configuration.dropout)
        mask.copy_(torch.from_numpy(drawn))

    @property
    def parameters(self) -> Iterator[tuple[str, Parameter]]:
        for role, parameter in (("gain", self.gain), ("shift", self.shift), ("slope", self.slope)):
            if parameter is not None:
                yield role, parameter


def dropout_mask(
    random: np.random.Generator, rows: int, units: int, share: float
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """[rows, units] 0 for a dropped unit, otherwise 1/(1 - share) (Srivastava et al. 2014, inverted)."""
    kept = random.random((rows, units), dtype=np.float32) >= share
    return kept.astype(np.float32) / np.float32(1 - share)
