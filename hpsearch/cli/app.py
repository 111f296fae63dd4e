"""The command `hpsearch`: parse, call, print. Each command lives in its own module."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from hpsearch import __version__
from hpsearch.cli.compare import compare
from hpsearch.cli.confirm import confirm
from hpsearch.cli.curves import curves
from hpsearch.cli.doctor import doctor
from hpsearch.cli.enqueue import enqueue
from hpsearch.cli.export import export
from hpsearch.cli.init import init
from hpsearch.cli.predict import predict
from hpsearch.cli.replay import replay
from hpsearch.cli.report import report
from hpsearch.cli.run import run
from hpsearch.cli.stored import compact, delete, list_studies, show
from hpsearch.cli.transfer import dump, load
from hpsearch.cli.variance import variance
from hpsearch.errors import HpsearchError

app = typer.Typer(
    name="hpsearch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"hpsearch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Find out which hyper-parameters of a neural network matter.

    A study file says what data to learn and what to vary. hpsearch init writes one,
    hpsearch run trains it, hpsearch report ranks what came out.
    """


for _name, _command in (
    ("run", run),
    ("enqueue", enqueue),
    ("confirm", confirm),
    ("compare", compare),
    ("report", report),
    ("curves", curves),
    ("variance", variance),
    ("replay", replay),
    ("export", export),
    ("predict", predict),
    ("list", list_studies),
    ("show", show),
    ("delete", delete),
    ("compact", compact),
    ("dump", dump),
    ("load", load),
    ("init", init),
    ("doctor", doctor),
):
    app.command(_name)(_command)


def _shown(error: HpsearchError) -> str:
    """The error's text, of which no terminal obeys what comes from files."""
    from hpsearch.text import plain

    return "\n".join(plain(line) for line in str(error).split("\n"))


def main() -> NoReturn:
    """Run the command line; exits 0, 1, 2, 3, 4 or 130 as the documentation says."""
    try:
        app()
    except HpsearchError as error:
        print(f"hpsearch: {_shown(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("hpsearch: stopped; whatever was finished is stored", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader went away (`| head`): nothing is wrong, and Python's own flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception:
        traceback.print_exc()
        print(
            "hpsearch: failed unexpectedly (see above); whatever was finished is stored, "
            "and the same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(0)
