"""The sections of a report, in their order. All formats are made from them.

To add one, write its maker and name it in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from shlex import quote
from types import MappingProxyType
from typing import Any

from hpsearch.errors import NothingToShowError, plural
from hpsearch.records import State
from hpsearch.reporting import answer
from hpsearch.reporting.baselines import (
    baselines_document,
    baselines_grid,
    baselines_remarks,
    baselines_sentence,
)
from hpsearch.reporting.blocks import (
    EVERYWHERE,
    LATEX,
    MARKDOWN,
    PAGE,
    TERMINAL,
    TEXT,
    AllTrials,
    Block,
    Charts,
    Code,
    Format,
    Image,
    Later,
    Lead,
    Pairs,
    Remarks,
    Section,
    Sentence,
    Step,
    Steps,
    Table,
    Title,
    Tone,
    begun,
)
from hpsearch.reporting.charts.arms import arm_charts
from hpsearch.reporting.charts.curves import curves_chart
from hpsearch.reporting.charts.fresh_seeds import comparison_charts, confirmed_chart, seeds_chart
from hpsearch.reporting.charts.front import front_charts
from hpsearch.reporting.charts.lessons import importances_chart, interaction_charts, isolation_charts
from hpsearch.reporting.charts.parallel import parallel_chart
from hpsearch.reporting.charts.predicted import predicted_chart
from hpsearch.reporting.charts.spec import Chart
from hpsearch.reporting.comparison import (
    by_repeat,
    comparison_document,
    comparison_grid,
    conclusion,
    dead_units,
    methods,
    warnings,
)
from hpsearch.reporting.documents import lessons_document, study_document, trial_row
from hpsearch.reporting.finalists import (
    confirmation_document,
    finalists_curves_grid,
    finalists_grid,
    finalists_methods,
    finalists_title,
    finalists_warnings,
    improving_line,
    verdict,
)
from hpsearch.reporting.grids import (
    best_few,
    curves_grid,
    failed_lines,
    front_grid,
    front_more_line,
    front_sentence,
    front_title,
    more_line,
    ranked_grid,
    valid_name,
)
from hpsearch.reporting.lessons import (
    alone_blocks,
    importances_blocks,
    pair_blocks,
    verdict_blocks,
)
from hpsearch.reporting.outcome import confusion_grid, confusion_sentence, outcome_document
from hpsearch.reporting.provenance import commands, next_commands, provenance_rows, study_toml
from hpsearch.results.advice import Advice, Advised, advised, remedy_command
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons, lessons
from hpsearch.text import listed, plain

BOUNDARY, TRAINING, WRONG = "boundary.png", "pictures.png", "wrong.png"
IMAGES: Mapping[str, str] = MappingProxyType(
    {
        BOUNDARY: "Decision boundary",
        TRAINING: "Training images",
        WRONG: "Validation images that the best trial gets most wrong",
    }
)
"""Of the images that are made elsewhere, what they show, by file name."""
_STRONG = 0.4
"""Of advice that is said with the answer; the rest is in the section on advice."""
NO_IMAGES: Mapping[str, bytes] = MappingProxyType({})


class Source:
    """What sections are made from; lessons and advice are found once, when a section asks for them."""

    def __init__(
        self,
        report: Report,
        top: int = 10,
        found: Lessons | None = None,
        storage: str = "",
        images: Mapping[str, bytes] = NO_IMAGES,
        limit: int = 0,
        explain: bool = False,
    ) -> None:
        """top: rows of the tables for people, 0 for all. found: the lessons, where they are known already.
        storage: words that the commands to type need. images: by file name. limit: trials in JSON, 0 for all.
        explain: whether the terminal shows how the numbers are made, too.
        """
        self.report, self.top, self.storage, self.images, self.limit = report, top, storage, images, limit
        self.methods = EVERYWHERE if explain else EVERYWHERE - TERMINAL
        self._found = found

    @cached_property
    def lessons(self) -> Lessons:
        """What the study teaches."""
        return lessons(self.report) if self._found is None else self._found

    @cached_property
    def advised(self) -> Advised:
        """What should be done."""
        return advised(self.report)

    @property
    def strong(self) -> list[Advice]:
        """The advice that is said with the answer, if any."""
        return [each for each in self.advised.found[:1] if each.strength >= _STRONG]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All trials as JSON-able values, best first."""
        objectives = self.report.record.objectives
        return [trial_row(row, objectives) for row in self.report.trials.to_dict("records")]


Maker = Callable[[Source], Section | None]


def chosen(source: Source, only: Collection[str], shown_by: Format) -> list[Section]:
    """The sections of these keys, all when there are none, for a format.

    Raises:
        NothingToShowError: the format shows nothing of them.
    """
    found = sections(source, only)
    if only and not any(section.blocks(shown_by) for section in found):
        name = plain(source.report.record.name)
        raise NothingToShowError(
            f"study {name}: there is nothing to show of {listed(list(only))} as {shown_by}; the page has all "
            f"sections: hpsearch report {quote(name)} --format html --out DIR"
        )
    return found


def sections(source: Source, only: Collection[str] = ()) -> list[Section]:
    """The report's sections, those of which it has anything; only: keys of the wanted ones, if not all."""
    makers = [make for key, make in SECTIONS.items() if not only or key in only]
    return [section for make in makers if (section := make(source)) is not None]


def all_charts(report: Report, found: Lessons, long: bool = False) -> list[Chart]:
    """Every chart that the report has anything for, in the page's order.

    long: name the hyper-parameters of the best trials, too, for pictures that stand alone.
    """
    return [
        chart for block in chart_blocks(sections(Source(report, found=found))) for chart in block.make(long)
    ]


def chart_blocks(shown: Iterable[Section]) -> Iterator[Charts]:
    """The blocks of these sections that hold charts."""
    for section in shown:
        yield from (block for block in section.made if isinstance(block, Charts))


def answer_section(source: Source) -> Section:
    """What was found, and what to do next: all that a run shows when it is done."""

    def blocks() -> Iterator[Block]:
        report = source.report
        front = [("front", front_sentence(report))] if len(report.front) else []
        first, *more = next_commands(report, source.storage)
        next_ = [("next", first), *(("", command) for command in more)]
        yield Pairs([*answer.found(report), *answer.advised(report, source.strong), *front, *next_])
        yield from (Sentence(plain(note), Tone.NOTE) for note in source.report.notes)

    return Section("answer", "Answer", blocks, formats=TERMINAL, untitled=TERMINAL)


def _answer(source: Source) -> Section:
    report = source.report

    def blocks() -> Iterator[Block]:
        record = report.record
        better = "higher" if record.direction == "maximize" else "lower"
        about = f"{record.task}, ranked by {valid_name(report)}, {better} is better"
        name = plain(record.name)
        yield Lead(name, [f"{name}   {about}"], formats=TEXT)
        rows = [*answer.asked(report), *answer.found(report)]
        yield Pairs(rows, formats=TEXT)
        # Text has the section on advice in sight.
        boxed = [*rows, *answer.advised(report, source.strong)]
        sentences = [(begun(word), f"{begun(said).removesuffix('.')}.") for word, said in boxed]
        yield Pairs(sentences, "answer", formats=PAGE)
        if (c := report.comparison) is not None:
            yield Charts(
                lambda _: arm_charts(report, c),
                heading=2,
                panels="panels wide",
                file="arms.png",
                caption="Learning curves of the arms, each at its best and at an equal learning rate",
            )
            yield from _picture(source, [BOUNDARY])

    return Section(
        "answer",
        "Answer",
        blocks,
        formats=EVERYWHERE - LATEX,
        untitled=EVERYWHERE,
        json=lambda: study_document(report, source.rows),
        json_key="study",
    )


def confirmed_section(c: Confirmation, methods: frozenset[Format] = EVERYWHERE) -> Section:
    """The confirmed ranking. methods: formats that show how its numbers are made, too."""

    def blocks() -> Iterator[Block]:
        yield Sentence(verdict(c), Tone.VERDICT)
        yield Charts(lambda _: _some(confirmed_chart(c)))
        yield Table(finalists_grid(c), finalists_title(c), best_first=True, all_with="--format json")
        yield Remarks(finalists_warnings(c))
        yield Remarks(finalists_methods(c), formats=methods)

    return Section(
        "confirmed",
        "Confirmed ranking",
        blocks,
        untitled=TERMINAL,
        json=lambda: confirmation_document(c),
        json_key="confirmation",
    )


def _confirmed(source: Source) -> Section | None:
    c = source.report.confirmation
    return None if c is None else confirmed_section(c, source.methods)


def _baselines(source: Source) -> Section | None:
    report = source.report
    if not report.baselines:
        return None

    def blocks() -> Iterator[Block]:
        if said := baselines_sentence(report):
            yield Sentence(f"{begun(said)}.", Tone.VERDICT)
        yield Table(baselines_grid(report), "simple models on the same splits", all_with="")
        how, *rare = baselines_remarks(report)
        yield Remarks(rare)
        yield Remarks([how], formats=source.methods)

    return Section(
        "baselines",
        "Baselines",
        blocks,
        untitled=TERMINAL,
        json=lambda: baselines_document(report),
        json_key="baselines",
    )


def _outcome(source: Source) -> Section | None:
    report, c = source.report, source.report.confirmation
    if c is None or not (c.best.counts.size or len(c.best.pairs)):
        return None
    classes = [str(name) for name in report.record.data_summary.get("classes") or ()]
    if len(classes) != len(c.best.counts):
        return None
    target = str(report.record.document["data"].get("target") or "target")

    def blocks() -> Iterator[Block]:
        if classes:
            yield Sentence(confusion_sentence(c))
            yield Table(confusion_grid(c, classes), "rows by true class, over all seeds", all_with="")
        yield Charts(
            lambda _: _some(predicted_chart(c, target)),
            file="predicted.png",
            caption="Predicted against true targets",
        )

    return Section(
        "outcome",
        "Confusion matrix" if classes else "Predicted against true",
        blocks,
        formats=MARKDOWN | PAGE,
        json=lambda: outcome_document(c, classes),
        json_key="outcome",
    )


def _front(source: Source) -> Section | None:
    report, top = source.report, source.top
    if not len(report.front):
        return None

    def blocks() -> Iterator[Block]:
        yield Sentence(front_sentence(report))
        yield Charts(
            lambda _: front_charts(report),
            file="pareto.png",
            caption="All complete trials by the study's objectives, and the Pareto front",
        )
        grid, more = front_grid(report, top), front_more_line(report, top)
        yield Table(grid, more=more, formats=TEXT)
        yield Table(grid, "trials on the front", more=more, formats=PAGE)

    return Section("front", front_title(report), blocks, formats=EVERYWHERE - LATEX)


def _ranked(source: Source) -> Section:
    report, top = source.report, source.top
    confirmed = report.confirmation is not None

    def blocks() -> Iterator[Block]:
        grid = ranked_grid(report, top)
        if grid.rows:
            yield Table(grid, more=more_line(report, top), best_first=True, formats=TEXT)
            yield Table(grid, f"trials by {valid_name(report)}", formats=LATEX)

    heading = "Ranked by validation" if confirmed else "Ranked trials"
    return Section(
        "ranked", heading, blocks, EVERYWHERE - PAGE, untitled=frozenset() if confirmed else TERMINAL
    )


def _curves(source: Source) -> Section:
    report, c = source.report, source.report.confirmation

    def blocks() -> Iterator[Block]:
        yield Charts(
            lambda alone: _some(curves_chart(report, alone)),
            file="curves.png",
            caption="Learning curves of the best trials",
        )
        name = valid_name(report)
        if c is not None:
            yield Charts(lambda _: _some(seeds_chart(c)), heading=3)
        if c is not None and c.finalists[0].curves:
            caption = f"{name} by epoch, mean ± sd of {c.seeds} seeds; ● best epoch"
            improving = improving_line(c, int(report.record.document["train"]["epochs"])) or None
            yield Table(finalists_curves_grid(c), caption, more=improving, all_with="", formats=TEXT)
        elif numbers := best_few(report):
            yield Table(curves_grid(report, numbers), f"{name} by epoch", all_with="", formats=TEXT)

    heading = f"Learning curves: {valid_name(report)}"
    return Section("curves", heading, blocks, formats=EVERYWHERE - LATEX, untitled=TERMINAL)


def _compared(source: Source) -> Section | None:
    c = source.report.comparison
    if c is None:
        return None
    subject = plain(c.subject)

    def blocks() -> Iterator[Block]:
        yield Sentence(conclusion(c), Tone.VERDICT)
        yield Charts(
            lambda _: comparison_charts(c.answer),
            heading=3,
            panels="panels wide",
            file="comparison.png",
            caption=f"Scores by {c.answer.unit}, with means and intervals",
        )
        caption = f"{subject}: each one's best trial, retrained"
        dead = dead_units(source.report)
        if c.answer is not c:
            over = f"{subject}: over {plural(c.answer.seeds, 'repeat')}"
            yield Table(comparison_grid(c.answer, dead), over, all_with="--format json")
            yield from map(Sentence, by_repeat(c))
            alone = f"{caption}, on this split alone"
            yield Table(comparison_grid(c, dead), alone, formats=EVERYWHERE - TERMINAL)
        else:
            yield Table(comparison_grid(c, dead), caption, all_with="--format json")
        yield Remarks(warnings(c))
        yield Remarks(methods(c), formats=source.methods)

    return Section(
        "comparison",
        f"Comparison: {subject}",
        blocks,
        formats=EVERYWHERE - LATEX,
        untitled=TERMINAL,
        json=lambda: comparison_document(c),
        json_key="comparison",
    )


def _notes(source: Source) -> Section | None:
    notes = source.report.notes
    if not notes:
        return None
    return Section(
        "notes",
        "Notes",
        lambda: [Sentence(plain(note), Tone.NOTE) for note in notes],
        formats=EVERYWHERE - LATEX,
        untitled=EVERYWHERE,
        json=lambda: list(notes),
        json_key="notes",
    )


def _lessons(source: Source) -> Section:
    report, every = source.report, source.top == 0
    # The terminal has room for what each pair says, and for their tables where all is asked for.
    tables, lines = (TEXT, frozenset[Any]()) if every else (MARKDOWN, TERMINAL)

    def blocks() -> Iterator[Block]:
        found = source.lessons
        for each in found.verdicts:
            yield from verdict_blocks(each, report.record.metric)
        yield Title("Importances", formats=PAGE)
        if any(each.share is not None for each in found.importances):
            yield Charts(lambda _: _some(importances_chart(found)))
            yield from importances_blocks(found, lines, source.methods)
        else:
            too_few = "Too few trials to say which hyper-parameters matter."
            yield Sentence(too_few, formats=PAGE)
        yield Charts(lambda _: _some(parallel_chart(report)), heading=3)
        if found.interactions:
            yield Title("Pairs that interact", formats=PAGE)
            told = "The effect of one depends on the other: medians of the trials that have both values."
            yield Sentence(told, formats=PAGE)
            yield Charts(lambda _: interaction_charts(found), heading=4, panels="panels wide")
        yield Later(lambda: pair_blocks(found), formats=tables)
        if found.isolations:
            yield Title("Each hyper-parameter by itself", formats=PAGE)
            told = (
                "Best (dot), median (line) and quartiles (bar) of the trials by value, across all other "
                f"settings; grey dots are trials, crosses diverged trials. From {found.basis.sentence}."
            )
            yield Sentence(told, formats=PAGE)
            yield Charts(lambda _: isolation_charts(found), heading=4, panels="panels")
        yield Later(lambda: alone_blocks(found), formats=tables)

    return Section(
        "lessons",
        "What matters",
        blocks,
        formats=EVERYWHERE - LATEX,
        untitled=TERMINAL,
        json=lambda: lessons_document(source.lessons),
        json_key="lessons",
    )


def _failures(source: Source) -> Section:
    heading = f"{plural(source.report.counts[State.FAILED], 'trial')} diverged"

    def blocks() -> Iterator[Block]:
        failures = failed_lines(source.report, source.top)
        if failures:
            yield Sentence(f"{heading}:", Tone.VERDICT, formats=TERMINAL)
            yield Pairs(failures)

    return Section("failures", heading, blocks, formats=TEXT, untitled=TERMINAL)


def _images(source: Source) -> Section:
    in_answer = [BOUNDARY] if source.report.comparison is not None else []

    def blocks() -> Iterator[Block]:
        yield from _picture(source, [file for file in IMAGES if file not in in_answer])

    return Section("images", "Images", blocks, formats=MARKDOWN | PAGE)


def _picture(source: Source, files: Iterable[str]) -> Iterator[Block]:
    return (
        Image(file, IMAGES[file], source.images[file], formats=EVERYWHERE - TERMINAL)
        for file in files
        if file in source.images
    )


def _advice(source: Source) -> Section:
    def blocks() -> Iterator[Block]:
        found, command = source.advised
        if not found:
            yield Sentence("Nothing stands out to change.", formats=PAGE)
        else:
            yield Steps(
                [Step(each.text, each.written, remedy_command(source.report, each.remedy)) for each in found]
            )
        if command is not None:
            yield Sentence(f"to try the first: {command}{source.storage}", Tone.QUIET, formats=TERMINAL)

    def value() -> list[dict[str, Any]]:
        found = source.advised.found
        return [{**vars(each), "command": remedy_command(source.report, each.remedy)} for each in found]

    shown = EVERYWHERE - LATEX
    return Section("advice", "Advice", blocks, shown, untitled=TERMINAL, json=value, json_key="advice")


def _trials(source: Source) -> Section:
    return Section(
        "trials",
        "All trials",
        lambda: [AllTrials(source.report)],
        formats=PAGE,
        json=lambda: source.rows[: source.limit] if source.limit else source.rows,
        json_key="trials",
    )


def _provenance(source: Source) -> Section:
    report = source.report

    def blocks() -> Iterator[Block]:
        yield Pairs(commands(report), "commands")
        yield Code(study_toml(report.record.document), "The whole study as TOML")
        yield Pairs(provenance_rows(report), folded="Data, versions and machine")

    return Section("provenance", "Provenance", blocks, formats=PAGE)


def _next(source: Source) -> Section:
    def blocks() -> Iterator[Block]:
        yield Sentence(f"next: {'   ·   '.join(next_commands(source.report, source.storage))}", Tone.QUIET)
        if source.methods != EVERYWHERE:
            name = plain(quote(source.report.record.name))
            explain = f"hpsearch report {name}{source.storage} --explain"
            yield Sentence(f"how these numbers are made: {explain}", Tone.QUIET)

    return Section("next", "Next", blocks, formats=TERMINAL, untitled=TERMINAL)


def _some(chart: Chart | None) -> list[Chart]:
    return [] if chart is None else [chart]


SECTIONS: Mapping[str, Maker] = MappingProxyType(
    {
        "answer": _answer,
        "confirmed": _confirmed,
        "baselines": _baselines,
        "outcome": _outcome,
        "front": _front,
        "ranked": _ranked,
        "curves": _curves,
        "comparison": _compared,
        "notes": _notes,
        "lessons": _lessons,
        "failures": _failures,
        "images": _images,
        "advice": _advice,
        "trials": _trials,
        "provenance": _provenance,
        "next": _next,
    }
)
"""Makers of all sections by their keys, in the order in which every format shows them."""
