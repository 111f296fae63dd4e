"""Training: tiles of lanes through the native kernel or stacked in torch, and the planner.

The stacked trainer is `train.cohort.train_cohort`, the reference `train.solo.train_solo`; they are left out
here because they import torch, which takes a second.
"""

from hpsearch.train.checkpoint import pack, unpack
from hpsearch.train.device import choose_device
from hpsearch.train.engine import cost, engine_name, plan, train_lanes
from hpsearch.train.lanes import Lane, LaneResult, LaneState, Trainer, initial_state
from hpsearch.train.native import missing_kernel
from hpsearch.train.planner import Tile, pads_widths, plan_tiles
from hpsearch.train.problem import Problem

__all__ = [
    "Lane",
    "LaneResult",
    "LaneState",
    "Problem",
    "Tile",
    "Trainer",
    "choose_device",
    "cost",
    "engine_name",
    "initial_state",
    "missing_kernel",
    "pack",
    "pads_widths",
    "plan",
    "plan_tiles",
    "train_lanes",
    "unpack",
]
