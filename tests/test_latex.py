"""Tables as LaTeX: the same cells as the others, and nothing of them obeyed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.reporting.finalists import finalists_grid
from hpsearch.reporting.grids import Grid, ranked_grid
from hpsearch.reporting.latex import latex_text, report_latex
from tests.page_study import CORPUS, full_report
from tests.report_study import RECORD, example
from tests.studies import finished_report

COMMANDS = {
    "textbackslash": "\\",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textquotedbl": '"',
    "textquotesingle": "'",
    "textasciigrave": "`",
    "dots": "…",
}
MATHS = {"$-$": "−", r"$\times$": "×", r"$\to$": "→", r"$\cdot$": "·"}


def read(text: str) -> str:
    """What TeX would set, for the little of it that tables have; anything else is an error."""
    shown, at = "", 0
    pattern = re.compile(
        r"\\(?P<command>[a-z]+)(?:\{\}| )|\\(?P<sign>[{}$&#%_])|\{(?P<bracket>[][])\}"
        r"|(?P<maths>\$[^$]*\$)|(?P<dash>--)|(?P<plain>[^\\{}$&#%_~^<>|\"'`\[\]])"
    )
    while at < len(text):
        found = pattern.match(text, at)
        assert found, f"TeX would obey {text[at : at + 20]!r}"
        kind = found.lastgroup
        assert kind is not None
        own = found[kind]
        shown += {"command": COMMANDS.get, "maths": MATHS.get, "dash": {"--": "–"}.get}.get(
            kind, lambda text: text
        )(own) or "?"
        at = found.end()
    return shown


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=40))
def test_text_is_set_as_it_is(text: str) -> None:
    assert read(latex_text(text)).replace("–", "--") == text.replace("–", "--")


@pytest.mark.parametrize("text", CORPUS)
def test_nothing_of_a_hostile_text_is_obeyed(text: str) -> None:
    set_as = read(latex_text(text))
    assert set_as.isprintable()
    assert not re.search("[\x1b\x07\u202e\u2028]", set_as)


def cells(latex: str) -> list[list[list[str]]]:
    """Of each table the cells of its head and its rows."""
    tables = re.findall(r"\\toprule\n(.*?) \\\\\n\\midrule\n(.*?)\n\\bottomrule", latex, flags=re.DOTALL)
    return [
        [
            [read(cell) for cell in line.removesuffix(r" \\").split(" & ")]
            for line in [head, *body.split("\n")]
        ]
        for head, body in tables
    ]


def as_rows(grid: Grid) -> list[list[str]]:
    return [[column.head for column in grid.columns], *(list(row) for row in grid.rows)]


def test_the_confirmed_and_the_ranked_table_have_the_cells_of_the_others() -> None:
    report = full_report()
    assert report.confirmation is not None
    assert cells(report_latex(report, 7)) == [
        as_rows(finalists_grid(report.confirmation)),
        as_rows(ranked_grid(report, 7)),
    ]
    (alone,) = cells(report_latex(replace(report, confirmation=None), 0))
    assert len(alone) == 1 + len(ranked_grid(report, 0).rows)


def test_columns_of_numbers_are_aligned_right() -> None:
    report = finished_report(*example(30))
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", report_latex(report))
    assert columns == "".join("r" if column.numeric else "l" for column in ranked_grid(report, 10).columns)


def test_the_caption_has_the_study_s_name_as_it_is() -> None:
    hostile = finished_report(replace(RECORD, name="50% & $x_1$ #~^\\"), *example(30)[1:])
    (caption,) = re.findall(r"\\caption\{(.*)\}\n", report_latex(hostile))
    assert read(caption) == "50% & $x_1$ #~^\\: trials by validation accuracy."
