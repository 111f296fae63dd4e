"""Writing a report's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from hpsearch.errors import HpsearchError
from hpsearch.files import write_files
from hpsearch.reporting.blocks import Section
from hpsearch.reporting.json_csv import csv_text, json_text, report_rows, sections_document
from hpsearch.reporting.markdown import sections_markdown
from hpsearch.reporting.sections import NO_IMAGES, Source, chart_blocks, sections
from hpsearch.reporting.tables import plain_text, sections_view
from hpsearch.results.frames import Report, curves_frame
from hpsearch.text import plain

PAGE, TRIALS = "report.html", "trials.parquet"
_TEXT_WIDTH = 100


def write_report(
    report: Report, directory: Path, top: int = 10, pictures: Mapping[str, bytes] = NO_IMAGES
) -> list[Path]:
    """Write the report into `directory` in all formats.

    report.txt, .md, .html, .tex and .json; trials and curves as .csv and .parquet; curves.png, of a study
    with several objectives pareto.png, of one with a comparison comparison.png; and in charts/ every chart of
    the page as .svg and .png. The tables for people show `top` trials (0: all); the files for programs have
    all of them. pictures: more files, such as boundary.png, as their bytes. Returns the paths of the files.

    Raises:
        HpsearchError: the directory cannot be made or written to.
    """
    from hpsearch.reporting.latex import sections_latex
    from hpsearch.reporting.page import sections_page

    _make(directory)  # before anything that takes seconds
    shown = sections(Source(report, top, images=pictures))
    charts = dict(_charts(shown, plain(report.record.name)))
    drawn = {**{name: content for name, content in charts.items() if "/" not in name}, **pictures}
    curves = curves_frame(report.record, report.curves)
    contents = {
        "report.txt": plain_text(sections_view(shown, _TEXT_WIDTH), _TEXT_WIDTH).encode(),
        "report.md": sections_markdown(shown, drawn).encode(),
        PAGE: sections_page(shown, report).encode(),
        "report.tex": sections_latex(shown, report.record.name).encode(),
        "report.json": json_text(sections_document(shown)).encode(),
        "trials.csv": csv_text(report_rows(report)).encode(),
        TRIALS: parquet_bytes(report_rows(report)),
        "curves.csv": csv_text(curves).encode(),
        "curves.parquet": parquet_bytes(curves),
        **drawn,
        **charts,
    }
    return write_into(directory, contents)


def has_images(report: Report) -> bool:
    """Whether there is anything to look at in the data of a study: images, or two features and classes."""
    summary = report.record.data_summary
    in_a_plane = summary.get("features") == 2 and summary.get("classes")
    return bool(in_a_plane) or summary.get("image") is not None


def write_into(directory: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files by their names into a folder, which is made; returns their paths.

    Raises:
        HpsearchError: the directory cannot be made or written to.
    """
    for folder in {(directory / name).parent for name in contents}:
        _make(folder)
    write_files({directory / name: content for name, content in contents.items()})
    return [directory / name for name in contents]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HpsearchError(
            f"{folder}: expected a folder for the report's files; it cannot be created: {error.strerror}. "
            "Choose another one with --out"
        ) from None


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """The frame as a Parquet file; a column that has words and numbers is text there."""
    mixed = {name: frame[name].astype("str") for name in frame.columns if frame[name].dtype == object}
    content: bytes = frame.assign(**mixed).to_parquet(index=False)
    return content


def _charts(shown: Iterable[Section], study: str) -> Iterator[tuple[str, bytes]]:
    """All charts for papers, and the images that the Markdown shows, by file name."""
    from hpsearch.reporting.charts.render import chart_svg, png_of

    for block in chart_blocks(shown):
        charts = list(block.make(True))
        for chart in charts:
            svg = chart_svg(chart, f"{study}: {chart.title}")
            png = png_of(svg)
            yield f"charts/{chart.name}.svg", svg.encode()
            yield f"charts/{chart.name}.png", png
            if block.file and len(charts) == 1:
                yield block.file, png
        if block.file and len(charts) > 1:
            yield block.file, png_of(chart_svg(charts, f"{study}: {charts[0].title}"))
