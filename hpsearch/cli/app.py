"""The command `hpsearch`: parse, call, print. Each command lives in its own module."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, cast

import typer

from hpsearch import __version__
from hpsearch.cli import completion
from hpsearch.cli.compare import compare
from hpsearch.cli.confirm import confirm
from hpsearch.cli.curves import curves
from hpsearch.cli.data import data
from hpsearch.cli.doctor import doctor
from hpsearch.cli.enqueue import enqueue
from hpsearch.cli.export import export
from hpsearch.cli.help import GROUPS, Command, Commands
from hpsearch.cli.init import init
from hpsearch.cli.predict import predict
from hpsearch.cli.replay import replay
from hpsearch.cli.report import report
from hpsearch.cli.run import run
from hpsearch.cli.stored import compact, delete, dump, list_studies, load, show
from hpsearch.cli.variance import variance
from hpsearch.errors import HpsearchError, nearest, without_secrets

app = typer.Typer(
    name="hpsearch",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    options_metavar="",
    subcommand_metavar="COMMAND …    (more about it: hpsearch COMMAND --help)",
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

    \b
    hpsearch init flowers.csv    writes flowers.toml: what to learn, what to vary
    hpsearch run flowers.toml    trains it and says what came out
    """


_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "enqueue": enqueue,
    "confirm": confirm,
    "compare": compare,
    "report": report,
    "curves": curves,
    "variance": variance,
    "replay": replay,
    "export": export,
    "predict": predict,
    "list": list_studies,
    "show": show,
    "delete": delete,
    "compact": compact,
    "dump": dump,
    "load": load,
    "init": init,
    "data": data,
    "doctor": doctor,
}
for _name, _words in (command for _, commands in GROUPS for command in commands):
    app.command(_name, cls=Command, short_help=_words, options_metavar="[OPTIONS]")(_COMMANDS[_name])


# What typer raises for arguments that it cannot parse; it does not export the class.
_UsageError = cast("type[Any]", typer.BadParameter.__mro__[1])

_KINDS = {
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}
"""What was expected, by pydantic's kinds of errors."""


def _usage_text(error: Any) -> str:
    """What could not be parsed, in one line."""
    from pydantic import ValidationError

    if isinstance(error.__cause__, ValidationError):
        details = error.__cause__.errors()[0]
        kind, typed = details["type"], details["input"]
        choices = details["msg"].partition(" is not one of ")[2].rstrip(".").replace("'", "")
        expected = _KINDS[kind].format(**details.get("ctx", {})) if kind in _KINDS else f"one of {choices}"
        near = nearest(typed, choices.split(", "))
        name = error.param.opts[0] if error.param.opts[0].startswith("-") else error.param.metavar
        return f'{name}: expected {expected}; found "{typed}"{near}'
    text = (
        without_secrets(error.format_message()).rstrip(".").replace("'", "").replace(". Did you", "; did you")
    )
    text = re.sub(r" \(Possible options: (.*)\)$", r"; did you mean \1?", text)
    command = "hpsearch" if error.ctx is None else error.ctx.command_path
    return f"{text[0].lower()}{text[1:]}; see {command} --help"


def main() -> NoReturn:
    """Run the command line; exits 0, 1, 2, 3, 4 or 130 as the documentation says."""
    completion.main(app)
    try:
        sys.exit(app(prog_name="hpsearch", standalone_mode=False) or 0)
    except HpsearchError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except _UsageError as error:
        if len(sys.argv) == 1:
            print(error.format_message(), file=sys.stderr)  # the help
        else:
            _complain(_usage_text(error))
        sys.exit(2)
    except typer.Abort:
        _complain("stopped; nothing was done")
        sys.exit(1)
    except KeyboardInterrupt:
        _complain("stopped; whatever was finished is stored")
        sys.exit(130)
    except BrokenPipeError:
        # The reader went away (`| head`): nothing is wrong, and Python's own flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception:
        print(without_secrets(traceback.format_exc()), end="", file=sys.stderr)
        _complain(
            "failed unexpectedly (see above); whatever was finished is stored, "
            "and the same command resumes from there"
        )
        sys.exit(1)


_LONG_WORD = re.compile(r"(\S{300})\S{100,}")


def _complain(text: str) -> None:
    """Say what is wrong; what comes from files cannot control the terminal, nor fill it with one word."""
    from hpsearch.text import plain

    lines = _LONG_WORD.sub(r"\1…", without_secrets(text)).split("\n")
    print("hpsearch: " + "\n".join(map(plain, lines)), file=sys.stderr)
