"""Training: the cohort trainer, the solo reference behind the same interface, and the planner."""

from hpsearch.train.cohort import train_cohort
from hpsearch.train.device import choose_device
from hpsearch.train.engine import engine_name, plan, train_lanes
from hpsearch.train.lanes import Lane, LaneResult, LaneState, Trainer, initial_state
from hpsearch.train.native import missing_kernel
from hpsearch.train.planner import Tile, pads_widths, plan_tiles
from hpsearch.train.problem import Problem
from hpsearch.train.solo import train_solo

__all__ = [
    "Lane",
    "LaneResult",
    "LaneState",
    "Problem",
    "Tile",
    "Trainer",
    "choose_device",
    "engine_name",
    "initial_state",
    "missing_kernel",
    "pads_widths",
    "plan",
    "plan_tiles",
    "train_cohort",
    "train_lanes",
    "train_solo",
]
