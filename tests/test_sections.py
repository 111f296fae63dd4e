"""A section is made in one place and shown by every format."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.errors import NothingToShowError
from hpsearch.reporting import sections as made
from hpsearch.reporting.blocks import Charts, Format, Pairs, Remarks, Section, Sentence, Step, Steps, Table
from hpsearch.reporting.charts.spec import Chart
from hpsearch.reporting.grids import Column, Grid
from hpsearch.reporting.json_csv import json_text, report_document
from hpsearch.reporting.latex import report_latex
from hpsearch.reporting.markdown import report_markdown
from hpsearch.reporting.page import page_html
from hpsearch.reporting.tables import plain_text, report_view
from hpsearch.reporting.write import write_report
from hpsearch.results.frames import Report
from tests.page_study import full_report

SPEC = {"layer": [{"mark": "point", "data": {"values": [{"x": 1}]}, "encoding": {"x": {"field": "x"}}}]}
GRID = Grid((Column("animal", numeric=False), Column("legs")), (("ant", "6"), ("newt", "4")))
CELLS = {"animal", "legs", "ant", "6", "newt", "4"}


def zoo(source: made.Source) -> Section:
    """A section that no renderer knows."""
    count = len(source.report.trials)
    return Section(
        "zoo",
        "Animals of the study",
        lambda: [
            Sentence(f"There are as many as trials, {count}."),
            Table(GRID, "animals by their legs"),
            Charts(lambda alone: [Chart("zoo", "Legs", "newt 4", SPEC, 100)], file="zoo.png", caption="Legs"),
            Remarks(["Legs are counted once."]),
            Pairs([("eel", "has none")]),
            Steps([Step("eels have no legs", "an ant", "hpsearch ant")]),
        ],
        json=lambda: {"legs": [6, 4]},
        json_key="zoo",
    )


@pytest.fixture(scope="module")
def report() -> Report:
    return replace(full_report(), notes=("a note",))


@pytest.fixture
def with_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    *others, last = made.SECTIONS.items()
    monkeypatch.setattr(made, "SECTIONS", dict([*others, ("zoo", zoo), last]))


def texts(report: Report) -> dict[str, str]:
    """The report for people in every format."""
    return {
        "terminal": plain_text(report_view(report, 120, explain=True), 120),
        "markdown": report_markdown(report, pictures=["zoo.png"]),
        "page": page_html(report).split("<body>")[1],
        "latex": report_latex(report),
    }


@pytest.mark.usefixtures("with_zoo")
def test_a_section_that_is_added_in_one_place_is_in_every_format(report: Report) -> None:
    shown = texts(report)
    for name, text in shown.items():
        assert set(re.split(r"[\s|&<>\\]+", text)) >= CELLS, name
        assert re.search("animals by their legs", text, re.IGNORECASE), name
        if name != "latex":  # which has tables alone
            for words in (
                "Animals of the study",
                "as many as trials, 120",
                "counted once",
                "has none",
                "an ant",
            ):
                assert words in text, (name, words)
    assert '"zoo":{"spec"' in shown["page"]
    assert '<a href="#zoo">Animals of the study</a>' in shown["page"]
    assert '<section id="zoo">' in shown["page"]
    assert "![Legs](zoo.png)" in shown["markdown"]
    assert json.loads(json_text(report_document(report)))["zoo"] == {"legs": [6, 4]}


@pytest.mark.usefixtures("with_zoo")
def test_it_is_in_the_files_of_a_report_with_its_charts(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    assert (tmp_path / "zoo.png").read_bytes() == (tmp_path / "charts" / "zoo.png").read_bytes()
    for name in ("report.txt", "report.md", "report.html", "report.tex", "report.json"):
        assert re.search("legs", (tmp_path / name).read_text(encoding="utf-8")), name


def test_without_it_nothing_is_said_of_it(report: Report) -> None:
    assert "zoo" not in json_text(report_document(report))
    assert not any("as many as trials" in text for text in texts(report).values())


def test_sections_have_one_order_in_all_formats(report: Report) -> None:
    shown = texts(report)
    keys = [section.key for section in made.sections(made.Source(report))]
    anchors = re.findall(r'<section (?:id|class)="(\w+)"', shown["page"])
    assert anchors == [key for key in keys if key in anchors]
    heads = [s.heading for s in made.sections(made.Source(report)) if s.title(Format.MARKDOWN)]
    found = re.findall(r"^## (.*)$", shown["markdown"], re.MULTILINE)
    assert found == [head for head in heads if head in found]
    words = ["confirmed: the best", "Ranked by validation", "by epoch", "each one's best trial", "a note"]
    words += ["what matters:", "diverged:", "next:"]
    places = [shown["terminal"].index(each) for each in words]
    assert places == sorted(places)
    document = list(report_document(report))
    assert document == [
        "format",
        "study",
        "confirmation",
        "comparison",
        "notes",
        "lessons",
        "advice",
        "trials",
    ]


def test_sections_are_chosen_by_their_keys_and_methods_are_explained_on_request(report: Report) -> None:
    """Every key is that of its section; what the terminal lacks is said."""
    for key in made.SECTIONS:
        assert all(section.key == key for section in made.sections(made.Source(report), [key]))
    only = plain_text(report_view(report, 120, only=["curves"]), 120)
    whole = plain_text(report_view(report, 120), 120)
    explained = plain_text(report_view(report, 120, explain=True), 120)
    assert "by epoch" in only
    assert "confirmed: the best" not in only
    assert "Games & Howell" not in whole
    assert "Games & Howell" in explained
    with pytest.raises(NothingToShowError, match="nothing to show of provenance as terminal"):
        report_view(report, 120, only=["provenance"])


def test_a_section_is_not_made_for_a_format_that_does_not_show_it(report: Report) -> None:
    def never() -> list[Sentence]:
        raise AssertionError("it is made")

    hidden = Section("hidden", "Hidden", never, formats=frozenset({Format.PAGE}))
    assert hidden.blocks(Format.TERMINAL) == []
    source = made.Source(report)
    report_latex(report)
    assert "lessons" not in vars(source)
    [section.blocks(Format.LATEX) for section in made.sections(source)]
    assert not {"lessons", "advised", "rows"} & vars(source).keys()
