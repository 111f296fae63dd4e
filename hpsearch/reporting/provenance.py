"""Where a study's numbers come from, the commands that make them again or lead on, and the study as TOML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from hpsearch.results.frames import Report
from hpsearch.study.file import THRESHOLDED, score_of, threshold_of
from hpsearch.text import plain, toml_value

_OTHER_NAMES = {
    "split": "prepared rows",
    "code": "hash of the code",
    "data": "data hash",
    "study": "settings hash",
}
_PARTS = ("train", "valid", "test")


def provenance_rows(report: Report) -> list[tuple[str, str]]:
    """What the numbers depend on: its name, and what it is."""
    return list(_rows(report))


def written(value: Any) -> str:
    """A value of the provenance: text as it is, others as TOML."""
    return value if isinstance(value, str) else toml_value(value)


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    record = report.record
    summary, data = record.data_summary, record.document.get("data", {})
    yield "data", str(summary.get("name") or data.get("source", ""))
    yield "data hash", record.data_hash
    rows = summary.get("rows")
    if isinstance(rows, Mapping):
        yield (
            "rows",
            " · ".join(f"{rows[part]:,} {part}" for part in _PARTS if isinstance(rows.get(part), int)),
        )
    if isinstance(summary.get("features"), int):
        yield "features", f"{summary['features']:,}"
    if isinstance(summary.get("classes"), list) and summary["classes"]:
        yield "classes", f"{len(summary['classes']):,}"
    for note in summary.get("notes") or ():
        yield "note", str(note)
    split = data.get("split")
    if isinstance(split, Mapping):
        yield "split", toml_value(split)
    yield "seed", str(record.document.get("study", {}).get("seed", ""))
    runs = report.runs
    said = runs[-1].provenance if runs else record.provenance
    hidden = {"seed", "data", "study"}
    for key, value in said.items():
        if key not in hidden:
            yield _OTHER_NAMES.get(key, key), written(value)
    if len(runs) > 1:
        yield "runs", f"{len(runs)}; the last one is described above"


def commands(report: Report) -> list[tuple[str, str]]:
    """(command, what it does) that make the study's numbers again."""
    name = quote(report.record.name)
    found = [
        (
            f"hpsearch run {quote(f'{report.record.name}.toml')}",
            "the search; first save the study below as this file",
        )
    ]
    if report.confirmation is not None:
        c = report.confirmation
        found.append(
            (f"hpsearch confirm {name} --top {len(c.finalists)} --seeds {c.seeds}", "the confirmed ranking")
        )
    if report.best is not None:
        found.append(
            (f"hpsearch replay {name} {report.best}", "one trial retrained and compared bit for bit")
        )
    return found


def next_commands(report: Report, storage: str = "") -> list[str]:
    """Commands that lead on from a report."""
    name = plain(quote(report.record.name))
    words = [f"hpsearch report {name} --out {name}-report{storage}"]
    if report.confirmation is None and len(report.ranked):
        words = [f"hpsearch confirm {name}{storage}", *words]
    elif report.best is not None:
        words += [f"hpsearch export {name}{storage}"]
    return words


def study_toml(document: Mapping[str, Any]) -> str:
    """The resolved study as a study file: every key but those that are null, and what was not yet named."""
    lines: list[str] = []
    train = {**document["train"], "score": score_of(document)}
    if train.get("metric") in THRESHOLDED:
        train["threshold"] = threshold_of(document)
    for section, table in {**document, "train": train}.items():
        for inner in table if isinstance(table, list) else [table]:
            lines.append(f"[[{section}]]" if isinstance(table, list) else f"[{section}]")
            lines += [f"{key} = {toml_value(value)}" for key, value in inner.items() if value is not None]
            lines.append("")
    return "\n".join(lines)
