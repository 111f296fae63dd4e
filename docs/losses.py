"""Writes docs/losses.md: what outputs stand for, which loss fits, and why losses take raw outputs."""

from __future__ import annotations

import numpy as np
import torch

from hpsearch.records import Task
from hpsearch.study.file import FITTING_LOSSES, FITTING_METRICS
from hpsearch.train.losses import LOSSES

_OUTPUTS = (1.0, 5.0, 10.0, 15.0, 17.0, 50.0, 104.0, 1e4)

_CHART = """\
```
is the output continuous?
├─ yes ── may it be negative?
│         ├─ yes ── regression            mse, or l1 where outliers should count less
│         └─ no ─── positive_regression   softplus(o), then mse, l1, or poisson for counts
└─ no ─── how many classes?
          ├─ two ── binary                bce with logits
          └─ more ─ multiclass            cross_entropy with logits
```
"""

_STANDS_FOR = {
    Task.REGRESSION: "o, in the standardised target's unit",
    Task.POSITIVE_REGRESSION: 'softplus(o) = log(1 + eᵒ), or ReLU(o) with `representation = "relu"`',
    Task.BINARY: "σ(o), the probability of the second class; o > 0 decides for it",
    Task.MULTICLASS: "softmax(o), the classes' probabilities; the largest o decides",
}


def losses_page(generated: str) -> str:
    """The page; `generated` is its first line."""
    parts = [
        generated,
        "# Outputs and losses\n\nA model's outputs are raw values, always. What they stand for is applied outside "
        "the model, in metrics and predictions; losses take the raw values, too.\n\n",
        _CHART,
        "\nThat is how the defaults are chosen, and what `hpsearch init DATA` writes.\n\n"
        "| task | an output o stands for | losses, the default first | metrics, the default first |\n"
        "|---|---|---|---|\n",
    ]
    for task, stands_for in _STANDS_FOR.items():
        losses, metrics = (
            ", ".join(f"`{name}`" for name in of[task]) for of in (FITTING_LOSSES, FITTING_METRICS)
        )
        parts.append(f"| `{task}` | {stands_for} | {losses} | {metrics} |\n")
    parts.append(
        "\nMetrics equal scikit-learn's: `f1` is of the second class, or the mean over classes if there are more; "
        "`auc` the mean over classes of each against the rest; `log_loss` the mean cross entropy. `rmse` and `mae` "
        "are in the target's own unit. Training figures are of each mini-batch before its update.\n\n"
        'With `representation = "relu"` the loss is of o itself: through a ReLU nothing would be learned where o < 0.\n\n'
        "## Why losses take raw outputs\n\nlog σ, computed as it is written, loses its digits where σ saturates and "
        "ends at −∞: one such row, and a trial is lost. Binary cross entropy with logits is "
        "max(o, 0) − o·y + log(1 + e^−|o|), which is exact everywhere. In single precision, for a row whose output has "
        "the wrong sign, which is what a loss is for:\n\n"
        "| o | y = 1, output −o: −log σ(−o) | y = 0, output o: −log(1 − σ(o)) | BCE with logits | exact |\n"
        "|---|---|---|---|---|\n"
    )
    for o in _OUTPUTS:
        x = torch.tensor([o])
        one, zero = -torch.log(torch.sigmoid(-x)).item(), -torch.log(1 - torch.sigmoid(x)).item()
        ours = LOSSES["bce"].values(x[None, :, None], torch.zeros(1)).item()
        exact = float(np.logaddexp(0, np.float64(o)))
        parts.append(f"| {o:g} | {one:.7g} | {zero:.7g} | {ours:.7g} | {exact:.7g} |\n")
    parts.append(
        "\nThe same holds for softmax, from which the largest output is subtracted first, and for log softplus(o), which is "
        "o itself where eᵒ vanishes. [tests/test_train_losses.py](../tests/test_train_losses.py) compares every loss "
        "and gradient with closed forms in double precision at outputs up to ±50 and ±10,000, in both trainers.\n"
    )
    return "".join(parts)
