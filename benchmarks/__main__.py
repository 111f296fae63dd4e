"""`python -m benchmarks`: run everything, print the table and write docs/benchmarks.md."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from benchmarks.lanes import lecture, small
from benchmarks.measure import Row, machine
from benchmarks.overhead import overhead, start
from benchmarks.search import search

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """\
<!-- written by `make bench` -->

# Benchmarks

Both sides of each row in one run of `make bench`, one after the other on an otherwise idle machine. Start-up
counts where it says so. The peers are written the usual way, with tensors in memory (see `benchmarks/`).

{machine}, {date}.

| work | hpsearch | against | it | ratio | wanted |
|---|---|---|---|---|---|
"""


def main() -> None:
    text = HEAD.format(machine=machine(), date=datetime.now(UTC).date())
    print(text, end="")
    for part in (start, small, lecture, overhead, search):
        for row in part():
            line = _line(row)
            print(line, flush=True)
            text += line + "\n"
    PAGE.write_text(text, encoding="utf-8")


def _line(row: Row) -> str:
    return f"| {row.work} | {row.ours} | {row.against} | {row.theirs} | {row.ratio} | {row.wanted} |"


if __name__ == "__main__":
    main()
