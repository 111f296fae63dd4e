"""`hpsearch init`: a commented study file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.errors import HpsearchError

TEMPLATE = """\
# A study for hpsearch. Run it:  hpsearch run {file}
[study]
name = "{name}"
seed = 0                          # everything random follows from it

[data]
source = "digits"                 # digits | breast_cancer | wine | iris | diabetes | xor | spiral,
                                  # or the path of a .csv, .tsv or .parquet file (also .gz, .xz)
# target = "price"                # tables: the column to predict
# task = "regression"             # binary | multiclass | regression; inferred when absent
split = {{ valid = 0.2, test = 0.2 }}

[space]                           # a plain value is fixed, a list is a choice, low and high are a range
learning_rate = {{ low = 1e-3, high = 1.0, log = true }}
momentum      = {{ low = 0.0, high = 0.95 }}
batch_size    = [16, 32, 64, 128, 256]
depth         = {{ low = 1, high = 4 }}   # linear layers, the last one included: depth 1 is a linear model
activation    = ["relu", "tanh", "sigmoid"]   # also leaky_relu, elu, none
width         = 64
weight_decay  = 1e-4

[train]
epochs = 27                       # the most that a trial gets
# loss = "cross_entropy"          # by task: cross_entropy | bce | mse | l1
# metric = "accuracy"             # what is ranked: accuracy | error | rmse | mae | r2 | loss

[search]
sampler = "tpe"                   # random | qmc | tpe
trials = 256                      # the total, also over resumes
stopping = "halving"              # none | halving
# time_limit = "10m"
"""


def init(
    name: Annotated[str, typer.Argument(help="Name of the study; NAME.toml is written.")] = "study",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented study file."""
    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(file=path, name=path.stem))
    except FileExistsError:
        raise HpsearchError(f"{path}: exists already; choose another name, or --force to overwrite") from None
    except OSError as error:
        raise HpsearchError(f"{path}: cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {path}", err=True)
    typer.echo(f"next: edit it, then  hpsearch run {path}", err=True)
